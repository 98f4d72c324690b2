"""The base of our samplers: whole proposals, inside the limits, never the same network twice."""

from __future__ import annotations

import random
import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import TrialPruned
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler as IndependentSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.errors import ExhaustedError, MixnasError
from nas.samplers.domain import Domain
from nas.samplers.pinned import PinnedDomain
from nas.samplers.tried import Tried
from nas.space import Genotype
from nas.units import number_of

ATTEMPTS = 50  # draws before untried networks are looked for systematically
MOST_NEIGHBOURS = 20_000  # neighbors of tried networks that are looked at
# Threads of `study.optimize` take turns. Module level, since a sampler that held a lock could not
# be pickled.
_PROPOSAL_LOCK = threading.RLock()


@dataclass(frozen=True)
class Proposal:
    """A network that a sampler proposes.

    Attributes:
        genotype: Genotype to try.
        notes: Data that the sampler needs back with the trial, stored as Optuna's system
            attributes of the trial.
    """

    genotype: Genotype
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PastTrial:
    """A trial that a sampler learns from, or at least must not repeat.

    Attributes:
        trial: Optuna's record of the trial.
        genotype: Genotype of the trial's network.
    """

    trial: FrozenTrial
    genotype: Genotype

    @property
    def pending(self) -> bool:
        """Whether the result is still to come."""
        return not self.trial.state.is_finished()


