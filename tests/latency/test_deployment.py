"""The fastest of a few forms of a whole network."""

import dataclasses
from collections import Counter

import pytest

from nas.errors import UnrunnableError
from nas.ir import MixConv, Slices, walk
from nas.latency.deployment import (
    BRANCHES,
    BY_LAYER,
    TRAINED,
    NetworkForm,
    fastest_form,
    network_forms,
    rule_named,
)
from nas.latency.profile import DeviceProfile, Finding, LayerSignature
from nas.lowering import AS_TRAINED, MERGE_ALL, PHASED, SumOfBranches, lowered_tree
from nas.spec import Input, load_network
from tests.latency.records import CONDITIONS

SPEC = load_network("mixnet_s").replace(input=Input(resolution=32))
EMPTY = DeviceProfile(CONDITIONS, 1.0)
LAYER = LayerSignature("depthwise", 240, 4, (3, 5, 7), (333, 333, 333))
PROFILE = dataclasses.replace(EMPTY, findings=(Finding(LAYER, "merge", {"merge": 1.0}),))


def names(spec, profile):
    return [form.name for form in network_forms(spec, profile)]


def test_a_mixed_network_has_five_forms():
    forms = network_forms(SPEC, PROFILE)
    assert [form.name for form in forms] == [
        "as trained", "by layer", "merged", "phases", "slices with phases",
    ]  # fmt: skip
    trained = [layer.leaf for layer in walk(forms[0].program.tree, SPEC.in_shape)]
    merged = [layer.leaf for layer in walk(forms[2].program.tree, SPEC.in_shape)]
    assert any(isinstance(leaf, MixConv) for leaf in trained)
    assert not any(isinstance(leaf, (MixConv, Slices)) for leaf in merged)


def test_blocks_without_squeeze_and_excitation_have_one_more():
    medium = load_network("mixnet_m").replace(input=Input(resolution=32))
    forms = network_forms(medium, PROFILE)
    assert [form.name for form in forms][-1] == BRANCHES == "branches"
    rule = rule_named(BRANCHES, PROFILE)
    assert rule == SumOfBranches(PROFILE)
    expected = lowered_tree(medium.tree(), medium.in_shape, rule)
    assert repr(forms[-1].program.tree) == repr(expected)


def test_equal_forms_are_timed_once():
    plain = load_network("mobilenet_v2").replace(input=Input(resolution=32))
    assert names(plain, PROFILE) == ["as trained"]
    # Five by five kernels at most: phases are the merged form, or the trained one.
    assert names(SPEC, EMPTY) == ["as trained", "by layer"]


def test_rules_have_names():
    assert rule_named(TRAINED, PROFILE) is AS_TRAINED
    assert rule_named("merged", PROFILE) is MERGE_ALL
    assert rule_named("phases", PROFILE) is PHASED
    assert rule_named(BY_LAYER, PROFILE) is rule_named("", PROFILE) is PROFILE


class Stopwatch:
    """Loads networks whose times are known, and counts their runs."""

    def __init__(self, times):
        self.times, self.runs = times, Counter()

    def load(self, program):
        def run():
            self.runs[program] += 1
            return self.times[program]

        return run


@pytest.mark.parametrize(
    ("times", "best"),
    [
        ({TRAINED: 10.0}, TRAINED),
        ({TRAINED: 10.0, BY_LAYER: 9.95}, TRAINED),  # saves less than 1%
        ({TRAINED: 10.0, BY_LAYER: 9.8}, BY_LAYER),
        ({TRAINED: 10.0, BY_LAYER: 25.0}, TRAINED),
        ({TRAINED: 10.0, BY_LAYER: 5.0, "merged": 4.98}, BY_LAYER),
        ({TRAINED: 10.0, BY_LAYER: 5.0, "merged": 4.9}, "merged"),
        ({TRAINED: 10.0, BY_LAYER: 5.0, "merged": 20.0, "phases": 4.0}, "phases"),
    ],
)
def test_the_fastest_form_is_kept_and_lowering_never_loses(times, best):
    stopwatch = Stopwatch(times)
    chosen, run = fastest_form([NetworkForm(name, name) for name in times], stopwatch.load)
    assert (chosen.form.name, run()) == (best, times[best])
    # A lone form is not timed; of the others all times are told, in milliseconds.
    assert chosen.times_ms == (times if len(times) > 1 else {})


