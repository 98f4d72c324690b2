"""Optuna samplers that only propose members of a space within its limits.

Every proposal is a whole genotype: a fixed set of parameters, whatever is active, so that samplers
which model their parameters jointly keep working on conditional spaces. Proposals outside the
limits are moved to the nearest network inside before anything is measured or trained.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.errors import ExhaustedError, MixnasError, unknown
from nas.limits import Limit
from nas.space import Genotype, Space, sample
from nas.space.sampling import approach_from, cost_limits, excess

ATTEMPTS = 50  # to find a network that was not proposed before


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """Return one Optuna distribution for every variable of a space."""
    return {v.name: CategoricalDistribution(v.labels) for v in space.variables}


def to_parameters(space: Space, genotype: Genotype) -> dict[str, Any]:
    """Return Optuna parameters of a genotype; inactive variables take their first label."""
    labels = space.to_params(genotype)
    return {
        v.name: v.labels[0] if labels[v.name] is None else labels[v.name] for v in space.variables
    }


class LimitedSampler(BaseSampler):
    """Lets another sampler propose, and keeps its proposals inside limits and new.

    Without another sampler, networks are drawn evenly from those inside the limits, and a trial
    follows from the seed and its number alone: it is the same whatever the order of results or
    the number of workers. Another sampler learns from results, latencies among them, which are
    never twice the same; its seed repeats its start only.
    """

    def __init__(
        self,
        space: Space,
        limits: Iterable[Limit] = (),
        seed: int = 0,
        inner: BaseSampler | None = None,
    ) -> None:
        """Take the space.

        Args:
            space: what to sample.
            limits: on costs, beside the space's own.
            seed: of everything random here; `inner` has its own.
            inner: proposes; None for even draws.
        """
        self._space = space
        self._limits = list(limits)
        self._seed = seed
        self._inner = inner
        self._distributions = distributions(space)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all variables: a proposal is always whole."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose one network, as parameters for every variable.

        Raises:
            LimitError: when no network meets the limits, or all that do were proposed before.
        """
        if not search_space:
            return {}
        seen = self._seen(study, trial)
        for attempt in range(ATTEMPTS):
            rng = random.Random(f"{self._seed}/{trial.number}/{attempt}")
            genotype = self._propose(study, trial, rng, attempt)
            if genotype not in seen:
                return to_parameters(self._space, genotype)
        raise ExhaustedError(
            f"{len(seen)} networks of '{self._space.name}' were tried and {ATTEMPTS} draws found "
            "no other within the limits"
        )

    def _propose(
        self, study: Study, trial: FrozenTrial, rng: random.Random, attempt: int
    ) -> Genotype:
        if self._inner is None or attempt > 0:
            return sample(self._space, rng, self._limits).genotype
        known = self._inner.infer_relative_search_space(study, trial)
        params = self._inner.sample_relative(study, trial, known)
        for name, distribution in self._distributions.items():
            if name not in params:
                params[name] = self._inner.sample_independent(study, trial, name, distribution)
        genotype = self._space.from_params(params)
        limits = cost_limits(self._space, self._limits)
        if excess(self._space, genotype, limits)[0] == 0:
            return genotype
        moved = approach_from(self._space, genotype, rng, limits)
        if excess(self._space, moved, limits)[0] == 0:
            return moved
        return sample(self._space, rng, self._limits).genotype

    def _seen(self, study: Study, trial: FrozenTrial) -> set[Genotype]:
        """Return the genotypes of other trials that were not given up."""
        return {
            self._space.from_params(other.params)
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number
            and other.state != TrialState.FAIL
            and len(other.params) == len(self._distributions)
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse: a variable has no meaning without the others."""
        raise MixnasError(
            f"'{param_name}' is no variable of '{self._space.name}'; suggest the space's own"
        )

    def reseed_rng(self) -> None:
        """Reseed the sampler that proposes; nothing here depends on the process."""
        if self._inner is not None:
            self._inner.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Pass on."""
        if self._inner is not None:
            self._inner.after_trial(study, trial, state, values)


SAMPLERS: dict[str, Callable[[int], BaseSampler | None]] = {
    "random": lambda seed: None,
    "tpe": lambda seed: TPESampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
}


def open_sampler(name: str, space: Space, limits: Iterable[Limit], seed: int) -> LimitedSampler:
    """Return a sampler by name, kept within limits.

    Raises:
        MixnasError: when there is no such sampler.
    """
    if name not in SAMPLERS:
        raise MixnasError(unknown("sampler", name, SAMPLERS))
    return LimitedSampler(space, limits, seed, SAMPLERS[name](seed))
