"""The known-cost sampler: it models accuracy alone, since costs are known without training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.accuracy.prediction.model import KEEP_MOST, AccuracyModel
from nas.errors import MixnasError
from nas.limits import Limit
from nas.samplers.base import GenotypeSampler, PastTrial, Proposal
from nas.samplers.domain import CostFunction, Domain, SpaceDomain
from nas.samplers.known_cost.candidates import (
    CandidatePool,
    best_scored,
    children,
    differences,
    most_different,
    spread_position,
)
from nas.samplers.known_cost.costs import KnownValues
from nas.samplers.known_cost.improvement import (
    MAX_COSTS,
    HypervolumeImprovement,
    Improvement,
    RewardImprovement,
    nondominated,
    reference_accuracy,
)
from nas.samplers.known_cost.observations import informative_subset, tuning_milestone
from nas.samplers.parameter_domain import Feasible, ParameterDomain
from nas.samplers.tried import Tried
from nas.space import Genotype, Space

START = 10  # networks spread over the first cost before the model is used
ENDS = 3  # of the cheapest and of the costliest networks, how many may begin the search
NEAREST = 24  # networks nearest to a position of the spread, of which the most different is chosen
ROUNDS = 4  # rounds of local search for the best candidate
PARENTS = 24  # best candidates that a round of local search starts from
BEYOND = 0.2
"""Distance of the reference point beyond the largest cost, every other time, in units of the range
of the costs."""

Reward = Callable[[float, np.ndarray], float]
"""Maps an accuracy and the costs of a network, shape (costs,), to a reward; linear in accuracy."""


class KnownCostSampler(GenotypeSampler):
    """Proposes the network that improves the Pareto front, or a reward, most in expectation.

    The study's first value is the accuracy, to be maximized. The others are the costs, to be
    minimized, in the order of `costs`. As costs are known without training, only accuracy is
    modeled, the expected hypervolume improvement is exact, and limits are never violated. Running
    trials count as if their results were as predicted, so that parallel workers receive different
    proposals.

    Examples:
        >>> import optuna
        >>> from optuna.distributions import IntDistribution
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> parameters = {"depth": IntDistribution(1, 8), "width": IntDistribution(8, 64, step=8)}
        >>> def multiplications(p):
        ...     return p["depth"] * p["width"] ** 2
        >>> def objective(trial):
        ...     p = {"depth": trial.suggest_int("depth", 1, 8),
        ...          "width": trial.suggest_int("width", 8, 64, step=8)}
        ...     return 1 - multiplications(p) ** -0.1, multiplications(p)
        >>> sampler = KnownCostSampler(
        ...     parameters, [multiplications], feasible=lambda p: multiplications(p) < 20_000
        ... )
        >>> study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        >>> study.optimize(objective, n_trials=12)
        >>> all(trial.values[1] < 20_000 for trial in study.trials)
        True
    """

    def __init__(
        self,
        space: Space | Mapping[str, BaseDistribution],
        costs: Sequence[str | CostFunction],
        *,
        limits: Iterable[Limit] = (),
        cost_limits: Mapping[int, Sequence[Limit]] | None = None,
        limits_of_one: bool = False,
        feasible: Feasible | None = None,
        covariates: Sequence[CostFunction] = (),
        max_score: float | None = 1.0,
        start: int = START,
        reward: Reward | None = None,
        accuracy: Callable[[FrozenTrial], float | None] | None = None,
        seed: int = 0,
    ) -> None:
        """Create a sampler.

        Args:
            space: Search space, or Optuna distributions by name, each with finitely many values.
            costs: One to three costs to minimize. Each is the name of an exact cost (``madds``,
                ``params``, ``activations``, ``peak_memory``), or a function of the genotype; if
                `space` is a dict of distributions, a function of the dict of parameters.
            limits: Limits on the exact costs of a space, in addition to its own.
            cost_limits: Limits on costs that are given as functions, by their index in `costs`;
                a limit on a cost that is learned from the trials is met as far as the cost is
                known.
            limits_of_one: Whether it is enough to keep the limits of one cost, whichever that is:
                with the latencies on several devices as costs, a network that is of use on one.
            feasible: Whether a dict of parameters is allowed; only if `space` is a dict.
            covariates: Further functions that may correlate with accuracy, such as zero-cost
                scores; they take the same argument as costs.
            max_score: Accuracy that no network can exceed: 1, 100 for percent, or None if there
                is no upper bound.
            start: Number of networks, spread over the first cost, before the model is used.
            reward: Reward to maximize, as a function of the accuracy and the costs that is linear
                in the accuracy; None for the Pareto front.
            accuracy: Function that returns the accuracy of a finished trial; its first value by
                default. Required with a reward, since the trial's value is the reward then.
            seed: Random seed.

        Raises:
            MixnasError: If a cost is unknown, or arguments contradict each other.
        """
        self._max_score = max_score
        super().__init__(_domain(space, limits, feasible), seed)
        if not 1 <= len(costs) <= MAX_COSTS:
            raise MixnasError(f"{len(costs)} costs were given; 1 to {MAX_COSTS} are supported")
        if reward is not None and accuracy is None:
            raise MixnasError(
                "with a reward, a trial's value is not its accuracy; pass a function that returns "
                "the accuracy, such as accuracy=lambda trial: trial.user_attrs['accuracy']"
            )
        self._known = KnownValues(self.domain, costs, covariates, cost_limits, limits_of_one)
        self._start = max(2, start)
        self._reward = reward
        self._accuracy = accuracy or _first_value

    def _forget(self) -> None:
        super()._forget()
        self._model = AccuracyModel(self._max_score)
        self._tuned_at = 0  # observations at the last fit of hyperparameters
        self._pool = CandidatePool(self.domain)

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        self._check(study)
        self._known.learn_from(past)
        observed, accuracies = self._observed(past)
        pending = [p.genotype for p in past if p.pending]
        self._pool.renew(rng)
        tried = self.tried(past)
        if len(observed) + len(pending) < self._start or len(observed) < 2:
            # The position counts all trials: failed ones must not hold up the spread.
            return Proposal(self._initial(len(past), pending, tried, rng))
        improvement = self._learn(observed, accuracies, pending)
        return Proposal(self._best(improvement, observed, pending, tried, rng))

    def _check(self, study: Study) -> None:
        directions = [StudyDirection.MAXIMIZE]
        if self._reward is None:
            directions += [StudyDirection.MINIMIZE] * self._known.n_costs
        if study.directions != directions:
            names = ", ".join(f"'{d.name.lower()}'" for d in directions)
            raise MixnasError(
                f"the study has directions {[d.name.lower() for d in study.directions]}; create it "
                f"with directions=[{names}]: accuracy first, then the costs"
            )

    # -- the model --------------------------------------------------------------------------

    def _observed(self, past: Sequence[PastTrial]) -> tuple[list[Genotype], np.ndarray]:
        """Return the genotypes and the accuracies of complete trials."""
        genotypes, accuracies = [], []
        for p in past:
            if p.trial.state != TrialState.COMPLETE:
                continue
            accuracy = self._accuracy(p.trial)
            if accuracy is not None and np.isfinite(accuracy):
                genotypes.append(p.genotype)
                accuracies.append(accuracy)
        if self._max_score is not None and accuracies and max(accuracies) > self._max_score:
            raise MixnasError(
                f"an accuracy of {max(accuracies):g} exceeds the maximum score of "
                f"{self._max_score:g}; pass max_score=100 to KnownCostSampler for percent, or "
                "max_score=None for scores without an upper bound"
            )
        return genotypes, np.array(accuracies)

    def _inputs(self, genotypes: Sequence[Genotype]) -> tuple[np.ndarray, np.ndarray]:
        """Return the inputs of the model: encodings, and covariates (positive ones as logs)."""
        values = self._known.values(genotypes)
        logs = np.log(np.maximum(values, 1e-12))
        return self.domain.encode(genotypes), np.where(self._positive, logs, values)

    def _learn(
        self, observed: list[Genotype], accuracies: np.ndarray, pending: list[Genotype]
    ) -> Improvement:
        """Condition the model on results, and on its own predictions for running trials.

        Returns:
            The improvement over the networks of both, at their predicted accuracies.
        """
        self._positive = (self._known.values(observed) > 0).all(0)
        milestone = tuning_milestone(len(observed))
        if milestone != self._tuned_at:
            self._model.tune(*self._inputs(observed[:milestone]), accuracies[:milestone])
            self._tuned_at = milestone
        if len(observed) > KEEP_MOST:
            subset = informative_subset(accuracies, self._known.costs(observed))
            observed, accuracies = [observed[i] for i in subset], accuracies[subset]
        encoded, covariates = self._inputs(observed)
        self._model.condition(encoded, covariates, accuracies)
        predicted = self._model.median(encoded, covariates)
        genotypes = observed
        if pending:
            pending_encoded, pending_covariates = self._inputs(pending)
            expected = self._model.median(pending_encoded, pending_covariates)
            self._model.condition(
                np.concatenate([encoded, pending_encoded]),
                np.concatenate([covariates, pending_covariates]),
                np.concatenate([accuracies, expected]),
            )
            predicted = np.concatenate([predicted, expected])
            genotypes = [*observed, *pending]
        return self._improvement(predicted, self._known.costs(genotypes))

    def _improvement(self, accuracies: np.ndarray, costs: np.ndarray) -> Improvement:
        if self._reward is not None:
            return RewardImprovement(self._reward, accuracies, costs)
        # With the reference point at the largest cost, the best networks near a limit would add
        # next to nothing; beyond it, costly networks count more than those in the middle of the
        # front. So it is the one and the other in turn.
        beyond = BEYOND if len(accuracies) % 2 == 0 else 0.0
        all_costs = np.concatenate([self._known.costs(self._pool.genotypes), costs])
        spread = np.ptp(all_costs, axis=0)
        end = all_costs.max(0) + np.where(spread > 0, beyond * spread, 1.0)
        return HypervolumeImprovement(accuracies, costs, reference_accuracy(accuracies, costs), end)

    # -- candidates -------------------------------------------------------------------------

    def _initial(
        self, index: int, pending: list[Genotype], tried: Tried, rng: random.Random
    ) -> Genotype:
        """Return a network of the pool for the index-th position of the spread over the cost."""
        pool = self._pool.genotypes
        untried = [g for g in pool if g not in tried] or pool
        untried = [g for g in untried if _apart(g, pending)] or untried
        violations = self._known.violations(untried)
        least = violations.min()
        admitted = [g for g, v in zip(untried, violations, strict=True) if v == least]
        costs = self._known.costs(admitted)[:, 0]
        target = costs.min() + spread_position(index) * np.ptp(costs)
        nearest = np.argsort(np.abs(costs - target))[: ENDS if index < 2 else NEAREST]
        return most_different([admitted[int(i)] for i in nearest], list(tried), rng)

    def _best(
        self,
        improvement: Improvement,
        observed: list[Genotype],
        pending: list[Genotype],
        tried: Tried,
        rng: random.Random,
    ) -> Genotype:
        """Return the candidate with the largest expected improvement.

        A local search starts from the best of the pool and from the networks on the front. A
        candidate that differs from all running trials in two variables or more is preferred.
        """
        scores = self._scores(improvement, [g for g in self._pool.genotypes if g not in tried])
        parents = [*self._front(observed), *best_scored(scores, PARENTS)]
        for _ in range(ROUNDS):
            offspring = children(self.domain, parents, rng)
            new = [g for g in offspring if g not in tried and g not in scores]
            scores |= self._scores(improvement, new)
            parents = best_scored(scores, PARENTS) or parents
        ranked = best_scored(scores, len(scores))
        apart = (g for g in ranked if _apart(g, pending))
        fallback = ranked[0] if ranked else self.domain.draw(rng)
        return next(apart, fallback)

    def _front(self, observed: list[Genotype]) -> list[Genotype]:
        """Return the networks on the front of predicted accuracy and the costs."""
        predicted = self._model.median(*self._inputs(observed))
        if self._known.n_costs > 1:
            mask = nondominated(predicted, self._known.costs(observed))
            return [genotype for genotype, on_front in zip(observed, mask, strict=True) if on_front]
        best, front = -np.inf, []
        for i in np.argsort(self._known.costs(observed)[:, 0]):
            if predicted[i] > best:
                best = predicted[i]
                front.append(observed[i])
        return front

    def _scores(
        self, improvement: Improvement, genotypes: Sequence[Genotype]
    ) -> dict[Genotype, float]:
        """Return expected improvements; a network outside the limits ranks below all others."""
        if not genotypes:
            return {}
        prediction = self._model.predict(*self._inputs(genotypes))
        values = improvement.expected(self._known.costs(genotypes), prediction.expected_excess)
        violations = self._known.violations(genotypes)
        values = np.where(violations > 0, -violations, values)
        return dict(zip(genotypes, values.tolist(), strict=True))


def _domain(
    space: Space | Mapping[str, BaseDistribution],
    limits: Iterable[Limit],
    feasible: Feasible | None,
) -> Domain:
    if isinstance(space, Space):
        if feasible is not None:
            raise MixnasError("a space has 'limits' and restrictions of its own, not 'feasible'")
        return SpaceDomain(space, limits)
    if list(limits):
        raise MixnasError("'limits' apply to the costs of a space; with parameters, use 'feasible'")
    return ParameterDomain(space, feasible)


def _apart(genotype: Genotype, pending: Iterable[Genotype]) -> bool:
    """Return whether a genotype differs from all running trials in two variables or more."""
    return all(differences(genotype, other) > 1 for other in pending)


def _first_value(trial: FrozenTrial) -> float | None:
    return trial.values[0] if trial.values else None
