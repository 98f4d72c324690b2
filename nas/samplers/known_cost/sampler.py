"""The known-cost sampler: it learns accuracy alone, since everything else is known beforehand."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.errors import MixnasError
from nas.limits import Limit
from nas.samplers.base import GenotypeSampler, PastTrial, Proposal
from nas.samplers.domain import CostFunction, Domain, Feasible, ParameterDomain, SpaceDomain
from nas.samplers.known_cost.improvement import (
    MOST_COSTS,
    HypervolumeImprovement,
    Improvement,
    RewardImprovement,
    reference_accuracy,
)
from nas.samplers.known_cost.model import KEEP_MOST, AccuracyModel
from nas.space import Genotype, Space

START = 10  # networks spread over the cost range before the model is asked
POOL = 192  # networks drawn inside the limits, renewed bit by bit
RENEWED = 24  # of the pool, with every proposal
WALK = 30  # changes between one generation of the pool and the next
ROUNDS = 4  # of local search around the best candidates
CHILDREN = 160  # in every round
PARENTS = 24  # that a round starts from
_REMEMBERED = 200_000  # networks whose known numbers are kept

Reward = Callable[[float, np.ndarray], float]


@runtime_checkable
class LearnedCost(Protocol):
    """A cost that is known the better the more was measured, as latency without a predictor."""

    @property
    def sure(self) -> bool:
        """Whether enough was learned for the cost to be held against a limit."""
        ...

    def learn_from(self, past: Sequence[PastTrial]) -> bool:
        """Learn from trials; say whether costs are other ones now."""
        ...

    def __call__(self, proposal: Any) -> float:
        """Return the cost."""
        ...


class KnownCostSampler(GenotypeSampler):
    """Proposes what adds most to the front, or to a reward, with a model of accuracy alone.

    The study's first value is the accuracy, to be maximised; the others are the costs, to be
    minimised, in the order of `costs`. Costs are known without trying, so the expected hypervolume
    improvement needs no sampling, and limits are never broken. Trials under way count as if they
    had turned out as expected, so that parallel workers are sent to different places.
    """

    def __init__(
        self,
        space: Space | Mapping[str, BaseDistribution],
        costs: Sequence[str | CostFunction],
        *,
        limits: Iterable[Limit] = (),
        cost_limits: Mapping[int, Sequence[Limit]] | None = None,
        feasible: Feasible | None = None,
        covariates: Sequence[CostFunction] = (),
        max_score: float | None = 1.0,
        start: int = START,
        reward: Reward | None = None,
        accuracy: Callable[[FrozenTrial], float | None] | None = None,
        seed: int = 0,
    ) -> None:
        """Say what is known.

        Args:
            space: a search space, or Optuna distributions by name, each with finitely many values.
            costs: one to three to minimise: the name of an exact cost (``madds``, ``params``,
                ``activations``, ``peak_memory``), or a function of the genotype (of the parameters,
                as a dict, where `space` is a dict of distributions).
            limits: on a space's exact costs, beside its own.
            cost_limits: on the costs that are given as functions, by their place in `costs`; where
                a cost is learned they are kept as far as it is known.
            feasible: for distributions: whether parameters are allowed.
            covariates: more functions that may tell of accuracy, as zero-cost scores do.
            max_score: the accuracy that none exceeds: 1, 100 for percent, None for no such thing.
            start: networks spread over the first cost before the model is asked.
            reward: where one number is sought: of an accuracy and the costs, linear in accuracy;
                None for a front.
            accuracy: tells it from a finished trial; by default its first value, which with a
                reward is another number, so that it must be given then.
            seed: of everything random.

        Raises:
            MixnasError: when a cost is unknown, or arguments do not go together.
        """
        self._max_score = max_score
        super().__init__(_domain(space, limits, feasible), seed)
        if not 1 <= len(costs) <= MOST_COSTS:
            raise MixnasError(f"{len(costs)} costs were given; 1 to {MOST_COSTS} can be weighed")
        if reward is not None and accuracy is None:
            raise MixnasError(
                "with a reward the study's value is the reward; say by 'accuracy' where a trial "
                "has its accuracy, as accuracy=lambda trial: trial.user_attrs['accuracy']"
            )
        self._n_costs = len(costs)
        known = [self.domain.known(cost) for cost in costs]
        self._learning = [cost for cost in known if isinstance(cost, LearnedCost)]
        self._cost_limits = [
            (place, known[place], limit)
            for place, bounds in (cost_limits or {}).items()
            for limit in bounds
        ]
        self._known = [*known, *self.domain.covariates(), *covariates]
        self._memory: dict[Genotype, tuple[float, ...]] = {}
        self._start = max(2, start)
        self._reward = reward
        self._accuracy = accuracy or _first_value

    def _forget(self) -> None:
        super()._forget()
        self._model = AccuracyModel(self._max_score)
        self._tuned = 0
        self._pool: list[Genotype] = []

    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """See `GenotypeSampler`."""
        self._check(study)
        changed = [cost.learn_from(past) for cost in self._learning]
        if any(changed):
            self._memory.clear()
        done, accuracies = self._observed(past)
        pending = [p.genotype for p in past if p.pending]
        self._renew_pool(rng)
        taken = {p.genotype for p in past}
        if len(done) + len(pending) < self._start or len(done) < 2:
            # By all trials, so that what ends without a result does not hold the spread up.
            return Proposal(self._spread(len(past), taken, rng))
        improvement = self._learn(done, accuracies, pending)
        return Proposal(self._best(improvement, done, pending, taken, rng))

    def _check(self, study: Study) -> None:
        wanted = [StudyDirection.MAXIMIZE]
        if self._reward is None:
            wanted += [StudyDirection.MINIMIZE] * self._n_costs
        if study.directions != wanted:
            names = ", ".join(f"'{d.name.lower()}'" for d in wanted)
            raise MixnasError(
                f"the study has directions {[d.name.lower() for d in study.directions]}; make it "
                f"with directions=[{names}]: accuracy first, then the costs"
            )

    # -- what is known ----------------------------------------------------------------------

    def _numbers(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return costs and hints, shape (genotypes, known)."""
        if len(self._memory) > _REMEMBERED:
            self._memory.clear()
        for genotype in genotypes:
            if genotype not in self._memory:
                self._memory[genotype] = self._known_of(genotype)
        rows = [self._memory[genotype] for genotype in genotypes]
        return np.array(rows).reshape(len(rows), len(self._known))

    def _known_of(self, genotype: Genotype) -> tuple[float, ...]:
        seen = self.domain.view(genotype)
        numbers = []
        for place, known in enumerate(self._known):
            number = known(seen)
            if number is None or not np.isfinite(number):
                what = f"cost {place + 1}" if place < self._n_costs else "a hint"
                raise MixnasError(f"{what} of {seen} is {number}; it must be a finite number")
            numbers.append(float(number))
        return tuple(numbers)

    def _costs(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        return self._numbers(genotypes)[:, : self._n_costs]

    def _violations(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return by how much costs break their limits, 0 for not at all, shape (genotypes,)."""
        costs = self._costs(genotypes)
        result = np.zeros(len(genotypes))
        for place, cost, limit in self._cost_limits:
            if not isinstance(cost, LearnedCost) or cost.sure:
                result += [limit.violation(value) for value in costs[:, place]]
        return result

    def _covariates(self, genotypes: Sequence[Genotype]) -> np.ndarray:
        """Return what the model sees beside the encoding: sizes on a log scale."""
        numbers = self._numbers(genotypes)
        logs = np.log(np.maximum(numbers, 1e-12))
        return np.where(self._positive, logs, numbers)

    def _observed(self, past: Sequence[PastTrial]) -> tuple[list[Genotype], np.ndarray]:
        genotypes, accuracies = [], []
        for p in past:
            if p.trial.state != TrialState.COMPLETE:
                continue
            accuracy = self._accuracy(p.trial)
            if accuracy is not None and np.isfinite(accuracy):
                genotypes.append(p.genotype)
                accuracies.append(accuracy)
        max_score = self._model.max_score
        if max_score is not None and accuracies and max(accuracies) > max_score:
            raise MixnasError(
                f"an accuracy of {max(accuracies):g} is above the ceiling of {max_score:g}; give "
                "KnownCostSampler ceiling=100 for percent, None for numbers without a ceiling"
            )
        return genotypes, np.array(accuracies)

    def _learn(
        self, done: list[Genotype], accuracies: np.ndarray, pending: list[Genotype]
    ) -> Improvement:
        """Learn from results, believe the expected of those under way, and say what is sought."""
        self._positive = (self._numbers(done) > 0).all(0)
        milestone = _milestone(len(done))
        if milestone != self._tuned:
            first = done[:milestone]
            encoded, covariates = self.domain.encode(first), self._covariates(first)
            self._model.tune(encoded, covariates, accuracies[:milestone])
            self._tuned = milestone
        if len(done) > KEEP_MOST:
            kept = _telling(accuracies, self._costs(done))
            done, accuracies = [done[i] for i in kept], accuracies[kept]
        encoded, covariates = self.domain.encode(done), self._covariates(done)
        self._model.condition(encoded, covariates, accuracies)
        believed = self._model.predict(encoded, covariates).median
        genotypes = done
        if pending:
            more, more_hints = self.domain.encode(pending), self._covariates(pending)
            expected = self._model.predict(more, more_hints).median
            encoded = np.concatenate([encoded, more])
            covariates = np.concatenate([covariates, more_hints])
            self._model.condition(encoded, covariates, np.concatenate([accuracies, expected]))
            believed = np.concatenate([believed, expected])
            genotypes = [*done, *pending]
        costs = self._costs(genotypes)
        if self._reward is not None:
            return RewardImprovement(self._reward, believed, costs)
        everything = np.concatenate([self._costs(self._pool), costs])
        # No further than the largest: whoever sets no limit is not led to ever costlier networks.
        largest = everything.max(0) + (np.ptp(everything, axis=0) == 0)
        return HypervolumeImprovement(believed, costs, reference_accuracy(believed, costs), largest)

    # -- candidates -------------------------------------------------------------------------

    def _renew_pool(self, rng: random.Random) -> None:
        """Draw the pool inside the limits, then let some of its members walk on.

        Under tight limits a draw takes long and a step does not; a walk inside the limits
        forgets its start.
        """
        if not self._pool:
            drawn = [self.domain.draw(rng) for _ in range(RENEWED)]
            while len(self._pool) < POOL:
                self._pool += [self.domain.walk(g, rng, WALK) for g in drawn]
                drawn = self._pool[-RENEWED:]
            return
        for i in rng.sample(range(len(self._pool)), RENEWED):
            self._pool[i] = self.domain.walk(self._pool[i], rng, WALK)

    def _spread(self, index: int, taken: set[Genotype], rng: random.Random) -> Genotype:
        """Return a network of the pool for the index-th place of an even spread over the cost."""
        fresh = [g for g in self._pool if g not in taken] or self._pool
        violations = self._violations(fresh)
        fresh = [
            g for g, broken in zip(fresh, violations, strict=True) if broken == violations.min()
        ]
        costs = self._costs(fresh)[:, 0]
        place = _even(index)
        target = costs.min() + place * np.ptp(costs)
        near = [int(i) for i in np.argsort(np.abs(costs - target))[:3]]
        return fresh[rng.choice(near)]

    def _best(
        self,
        improvement: Improvement,
        done: list[Genotype],
        pending: list[Genotype],
        taken: set[Genotype],
        rng: random.Random,
    ) -> Genotype:
        """Search the candidate with the largest expected improvement, from pool and front on."""
        scores = self._scored(improvement, [g for g in self._pool if g not in taken])
        parents = [*self._front(done), *_top(scores, PARENTS)]
        for _ in range(ROUNDS):
            children = self._children(parents, rng)
            fresh = [g for g in children if g not in taken and g not in scores]
            scores |= self._scored(improvement, fresh)
            parents = _top(scores, PARENTS) or parents
        ranked = _top(scores, len(scores))
        apart = (g for g in ranked if all(_differences(g, other) > 1 for other in pending))
        fallback = ranked[0] if ranked else self.domain.draw(rng)
        return next(apart, fallback)

    def _front(self, done: list[Genotype]) -> list[Genotype]:
        """Return the networks that are thought best at their cost."""
        believed = self._model.predict(self.domain.encode(done), self._covariates(done)).median
        best, front = -np.inf, []
        for i in np.argsort(self._costs(done)[:, 0]):
            if believed[i] > best:
                best = believed[i]
                front.append(done[i])
        return front

    def _scored(
        self, improvement: Improvement, genotypes: Sequence[Genotype]
    ) -> dict[Genotype, float]:
        if not genotypes:
            return {}
        thought = self._model.predict(self.domain.encode(genotypes), self._covariates(genotypes))
        values = improvement.expected(self._costs(genotypes), thought.expected_excess)
        violations = self._violations(genotypes)
        values = np.where(violations > 0, -violations, values)  # first of all into the limits
        return dict(zip(genotypes, values.tolist(), strict=True))

    def _children(self, parents: Sequence[Genotype], rng: random.Random) -> list[Genotype]:
        """Mutate parents once or twice, or cross two of them; keep what the limits admit."""
        children: dict[Genotype, None] = {}
        for _ in range(CHILDREN):
            child = rng.choice(parents)
            kind = rng.random()
            if kind < 0.3:
                child = self.domain.crossover(child, rng.choice(parents), rng)
            for _ in range(1 if kind < 0.65 else 2):
                child = self.domain.mutate(child, rng)
            if child not in children and self.domain.admits(child):
                children[child] = None
        return list(children)


def _domain(
    space: Space | Mapping[str, BaseDistribution],
    limits: Iterable[Limit],
    feasible: Feasible | None,
) -> Domain:
    if isinstance(space, Space):
        if feasible is not None:
            raise MixnasError("a space takes 'limits' and restrictions of its own, not 'feasible'")
        return SpaceDomain(space, limits)
    if list(limits):
        raise MixnasError("limits are on a space's costs; plain parameters take 'feasible'")
    return ParameterDomain(space, feasible)


def _first_value(trial: FrozenTrial) -> float | None:
    return trial.values[0] if trial.values else None


def _milestone(n: int) -> int:
    """Return at how many observations hyperparameters were last fitted; seldom, later on."""
    if n <= 32:
        return n
    milestone = 32
    while (after := milestone + max(2, milestone // 8)) <= n:
        milestone = after
    return milestone


def _telling(accuracies: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """Return the indices of the observations to keep: near the front, and of the rest evenly."""
    order = np.argsort(costs[:, 0], kind="stable")
    best = np.maximum.accumulate(accuracies[order])
    behind = np.empty(len(order))
    behind[order] = best - accuracies[order]
    ranked = np.argsort(behind, kind="stable")
    half = KEEP_MOST // 2
    rest = np.sort(ranked[half:])
    evenly = rest[np.linspace(0, len(rest) - 1, KEEP_MOST - half).astype(int)]
    return np.sort(np.concatenate([ranked[:half], evenly]))


def _even(index: int) -> float:
    """Return the index-th number of an even spread over 0..1: its ends, then what halves gaps."""
    if index < 2:
        return float(index)
    value, part = 0.0, 0.5
    index -= 1
    while index:
        value += part * (index % 2)
        index //= 2
        part /= 2
    return value


def _top(scores: Mapping[Genotype, float], n: int) -> list[Genotype]:
    return sorted(scores, key=lambda g: -scores[g])[:n]


def _differences(one: Genotype, two: Genotype) -> int:
    return sum(a != b for a, b in zip(one, two, strict=True))
