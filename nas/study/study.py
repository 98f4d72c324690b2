"""The study: one trial, one row, in an Optuna storage that outlives crashes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import optuna
import pandas as pd
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nas.accuracy import Estimate
from nas.cost import Cost
from nas.errors import MixnasError
from nas.formats.arch_string import arch_string
from nas.latency import Latency
from nas.objective import Objective
from nas.samplers import GenotypeSampler, Proposal, distributions
from nas.space import Genotype, Space
from nas.spec import NetworkSpec
from nas.study.storage import storage_errors
from nas.study.table import trial_table

INTERRUPTED = "interrupted"
"""How the reason of a trial begins that ended with its process and says nothing of its network."""
GIVEN_UP = "given up"
"""How the reason of a trial begins whose first stages were seen and not good enough."""
MOST_INTERRUPTIONS = 3  # of one network, before it is thought to be the cause
_CONFIRMED = "confirmed latency of trial "


@dataclass
class OpenTrial:
    """A trial that is not finished.

    Attributes:
        number: of the trial.
        identity: Optuna's, within the storage.
        genotype: of the network.
        spec: the network, named after the trial.
        cost: its exact costs.
        latency: once measured.
    """

    number: int
    identity: int
    genotype: Genotype
    spec: NetworkSpec
    cost: Cost
    latency: Latency | None = None


class SearchStudy:
    """Trials of one search, in an Optuna storage that several processes may write to."""

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: Space,
        sampler: GenotypeSampler,
        objective: Objective,
        seed: int,
        new: bool,
    ) -> None:
        """Open a study.

        Args:
            storage: that holds it; see `nas.study.storage.open_storage`.
            name: of the study in the storage.
            space: that the trials' networks are members of.
            sampler: proposes networks.
            objective: what Optuna is told of a network.
            seed: noted with every trial.
            new: make the study; else it must be there.

        Raises:
            MixnasError: when the storage has one of that name already, or none.
        """
        self.space = space
        self.objective = objective
        self.seed = seed
        self._sampler = sampler
        self._distributions = distributions(space)
        self._storage = storage
        self._again: list[Genotype] = []
        self._ends: dict[int, tuple[TrialState, str]] = {}
        with storage_errors():
            if new:
                self._study = _create(storage, name, sampler, objective)
            else:
                self._study = _load(storage, name, sampler)
        self._trials()

    # -- trials begin -----------------------------------------------------------------------

    def ask(self) -> OpenTrial:
        """Start a trial: a network that was interrupted, or the sampler's next one.

        Raises:
            LimitError: when no network meets the limits, or all that do were tried.
        """
        while True:
            if self._again:
                proposal = Proposal(self._again.pop(0))
            else:
                with storage_errors():
                    proposal = self._sampler.next_proposal(self._study, len(self._ends))
            trial, twin = self._begin(proposal)
            if twin is None:
                return trial
            # Another process proposed the same network in the same moment; it was first.
            self.fail(trial, f"{INTERRUPTED}: the same network as trial {twin}")

    def _begin(self, proposal: Proposal) -> tuple[OpenTrial, int | None]:
        """Write a trial; return it, and an earlier one of the same network that still counts.

        It is one transaction: parameter by parameter it would take ten times as long.
        """
        genotype = proposal.genotype
        spec, cost = self.space.decode(genotype), self.space.cost(genotype)
        labels = self.space.to_params(genotype)
        params = {name: label for name, label in labels.items() if label is not None}
        template = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=TrialState.RUNNING,
            value=None,
            datetime_start=datetime.now(),
            datetime_complete=None,
            params=params,
            distributions={name: self._distributions[name] for name in params},
            user_attrs={
                "spec_hash": spec.digest(),
                "architecture": arch_string(spec),
                "cost": asdict(cost),
                "seed": self.seed,
            },
            system_attrs=proposal.notes,
            intermediate_values={},
        )
        with storage_errors():
            identity = self._storage.create_new_trial(self._study._study_id, template)
        same = [
            trial
            for trial in self._trials()
            if trial.user_attrs.get("spec_hash") == template.user_attrs["spec_hash"]
            and trial._trial_id <= identity
            and not was_interrupted(trial)
        ]
        number = same[-1].number
        trial = OpenTrial(number, identity, genotype, spec.replace(name=f"trial_{number}"), cost)
        return trial, same[0].number if len(same) > 1 else None

    def reopen(self, number: int) -> OpenTrial | None:
        """Return a trial that is running, for whoever goes on with it; None when it is not."""
        trial = self._trials()[number]
        if trial.state != TrialState.RUNNING:
            return None
        genotype = self.space.from_params(trial.params)
        latency = trial.user_attrs.get("latency")
        return OpenTrial(
            number,
            trial._trial_id,
            genotype,
            self.space.decode(genotype, name=f"trial_{number}"),
            self.space.cost(genotype),
            Latency.from_dict(latency) if latency else None,
        )

    # -- trials end -------------------------------------------------------------------------

    def note_latency(self, trial: OpenTrial, latency: Latency) -> None:
        """Record a trial's latency."""
        trial.latency = latency
        self._note(trial, "latency", latency.to_dict())

    def complete(self, trial: OpenTrial, estimate: Estimate) -> None:
        """Finish a trial whose latency was noted.

        Raises:
            ValueError: when it was not.
        """
        if trial.latency is None:
            raise ValueError(f"trial {trial.number} has no latency")
        self._note(trial, "estimate", asdict(estimate))
        values = self.objective.values(estimate.score, trial.latency.steady_ms)
        self._tell(trial, TrialState.COMPLETE, values=values)

    def confirm(self, number: int, latency: Latency) -> None:
        """Record the latency of a finished trial, where it was predicted or noisy before.

        It takes the earlier one's place in the table; what the sampler was told stays.
        """
        with storage_errors():
            self._study.set_user_attr(f"{_CONFIRMED}{number}", latency.to_dict())

    def prune(self, trial: OpenTrial, reason: str) -> None:
        """End a trial that is not worth going on with."""
        self._note(trial, "reason", reason)
        self._tell(trial, TrialState.PRUNED, reason)

    def fail(self, trial: OpenTrial, reason: str) -> None:
        """End a trial that could not be judged."""
        self._note(trial, "reason", reason)
        self._tell(trial, TrialState.FAIL, reason)

    def _note(self, trial: OpenTrial, key: str, value: Any) -> None:
        with storage_errors():
            self._storage.set_trial_user_attr(trial.identity, key, value)

    def _tell(
        self,
        trial: OpenTrial,
        state: TrialState,
        reason: str = "",
        values: Sequence[float] | None = None,
    ) -> None:
        with storage_errors():
            self._storage.set_trial_state_values(trial.identity, state, values)
        self._ends[trial.number] = (state, reason)

    def requeue(self, kept: Container[int] = ()) -> int:
        """Put trials that an earlier process left unfinished in the queue again.

        A network whose process ended `MOST_INTERRUPTIONS` times is not tried again: it may be what
        ends it.

        Args:
            kept: numbers of trials that somebody goes on with.

        Returns:
            How many networks are in the queue.
        """
        trials = self._trials()
        times = Counter(t.user_attrs.get("spec_hash") for t in trials if was_interrupted(t))
        for trial in trials:
            if trial.state == TrialState.RUNNING and trial.number not in kept:
                with storage_errors():
                    identity = trial._trial_id
                    reason = f"{INTERRUPTED}; put in the queue again"
                    if times[trial.user_attrs.get("spec_hash")] + 1 >= MOST_INTERRUPTIONS:
                        reason = f"{INTERRUPTED} {MOST_INTERRUPTIONS} times; not tried again"
                    self._storage.set_trial_user_attr(identity, "reason", reason)
                    self._storage.set_trial_state_values(identity, TrialState.FAIL)
        self._again = self._interrupted()
        return len(self._again)

    def _interrupted(self) -> list[Genotype]:
        """Return the networks that were interrupted, and have no trial that counts."""
        times: Counter[str] = Counter()
        counting: set[str] = set()
        waiting: dict[str, FrozenTrial] = {}
        for trial in self._trials():
            name = str(trial.user_attrs.get("spec_hash"))
            if not was_interrupted(trial):
                counting.add(name)
            elif trial.params:
                times[name] += 1
                waiting[name] = trial
        return [
            self.space.from_params(trial.params)
            for name, trial in waiting.items()
            if name not in counting and times[name] < MOST_INTERRUPTIONS
        ]

    # -- the whole study --------------------------------------------------------------------

    def check_facts(self, what: str, facts: dict[str, Any]) -> None:
        """Note what figures depend on, or compare it with what was noted at the start.

        Args:
            what: ``accuracies`` or ``latencies``.
            facts: an estimator's fingerprint, or a device's conditions.

        Raises:
            MixnasError: when they are others, so that figures could not be compared.
        """
        name = f"facts of {what}"
        noted = self._attributes().get(name)
        if noted is None:
            with storage_errors():
                self._study.set_user_attr(name, facts)
        elif noted != json.loads(json.dumps(facts)):
            changed = [k for k in {**noted, **facts} if facts.get(k) != noted.get(k)]
            raise MixnasError(
                f"{what} of this run could not be compared with new ones: "
                f"{', '.join(changed) or 'what they depend on'} changed; start a new run"
            )

    def completed(self) -> int:
        """Return how many trials have a score and a latency, as far as was seen."""
        return sum(state == TrialState.COMPLETE for state, _ in self._ends.values())

    def ended_without(self) -> list[str]:
        """Return why trials have no result; interrupted and given up ones are left out."""
        return [
            reason
            for state, reason in self._ends.values()
            if state in (TrialState.FAIL, TrialState.PRUNED)
            and not reason.startswith((INTERRUPTED, GIVEN_UP))
        ]

    def _trials(self) -> list[FrozenTrial]:
        with storage_errors():
            trials = self._study.get_trials(deepcopy=False)
        self._ends = {
            trial.number: (trial.state, str(trial.user_attrs.get("reason", ""))) for trial in trials
        }
        return trials

    def _attributes(self) -> dict[str, Any]:
        with storage_errors():
            return self._study.user_attrs

    def table(self) -> pd.DataFrame:
        """Return one row a trial; the same columns as `trials.csv`."""
        confirmed = {
            int(name.removeprefix(_CONFIRMED)): latency
            for name, latency in self._attributes().items()
            if name.startswith(_CONFIRMED)
        }
        return trial_table(self._trials(), self.space, self.objective, confirmed)


def was_interrupted(trial: FrozenTrial) -> bool:
    """Whether a trial ended without a word on its network, which may then be tried again."""
    reason = str(trial.user_attrs.get("reason", ""))
    return trial.state == TrialState.FAIL and reason.startswith(INTERRUPTED)


def _create(
    storage: BaseStorage, name: str, sampler: GenotypeSampler, objective: Objective
) -> optuna.Study:
    try:
        return optuna.create_study(
            storage=storage, sampler=sampler, study_name=name, directions=objective.directions
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise MixnasError(
            f"the storage has a study '{name}' already; choose another --out, or go on with it by "
            "--resume"
        ) from None


def _load(storage: BaseStorage, name: str, sampler: GenotypeSampler) -> optuna.Study:
    try:
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    except KeyError:
        raise MixnasError(f"the storage has no study '{name}'; it was another one's") from None
