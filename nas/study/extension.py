"""A study whose trials have the latencies on further devices, made from one that has them not.

What the values of a study are is settled when it is created, so that a further device needs another
study. It stands in the same storage, and the trials keep their numbers, networks and scores.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from nas.objective import Objective
from nas.study.latencies import confirmed_latencies, latency_attribute
from nas.study.storage import name_values, storage_errors
from nas.study.study import SearchStudy

UNRUNNABLE = 10.0
"""A network that a device cannot run counts in the study as if it took this many times as long as
the slowest one there; its latency is empty in the tables, and it is on no front of the device."""


def extended_study(study: SearchStudy, devices: Sequence[str], objective: Objective) -> str:
    """Copy a study whose complete trials were measured on further devices.

    Args:
        study: The study, of which no trial is running; `SearchStudy.confirm` has recorded the
            latencies on the further devices.
        devices: All devices of the new study, those of `study` first.
        objective: Objective of the new study.

    Returns:
        The name of the new study. `study` stays as it is.
    """
    source = study.optuna_study
    with storage_errors():
        target = _created(source, objective)
        name_values(target, objective.value_names(devices))
        attributes = source.user_attrs
        for name, value in attributes.items():
            target.set_user_attr(name, value)
        confirmed = confirmed_latencies(attributes)
        trials = source.get_trials(deepcopy=False)
        joining = [latency_attribute(d, devices) for d in devices if d not in study.devices]
        slowest = {name: _slowest(name, trials, confirmed) for name in joining}
        for trial in trials:
            target.add_trial(_extended(trial, slowest, confirmed))
    return target.study_name


def _created(source: optuna.Study, objective: Objective) -> optuna.Study:
    """Create a study beside another one, under the first name that is free."""
    for number in itertools.count(2):
        try:
            return optuna.create_study(
                storage=source._storage,
                study_name=f"{source.study_name}-{number}",
                directions=objective.directions,
            )
        except optuna.exceptions.DuplicatedStudyError:  # of a copy that was interrupted
            continue
    raise AssertionError


def _slowest(
    attribute: str,
    trials: Sequence[FrozenTrial],
    confirmed: Mapping[tuple[int, str], Mapping[str, Any]],
) -> float:
    found = (confirmed.get((trial.number, attribute)) for trial in trials)
    return max((latency["steady_ms"] for latency in found if latency is not None), default=1.0)


def _extended(
    trial: FrozenTrial,
    slowest: Mapping[str, float],
    confirmed: Mapping[tuple[int, str], dict[str, Any]],
) -> FrozenTrial:
    """Return a trial with the latencies on further devices.

    Args:
        trial: A finished trial.
        slowest: Longest latency on each of these devices, by attribute.
        confirmed: Latencies by number and attribute.
    """
    found = copy.deepcopy(trial)
    if trial.state != TrialState.COMPLETE:
        return found
    further = {name: confirmed.get((trial.number, name)) for name in slowest}
    found.user_attrs |= {name: latency for name, latency in further.items() if latency is not None}
    found.values = [
        *trial.values,
        *(
            UNRUNNABLE * slowest[name] if latency is None else latency["steady_ms"]
            for name, latency in further.items()
        ),
    ]
    return found