def test_slow_forms_are_timed_roughly():
    stopwatch = Stopwatch({TRAINED: 11.2, BY_LAYER: 10.0, "merged": 11.0, "phases": 30.0})
    fastest_form([NetworkForm(name, name) for name in stopwatch.times], stopwatch.load)
    # Two medians of five warm-up runs, two screening turns, then turns of four runs in 0.5 s; and
    # the same again for the fastest beside the network as trained, which is not much slower.
    again = 12 + 44
    expected = {BY_LAYER: 56 + again, "merged": 56, "phases": 12, TRAINED: 56 + again}
    assert stopwatch.runs == expected


@pytest.mark.parametrize(("advantage", "best"), [(0.9, TRAINED), (0.8, BY_LAYER)])
def test_a_form_that_chance_favored_is_not_kept(advantage, best):
    timed, first = [], 130  # runs of both

    def load(program):
        def run():
            timed.append(program)
            lucky = program == BY_LAYER and len(timed) <= first  # in its first timing
            return 10.0 * advantage if lucky else 10.0

        return run

    (form, _), _ = fastest_form([NetworkForm(name, name) for name in (TRAINED, BY_LAYER)], load)
    assert form.name == best
    assert (len(timed) > first) == (advantage > 0.85)  # who is far ahead is not timed again


class Cold:
    """Loads networks that take longer after a pause: times without and with one, by name."""

    def __init__(self, times, monkeypatch):
        self.times, self.slept = times, []
        monkeypatch.setattr("nas.latency.protocol.time.sleep", self.slept.append)

    def load(self, program):
        def run():
            return self.times[program][bool(self.slept)]

        return run


@pytest.mark.parametrize(
    ("times", "best"),
    [
        ({TRAINED: (10, 12), BY_LAYER: (5, 14)}, TRAINED),
        ({TRAINED: (10, 12), BY_LAYER: (5, 11.9)}, TRAINED),  # saves less than 1%
        ({TRAINED: (10, 12), BY_LAYER: (5, 11.5)}, BY_LAYER),
        ({TRAINED: (10, 12), BY_LAYER: (5, 11), "merged": (6, 8)}, "merged"),
        ({TRAINED: (10, 20), BY_LAYER: (10.5, 11)}, BY_LAYER),  # slower, but close
    ],
)
def test_forms_that_are_close_are_compared_after_pauses(monkeypatch, times, best):
    cold = Cold(times, monkeypatch)
    forms = [NetworkForm(name, name) for name in times]
    chosen, run = fastest_form(forms, cold.load, interval_ms=200.0)
    assert (chosen.form.name, run()) == (best, times[best][1])
    assert chosen.times_ms == {name: paused for name, (_, paused) in times.items()}
    assert set(cold.slept) == {0.2}
    assert len(cold.slept) == len(times) * 12


def test_comparisons_after_long_pauses_have_few_rounds(monkeypatch):
    times = {TRAINED: (10, 12), BY_LAYER: (5, 6), "phases": (50, 5)}
    cold = Cold(times, monkeypatch)
    forms = [NetworkForm(name, name) for name in times]
    chosen, _ = fastest_form(forms, cold.load, interval_ms=10_000.0)
    assert chosen.times_ms == {TRAINED: 12, BY_LAYER: 6}  # the other one is far from the fastest
    assert cold.slept == [10.0] * 6
    cold.slept.clear()
    assert fastest_form(forms, cold.load)[0].form.name == BY_LAYER  # without an interval
    assert cold.slept == []


def test_a_slow_first_run_eliminates_no_form():
    def load(program):
        slow = [390.0] * 10 if program == TRAINED else []  # while it warms up
        times = iter([*slow, *[300.0 if program == TRAINED else 330.0] * 199])
        return lambda: next(times)

    (form, _), _ = fastest_form([NetworkForm(name, name) for name in (TRAINED, "merged")], load)
    assert form.name == TRAINED


def test_forms_that_cannot_be_run_are_left_out():
    def load(program):
        if program == refused:
            raise UnrunnableError("no such layer")
        return lambda: {TRAINED: 10.0, BY_LAYER: 5.0}[program]

    forms = [NetworkForm(name, name) for name in (TRAINED, "phases", BY_LAYER)]
    refused = "phases"
    assert fastest_form(forms, load)[0].form.name == BY_LAYER
    refused = TRAINED
    with pytest.raises(UnrunnableError):
        fastest_form(forms, load)
