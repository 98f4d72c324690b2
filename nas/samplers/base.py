"""What our samplers share: whole proposals, inside the limits, never the same one twice."""

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

ATTEMPTS = 50  # to find a proposal that was not made before
_TURN = threading.RLock()  # of threads that optimize; a sampler with a lock could not be pickled


@dataclass(frozen=True)
class Proposal:
    """What a sampler proposes.

    Attributes:
        genotype: to try.
        notes: that the sampler wants back with the trial (as Optuna's system attributes).
    """

    genotype: Genotype
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PastTrial:
    """A trial that a sampler knows of.

    Attributes:
        trial: Optuna's record.
        genotype: of the trial.
    """

    trial: FrozenTrial
    genotype: Genotype

    @property
    def pending(self) -> bool:
        """Whether its result is still to come."""
        return not self.trial.state.is_finished()


class GenotypeSampler(BaseSampler):
    """Proposes whole genotypes: a fixed set of parameters, whatever of them is active.

    A subclass says what to propose; here it is kept new. Proposals follow from the seed, the
    trial's number and the results so far.

    Attributes:
        domain: what is proposed.
        seed: of everything random.
    """

    def __init__(self, domain: Domain, seed: int = 0) -> None:
        """Take what is proposed, and a seed."""
        self.domain = domain
        self.seed = seed
        self._study: tuple[str, int] | None = None
        self._forget()

    def _forget(self) -> None:
        """Forget what was learned in a study, since another one has begun."""
        self._finished: dict[int, PastTrial | None] = {}
        self._proposed: dict[int, Genotype] = {}  # to trials that may not show all of it yet
        self._over: set[int] = set()  # trials that there was nothing left for

    @abstractmethod
    def propose(
        self, study: Study, past: Sequence[PastTrial], number: int, rng: random.Random
    ) -> Proposal:
        """Propose something inside the limits; it may have been proposed before.

        Args:
            study: for its directions.
            past: all trials so far that have parameters, in order.
            number: of the trial to come.
            rng: decides everything random.
        """

    def next_proposal(self, study: Study, number: int) -> Proposal:
        """Propose something that was not proposed before.

        Raises:
            LimitError: when nothing meets the limits, or all that does was proposed before.
        """
        if self._study != (study.study_name, study._study_id):
            if self._study is not None:
                self._forget()
            self._study = (study.study_name, study._study_id)
        past = self._past(study, number)
        seen = tried(past)
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
        """Return a genotype inside the limits near one, and one that was not seen if it can."""
        genotype = self.domain.repair(genotype, rng)
        for _ in range(ATTEMPTS):
            if genotype not in seen:
                break
            genotype = self.domain.repair(self.domain.mutate(genotype, rng), rng)
        return genotype

    def _past(self, study: Study, number: int) -> list[PastTrial]:
        """Return the trials but for one; what is finished is read once."""
        result = []
        for trial in study.get_trials(deepcopy=False):
            if trial.number == number:
                continue
            if trial.number in self._finished:
                past = self._finished[trial.number]
            else:
                past = self._read(trial)
                if trial.state.is_finished():
                    self._finished[trial.number] = past
                    self._proposed.pop(trial.number, None)
                elif past is None and trial.number in self._proposed:
                    past = PastTrial(trial, self._proposed[trial.number])
            if past is not None:
                result.append(past)
        return result

    def _read(self, trial: FrozenTrial) -> PastTrial | None:
        try:
            return PastTrial(trial, self.domain.from_parameters(trial.params))
        except (MixnasError, LookupError):  # it ended before its parameters were known
            return None

    # -- Optuna's side ----------------------------------------------------------------------

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all variables: a proposal is always whole."""
        return self.domain.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose one assignment of all variables.

        Raises:
            LimitError: when nothing meets the limits, or all that does was proposed before.
        """
        if not search_space:
            return {}
        with _TURN:
            try:
                proposal = self.next_proposal(study, trial.number)
            except ExhaustedError as error:
                return self._end(study, trial, error)
            genotype = self._around(trial.system_attrs.get("fixed_params", {}), proposal.genotype)
            self._proposed[trial.number] = genotype
            for key, note in proposal.notes.items():
                study._storage.set_trial_system_attr(trial._trial_id, key, note)
        return self.domain.to_parameters(genotype)

    def _end(self, study: Study, trial: FrozenTrial, error: ExhaustedError) -> dict[str, Any]:
        """Let `study.optimize` end by itself, with this trial pruned; others see the error."""
        try:
            study.stop()
        except RuntimeError:  # it was asked
            raise error from None
        self._over.add(trial.number)
        return {}

    def _around(self, fixed: dict[str, Any], genotype: Genotype) -> Genotype:
        """Return a genotype inside the limits with the values of an enqueued trial, if it can."""
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
        """Refuse: a variable has no meaning without the others."""
        if trial.number in self._over:
            raise TrialPruned("everything within the limits was tried")
        raise MixnasError(
            f"'{param_name}' is no variable of '{self.domain.name}', or was suggested with other "
            "values; suggest the space's own"
        )


def tried(past: Iterable[PastTrial]) -> set[Genotype]:
    """Return what is not proposed again."""
    return {p.genotype for p in past}
