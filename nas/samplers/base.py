"""The base of our samplers: whole proposals, inside the limits, never the same network twice."""

from __future__ import annotations

import random
import threading
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import TrialPruned
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from nas.errors import ExhaustedError, MixnasError
from nas.samplers.domain import Domain
from nas.space import Genotype

ATTEMPTS = 50  # draws before a search for an untried proposal is given up
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
    only on the seed, the trial's number and the results so far.

    Attributes:
        domain: Set of genotypes to propose from.
        seed: Random seed.
    """

    def __init__(self, domain: Domain, seed: int = 0) -> None:
        """Create a sampler.

        Args:
            domain: Set of genotypes to propose from.
            seed: Random seed.
        """
        self.domain = domain
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
        seen = tried_genotypes(past)
        for attempt in range(ATTEMPTS):
            rng = random.Random(f"{self.seed}/{number}/{attempt}")
            if attempt == 0:
                proposal = self.propose(study, past, number, rng)
            else:
                proposal = Proposal(self.domain.draw(rng))
            if proposal.genotype not in seen:
                return proposal
        raise ExhaustedError(
            f"{len(seen)} networks of '{self.domain.name}' were tried and {ATTEMPTS} draws found "
            "no other within the limits"
        )

    def new_near(self, genotype: Genotype, seen: set[Genotype], rng: random.Random) -> Genotype:
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
                if trial.state.is_finished():
                    self._finished[trial.number] = past
                    self._proposed.pop(trial.number, None)
                elif past is None and trial.number in self._proposed:
                    past = PastTrial(trial, self._proposed[trial.number])
            if past is not None:
                result.append(past)
        return result

    def _parse(self, trial: FrozenTrial) -> PastTrial | None:
        try:
            return PastTrial(trial, self.domain.from_parameters(trial.params))
        except (MixnasError, LookupError):  # not all parameters are known (yet)
            return None

    # -- Optuna's interface -----------------------------------------------------------------

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the distributions of all variables: a proposal always covers all of them."""
        return self.domain.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose an assignment of all variables.

        Raises:
            LimitError: If no network meets the limits, or every network found that does was
                proposed before.
        """
        if not search_space:
            return {}
        with _PROPOSAL_LOCK:
            try:
                proposal = self.next_proposal(study, trial.number)
            except ExhaustedError as error:
                return self._end(study, trial, error)
            fixed = trial.system_attrs.get("fixed_params", {})
            genotype = self._with_fixed(fixed, proposal.genotype)
            self._proposed[trial.number] = genotype
            for key, note in proposal.notes.items():
                study._storage.set_trial_system_attr(trial._trial_id, key, note)
        return self.domain.to_parameters(genotype)

    def _end(self, study: Study, trial: FrozenTrial, error: ExhaustedError) -> dict[str, Any]:
        """End `study.optimize` with this trial pruned; with `study.ask`, raise the error."""
        try:
            study.stop()
        except RuntimeError:  # the trial comes from `study.ask`
            raise error from None
        self._exhausted.add(trial.number)
        return {}

    def _with_fixed(self, fixed: dict[str, Any], genotype: Genotype) -> Genotype:
        """Return a genotype with the fixed values of an enqueued trial, admitted if possible."""
        rng = random.Random(str(genotype))
        result = genotype
        for _ in range(ATTEMPTS if fixed else 0):
            known = {k: v for k, v in fixed.items() if k in self.domain.distributions}
            result = self.domain.from_parameters(self.domain.to_parameters(genotype) | known)
            if self.domain.admits(result):
                break
            genotype = self.domain.draw(rng)
        return result

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Refuse to sample one variable: it has no meaning without the others.

        Raises:
            TrialPruned: If all networks within the limits were tried.
            MixnasError: Otherwise.
        """
        if trial.number in self._exhausted:
            raise TrialPruned("all networks within the limits were tried")
        raise MixnasError(
            f"'{param_name}' is not a variable of '{self.domain.name}', or was suggested with "
            "another distribution; suggest the variables with the distributions of the space"
        )


def tried_genotypes(past: Iterable[PastTrial]) -> set[Genotype]:
    """Return the genotypes of all trials, which are not proposed again."""
    return {p.genotype for p in past}
