"""The form in which a whole network is deployed: the fastest of a few, by measurement.

The forms of layers are chosen by kind of layer (`nas.latency.profile`), on layers between others
than those of the network at hand. Before a network is timed, or deployed, the result is therefore
compared with the network as trained and with a few simple rules. So lowering never loses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from nas.errors import UnrunnableError
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import (
    after_pauses,
    lower_quartiles,
    medians_in_turns,
    refined,
    warm_up,
)
from nas.latency.runtimes.base import Program, TimedRun
from nas.latency.weights import realistic_weights
from nas.lowering import (
    AS_TRAINED,
    MERGE_ALL,
    PHASED,
    PHASED_SLICES,
    FormChoice,
    SumOfBranches,
    lower,
)
from nas.spec import NetworkSpec

TRAINED = "as trained"
BY_LAYER = "by layer"
SIMPLE_RULES: Mapping[str, FormChoice] = {
    TRAINED: AS_TRAINED,
    "merged": MERGE_ALL,
    "phases": PHASED,
    "slices with phases": PHASED_SLICES,
}
"""Rules that need no measurement of layers, by name."""

BRANCHES = "branches"
"""Name of the rule by layer with blocks as sums of branches, where they can be."""

WARM_SECONDS = 0.2
SCREENING_ROUNDS = 2
SCREENED = 1.15  # a form that takes this many times as long as the fastest is not timed further
SECONDS = 0.5  # of each form that is
RUNS = 3
ROUNDS = (5, 12)  # fewest and most turns of each
NEAR = 1.3  # a form that takes this many times as long as the fastest is not timed after pauses
PAUSED_SECONDS = 10.0  # that a comparison after pauses takes, unless it needs more
PAUSED_ROUNDS = (3, 12)
WORTH = 0.01  # share of the time that a rule must save to replace the one before
CLEAR = 0.85  # share of the time as trained up to which a form is faster without a doubt


class NetworkForm(NamedTuple):
    """A form of a whole network.

    Attributes:
        name: Name of the rule that chooses the forms of its layers.
        program: The network in this form.
    """

    name: str
    program: Program


class ChosenForm(NamedTuple):
    """The form of a network that was chosen by measurement.

    Attributes:
        form: The form.
        times_ms: Times of all forms that can be run, by name, in milliseconds; only rough ones of
            forms that are clearly slower. With pauses before runs, of forms that are close to the
            fastest.
    """

    form: NetworkForm
    times_ms: Mapping[str, float]


def program_of(spec: NetworkSpec, choice: FormChoice | None) -> Program:
    """Return a network that is ready to run, with realistic weights.

    Args:
        spec: The network.
        choice: Rule that chooses the forms of lowered layers; None for the network as trained.
    """
    tree, shape = spec.tree(), spec.in_shape
    weights = realistic_weights(tree)
    if choice is None:
        return Program(tree, shape, weights)
    lowered, lowered_weights = lower(tree, shape, weights, choice)
    return Program(lowered, shape, lowered_weights)


def rule_named(name: str, by_layer: FormChoice) -> FormChoice:
    """Return the rule of a name in `Latency.form`; the one by layer for all other names."""
    return SumOfBranches(by_layer) if name == BRANCHES else SIMPLE_RULES.get(name, by_layer)


def network_forms(spec: NetworkSpec, profile: DeviceProfile) -> list[NetworkForm]:
    """Return the forms of a network that are worth timing, all different, as trained first.

    Where the forms of layers were not measured, since networks load too slowly, there are two.
    """
    rules: dict[str, FormChoice] = {TRAINED: AS_TRAINED, BY_LAYER: profile}
    if profile.findings:
        rules |= {**SIMPLE_RULES, BRANCHES: SumOfBranches(profile)}
    tree, shape = spec.tree(), spec.in_shape
    weights = realistic_weights(tree)
    found: dict[str, NetworkForm] = {}
    for name, rule in rules.items():
        lowered, lowered_weights = lower(tree, shape, weights, rule)
        found.setdefault(repr(lowered), NetworkForm(name, Program(lowered, shape, lowered_weights)))
    return list(found.values())


def fastest_form(
    forms: list[NetworkForm], load: Callable[[Program], TimedRun], interval_ms: float = 0.0
) -> tuple[ChosenForm, TimedRun]:
    """Time the forms of a network in turns, and return the fastest, also ready to run.

    Args:
        forms: The forms; as trained first.
        load: Makes a network ready to run.
        interval_ms: Pause before each run of the application, in milliseconds. With one, the
            forms that are close to the fastest are compared after such pauses, when caches hold
            something else.

    Raises:
        UnrunnableError: If the network as trained cannot be run. Other forms that cannot be run
            are left out.
    """
    runs = {forms[0].name: load(forms[0].program)}
    for form in forms[1:]:
        with suppress(UnrunnableError):
            runs[form.name] = load(form.program)
    if interval_ms and len(runs) > 1:
        chosen = _fastest_after_pauses(forms, runs, interval_ms)
    else:
        chosen = fastest_of(forms, lambda names: _times({n: runs[n] for n in names if n in runs}))
    return chosen, runs[chosen.form.name]


def _fastest_after_pauses(
    forms: Sequence[NetworkForm], runs: Mapping[str, TimedRun], interval_ms: float
) -> ChosenForm:
    """Return the fastest form, with the times after pauses of those that are close to it."""
    rough = _times(runs)
    fastest = min(rough.values())
    close = [f for f in forms if f.name == TRAINED or rough.get(f.name, math.inf) < NEAR * fastest]
    rounds = int(np.clip(PAUSED_SECONDS * 1000 / (len(close) * interval_ms), *PAUSED_ROUNDS))
    paused = {form.name: after_pauses(runs[form.name], interval_ms) for form in close}
    times = lower_quartiles(paused, rounds, count=1, settle=0)
    return ChosenForm(_best(close, times), times)


def fastest_of(
    forms: Sequence[NetworkForm], time: Callable[[Sequence[str]], Mapping[str, float]]
) -> ChosenForm:
    """Return the fastest form of a network.

    Args:
        forms: The forms; as trained first.
        time: Returns the times of the forms of these names, without those that cannot be run.

    Returns:
        The form as trained also if it cannot be run.
    """
    trained, *others = forms
    times = time([form.name for form in forms]) if others else {}
    if trained.name not in times:
        return ChosenForm(trained, times)
    best = _best(forms, times)
    if best is not trained and times[best.name] > CLEAR * times[trained.name]:
        # Of several forms that are about as fast, the one that chance favored seems the fastest;
        # timed again beside the network as trained, it has no advantage of that kind.
        again = time([trained.name, best.name])
        best = best if _worthwhile(best, trained, again) else trained
        times = {**times, **again}
    return ChosenForm(best, times)


def _best(forms: Sequence[NetworkForm], times: Mapping[str, float]) -> NetworkForm:
    """Return the last of the forms, the one as trained first, that replaces the one before it."""
    best = forms[0]
    for form in forms[1:]:
        if _worthwhile(form, best, times):
            best = form
    return best


def _worthwhile(form: NetworkForm, before: NetworkForm, times: Mapping[str, float]) -> bool:
    """Return whether a form replaces the one before it."""
    return times.get(form.name, math.inf) < (1 - WORTH) * times.get(before.name, math.inf)


def _times(runs: Mapping[str, TimedRun]) -> dict[str, float]:
    """Return the times of several forms in milliseconds; only roughly those of slow ones."""
    for run in runs.values():
        warm_up(run, WARM_SECONDS)
    screened = medians_in_turns(runs, SCREENING_ROUNDS, count=1, settle=0)
    times = {name: min(values) for name, values in screened.items()}
    fastest = min(times.values())
    close = {
        name: run
        for name, run in runs.items()
        if name == TRAINED or times[name] < SCREENED * fastest
    }
    return refined(times, close, SECONDS, ROUNDS, RUNS, settle=1)