class GenotypeSampler(BaseSampler):
    """Base class of samplers that propose whole genotypes.

    The set of Optuna parameters is fixed, whichever of the variables are active. A subclass
    implements `propose`; this class makes sure that no proposal is made twice. A proposal depends
    only on the seed, the trial's number and the results so far. Parameters of other names, which a
    script may suggest as well, are drawn at random.

    Attributes:
        domain: Set of genotypes to propose from; without those that
            `optuna.samplers.PartialFixedSampler` rules out.
        seed: Random seed.
    """

    def __init__(self, domain: Domain, seed: int = 0) -> None:
        """Create a sampler.

        Args:
            domain: Set of genotypes to propose from.
            seed: Random seed.
        """
        self.domain = domain
        self._whole = domain
        self._pins: dict[int, int] = {}
        self.seed = seed
        self._study_key: tuple[str, int] | None = None
        self._forget()

    def _forget(self) -> None:
        """Drop everything learned from a study, because another study begins."""
        self._finished: dict[int, PastTrial | None] = {}
        # Proposals by trial number, for trials whose parameters are not all visible yet.
        self._proposed: dict[int, Genotype] = {}
        self._exhausted: set[int] = set()  # numbers of trials that no network was left for

    @abstractmethod
    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """Propose a genotype inside the limits; repeating an earlier proposal is allowed here.

        Args:
            study: Study of the trial; gives the directions of the objectives.
            past: All other trials whose parameters are known, in order of their numbers.
            number: Number of the trial that the proposal is for.
            rng: Source of all randomness.
        """

    def next_proposal(self, study: Study, number: int) -> Proposal:
        """Propose a genotype that was not proposed before.

        Args:
            study: Study of the trial.
            number: Number of the trial that the proposal is for.

        Raises:
            LimitError: If no network meets the limits, or every network found that does was
                proposed before.
        """
        if self._study_key != (study.study_name, study._study_id):
            if self._study_key is not None:
                self._forget()
            self._study_key = (study.study_name, study._study_id)
        past = self._past(study, number)
        complete = [p.genotype for p in past if p.trial.state == TrialState.COMPLETE]
        self.domain.learn_conditions(complete)
        tried = self.tried(past)
        for attempt in range(ATTEMPTS):
            rng = random.Random(f"{self.seed}/{number}/{attempt}")
            if attempt == 0:
                proposal = self.propose(study, past, number, rng)
            else:
                proposal = Proposal(self.domain.draw(rng))
            if proposal.genotype not in tried:
                return proposal
        return Proposal(self._untried(tried, rng))

    def _untried(self, tried: Tried, rng: random.Random) -> Genotype:
        """Return a genotype that was not tried, where draws hardly find one.

        Raises:
            ExhaustedError: If there is none, or none was found; the message says which.
        """
        members = self.domain.members()
        if members is not None:
            left = [genotype for genotype in members if genotype not in tried]
            if left:
                return rng.choice(left)
            raise ExhaustedError(
                f"every network of '{self.domain.name}' within the limits was tried, "
                f"{len(members):,} in all"
            )
        looked_at = 0
        for genotype in rng.sample(list(tried), len(tried)):
            for neighbor in self.domain.neighbours(genotype):
                looked_at += 1
                if neighbor not in tried and self.domain.admits(neighbor):
                    return neighbor
            if looked_at > MOST_NEIGHBOURS:
                break
        raise ExhaustedError(
            f"neither {ATTEMPTS} draws nor {looked_at:,} neighbors of what was tried "
            f"({number_of(len(tried), 'network')}) gave another network of '{self.domain.name}' "
            "within the limits"
        )

    def tried(self, past: Iterable[PastTrial]) -> Tried:
        """Return the genotypes of all trials, which are not proposed again."""
        canonical = self.domain.canonical
        if self.domain.conditions_known:
            return Tried(p.genotype for p in past)
        # What a trial did not suggest before it failed may be known to have no effect.
        genotypes = (
            p.genotype if p.trial.state == TrialState.COMPLETE else canonical(p.genotype)
            for p in past
        )
        return Tried(genotypes, partial=True)

    def new_near(self, genotype: Genotype, seen: Tried, rng: random.Random) -> Genotype:
        """Return a genotype inside the limits near a given one, and not in `seen` if possible."""
        genotype = self.domain.repair(genotype, rng)
        for _ in range(ATTEMPTS):
            if genotype not in seen:
                break
            genotype = self.domain.repair(self.domain.mutate(genotype, rng), rng)
        return genotype

    def _past(self, study: Study, number: int) -> list[PastTrial]:
        """Return all trials except one. Finished trials are parsed only once."""
        result = []
        for trial in study.get_trials(deepcopy=False):
            if trial.number == number:
                continue
            if trial.number in self._finished:
                past = self._finished[trial.number]
            else:
                past = self._parse(trial)
                known = trial.number in self._proposed and trial.state != TrialState.COMPLETE
                if past is None and known:
                    past = PastTrial(trial, self._proposed[trial.number])
                if trial.state.is_finished():
                    self._finished[trial.number] = past
                    self._proposed.pop(trial.number, None)
            if past is not None:
                result.append(past)
        return result

    def _parse(self, trial: FrozenTrial) -> PastTrial | None:
        """Return a trial with its genotype, or None if that is not known (yet).

        What a complete trial did not suggest has no effect; others may have ended before.
        """
        complete = trial.state == TrialState.COMPLETE
        try:
            genotype = self.domain.from_parameters(trial.params, partial=complete)
        except (MixnasError, LookupError):  # another script's parameters, or values out of range
            return None
        return PastTrial(trial, genotype)

    # -- Optuna's interface -----------------------------------------------------------------

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the distributions of all variables: a proposal always covers all of them."""
        return dict(self.domain.distributions)  # which Optuna may change

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose an assignment of all variables.

        Raises:
            LimitError: If no network meets the limits, or every network found that does was
                proposed before.
            MixnasError: If a value that `optuna.samplers.PartialFixedSampler` fixes is not among
                the variable's values.
        """
        if not search_space:
            return {}
        with _PROPOSAL_LOCK:
            self._pin(study, search_space)
            try:
                proposal = self.next_proposal(study, trial.number)
            except ExhaustedError as error:
                return self._end(study, trial, error)
            fixed = trial.system_attrs.get("fixed_params", {})
            genotype = self._with_fixed(fixed, proposal.genotype, self._past(study, trial.number))
            self._proposed[trial.number] = genotype
            for key, note in proposal.notes.items():
                study._storage.set_trial_system_attr(trial._trial_id, key, note)
        parameters = self.domain.to_parameters(genotype)
        return {name: parameters[name] for name in search_space if name in parameters}

    def _pin(self, study: Study, search_space: Mapping[str, Any]) -> None:
        """Restrict the domain to the values that a sampler around this one fixes, if any does."""
        fixed: dict[str, Any] = getattr(study.sampler, "_fixed_params", {})
        pins = {}
        for name in self._whole.distributions:
            if name in search_space or name not in fixed:
                continue
            index = self._whole.index_of(name, fixed[name])
            if index is None:
                raise MixnasError(
                    f"'{name}' is fixed at {fixed[name]!r}, which is not among the values of "
                    f"{self._whole.distributions[name]}; fix one of those"
                )
            pins[self._whole.position(name)] = index
        if pins != self._pins:
            self._pins = pins
            self.domain = PinnedDomain(self._whole, pins) if pins else self._whole
            self._forget()

    def _end(self, study: Study, trial: FrozenTrial, error: ExhaustedError) -> dict[str, Any]:
        """End `study.optimize` with this trial pruned; with `study.ask`, raise the error."""
        try:
            study.stop()
        except RuntimeError:  # the trial comes from `study.ask`
            raise error from None
        self._exhausted.add(trial.number)
        return {}

    def _with_fixed(
        self, fixed: dict[str, Any], genotype: Genotype, past: Sequence[PastTrial]
    ) -> Genotype:
        """Return a genotype with the fixed values of an enqueued trial.

        It is within the limits and untried if possible. Values that the domain does not have are
        left to Optuna, which warns of them.
        """
        found = {
            self.domain.position(name): self.domain.index_of(name, value)
            for name, value in fixed.items()
            if name in self.domain.distributions
        }
        pins = {i: index for i, index in found.items() if index is not None}
        if not pins:
            return genotype
        pinned = PinnedDomain(self.domain, pins)
        rng, tried = random.Random(str(genotype)), self.tried(past)
        result = pinned.pinned(genotype)
        for _ in range(ATTEMPTS):
            if pinned.admits(result) and result not in tried:
                break
            result = pinned.pinned(self.domain.draw(rng))
        return result

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw a parameter that is not a variable, for example a continuous one, at random.

        Raises:
            TrialPruned: If all networks within the limits were tried.
            MixnasError: If a variable was suggested with another distribution than its own.
        """
        if trial.number in self._exhausted:
            raise TrialPruned("all networks within the limits were tried")
        if param_name in self.domain.distributions:
            raise MixnasError(
                f"'{param_name}' was suggested with {param_distribution}, but is a variable of "
                f"'{self.domain.name}' with {self.domain.distributions[param_name]}; suggest the "
                "variables with their own distributions"
            )
        seed = random.Random(f"{self.seed}/{trial.number}/{param_name}").getrandbits(32)
        sampler = IndependentSampler(seed)
        return sampler.sample_independent(study, trial, param_name, param_distribution)
