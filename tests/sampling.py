"""Studies for the tests of samplers, with artificial accuracies and costs."""

from __future__ import annotations

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nas.samplers.random import RandomSampler
from nas.testing.samplers import accuracy as made_up
from nas.testing.samplers import search as run

optuna.logging.set_verbosity(optuna.logging.ERROR)
BOTH = ["maximize", "minimize"]
__all__ = ["made_up", "run"]


def create_random(problem):
    """Create a sampler, as a user's own factory would."""
    return RandomSampler(problem.domain, problem.seed)


def create_other(problem):
    """Create something that is not a `GenotypeSampler`."""
    return optuna.samplers.RandomSampler(problem.seed)


KINDS = ["plain", "wide", "deep"]
PARAMETERS = {
    **{f"depth{i}": IntDistribution(1, 4) for i in range(4)},
    **{f"kind{i}": CategoricalDistribution(KINDS) for i in range(4)},
    "rate": FloatDistribution(0.1, 0.7, step=0.1),
}
WORTH = {"plain": 0.0, "wide": 0.3, "deep": 0.1}
FEW = {"a": IntDistribution(0, 2), "b": CategoricalDistribution("xyz"), "c": IntDistribution(1, 2)}


def cost(parameters):
    return sum(
        parameters[f"depth{i}"] * (2 if parameters[f"kind{i}"] == "wide" else 1) for i in range(4)
    )


def accuracy(parameters):
    quality = sum(
        (i + 1) * np.log(parameters[f"depth{i}"]) / 4 + WORTH[parameters[f"kind{i}"]]
        for i in range(4)
    )
    return float(0.95 - 0.5 * np.exp(-quality) - 0.2 * (parameters["rate"] - 0.4) ** 2)


def apart(one, two):
    return sum(one[name] != two[name] for name in one)


def tried(sampler, n, values=lambda p: (accuracy(p), cost(p)), directions=BOTH, study=None):
    """Run trials of `PARAMETERS`; return the parameters of every trial."""
    study = study or optuna.create_study(directions=directions, sampler=sampler)
    found = []
    for _ in range(n):
        trial = study.ask(PARAMETERS)
        study.tell(trial, values(trial.params))
        found.append(trial.params)
    return found


def keys(found):
    return [tuple(parameters.items()) for parameters in found]
