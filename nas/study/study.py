"""The study of a search: one trial per network, in an Optuna storage that survives crashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import optuna
import pandas as pd
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nas.accuracy import Estimate
from nas.cost import Cost
from nas.document import plain_document
from nas.errors import MixnasError
from nas.formats.arch_string import arch_string
from nas.latency import Latency
from nas.objective import Objective
from nas.samplers import GenotypeSampler, Proposal, distributions
from nas.space import Genotype, Space
from nas.spec import NetworkSpec
from nas.study.beliefs import Beliefs
from nas.study.facts import FACTS, SPACE, check_trials, compare_facts
from nas.study.latencies import confirmed_attribute, confirmed_latencies, latency_attribute
from nas.study.storage import create_study, load_study, name_values, storage_errors
from nas.study.table import trial_table

INTERRUPTED = "interrupted"
"""Prefix of the reason of a failed trial that was interrupted; its network is tried again."""
GIVEN_UP = "given up"
"""Prefix of the reason of a pruned trial whose early stages were not good enough."""
MOST_INTERRUPTIONS = 3
"""Number of interruptions after which a network is taken for their cause and not tried again."""


@dataclass
class OpenTrial:
    """A trial that is not finished.

    Attributes:
        number: Number of the trial within the study.
        trial_id: Optuna's identifier of the trial within the storage.
        genotype: Genotype of the network.
        spec: Specification of the network, named after the trial.
        cost: Exact costs of the network.
        latencies: Latencies of the network by device, the search's first device first; empty until
            they are known.
    """

    number: int
    trial_id: int
    genotype: Genotype
    spec: NetworkSpec
    cost: Cost
    latencies: dict[str, Latency] = field(default_factory=dict)

    @property
    def latency(self) -> Latency | None:
        """Latency on the search's first device; None until it is known."""
        return next(iter(self.latencies.values()), None)


class SearchStudy:
    """The trials of one search, in an Optuna storage that several processes may write to."""

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        space: Space,
        sampler: GenotypeSampler,
        objective: Objective,
        seed: int,
        new: bool,
        devices: Sequence[str] = ("",),
        by_accuracy: bool = True,
    ) -> None:
        """Create or open a study.

        Args:
            storage: Storage of the study; see `nas.study.storage.open_storage`.
            name: Name of the study in the storage.
            space: Search space of the networks.
            sampler: Sampler that proposes networks.
            objective: Objective that defines the values of a trial.
            seed: Random seed of the search, recorded with every trial.
            new: Whether to create the study; otherwise it must exist.
            devices: Devices whose latencies the trials have, the first one first.
            by_accuracy: Whether scores are accuracies, of which a model takes the noise off (see
                `Beliefs`); other scores count as they are.

        Raises:
            MixnasError: If a new study exists already, or another one does not exist, does not fit
                the space or is damaged.
        """
        self.space = space
        self.objective = objective
        self.seed = seed
        self.devices = tuple(devices)
        self._beliefs = Beliefs(space) if by_accuracy else None
        self._sampler = sampler
        self._distributions = distributions(space)
        self._storage = storage
        self._queue: list[Genotype] = []  # interrupted networks, to be tried again
        self._outcomes: dict[int, tuple[TrialState, str]] = {}
        with storage_errors():
            if new:
                self._study = create_study(storage, name, sampler, objective.directions)
                name_values(self._study, objective.value_names(self.devices))
            else:
                self._study = load_study(storage, name, sampler)
        check_trials(self._trials(), self._distributions, len(objective.directions))

    @property
    def optuna_study(self) -> optuna.Study:
        """The study as Optuna has it."""
        return self._study

    # -- starting trials --------------------------------------------------------------------

    def ask(self) -> OpenTrial:
        """Start a trial of a network that was interrupted, or of the sampler's next proposal.

        Raises:
            LimitError: If no network meets the limits, or every network found that does was tried.
        """
        while True:
            if self._queue:
                proposal = Proposal(self._queue.pop(0))
            else:
                with storage_errors():
                    proposal = self._sampler.next_proposal(self._study, len(self._outcomes))
            trial, twin = self._begin(proposal)
            if twin is None:
                return trial
            # Another process proposed the same network at the same time and was first to write it.
            self.fail(trial, f"{INTERRUPTED}: the same network as trial {twin}")

    def _begin(self, proposal: Proposal) -> tuple[OpenTrial, int | None]:
        """Write a new trial to the storage.

        The trial is written in one transaction; one per parameter would take ten times as long.

        Returns:
            The trial, and the number of an earlier trial of the same network, interrupted ones
            excepted; None if there is no such trial.
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
            trial_id = self._storage.create_new_trial(self._study._study_id, template)
        same = [
            trial
            for trial in self._trials()
            if trial.user_attrs.get("spec_hash") == template.user_attrs["spec_hash"]
            and trial._trial_id <= trial_id
            and not was_interrupted(trial)
        ]
        number = same[-1].number
        trial = OpenTrial(
            number=number,
            trial_id=trial_id,
            genotype=genotype,
            spec=spec.replace(name=f"trial_{number}"),
            cost=cost,
        )
        return trial, same[0].number if len(same) > 1 else None

    def reopen(self, number: int) -> OpenTrial | None:
        """Return a running trial, so that it can be continued; None if the trial is not running."""
        trials = self._trials()
        if not 0 <= number < len(trials) or trials[number].state != TrialState.RUNNING:
            return None
        trial = trials[number]
        genotype = self.space.from_params(trial.params)
        known = {device: trial.user_attrs.get(self._attribute(device)) for device in self.devices}
        return OpenTrial(
            number=number,
            trial_id=trial._trial_id,
            genotype=genotype,
            spec=self.space.decode(genotype, name=f"trial_{number}"),
            cost=self.space.cost(genotype),
            latencies={name: Latency.from_dict(data) for name, data in known.items() if data},
        )

    # -- ending trials ----------------------------------------------------------------------

    def _attribute(self, device: str) -> str:
        return latency_attribute(device, self.devices)

    def note_latency(self, trial: OpenTrial, latency: Latency, device: str | None = None) -> None:
        """Record the latency of an open trial on a device; None for the first one."""
        device = self.devices[0] if device is None else device
        trial.latencies[device] = latency
        self._note(trial, self._attribute(device), latency.to_dict())

    def complete(self, trial: OpenTrial, estimate: Estimate) -> None:
        """Complete a trial.

        Raises:
            ValueError: If its latencies were not recorded by `note_latency`.
        """
        if lacking := [device for device in self.devices if device not in trial.latencies]:
            raise ValueError(f"trial {trial.number} has no latency on {lacking[0]}")
        self._note(trial, "estimate", asdict(estimate))
        latencies = [trial.latencies[device].steady_ms for device in self.devices]
        values = self.objective.values(estimate.score, *latencies)
        self._end(trial, TrialState.COMPLETE, values=values)

    def confirm(self, number: int, latency: Latency | None, device: str | None = None) -> None:
        """Record a measured latency of a finished trial whose latency was predicted or noisy.

        It replaces the earlier latency in the table; None if the device cannot run the network. The
        value that the sampler learns from stays.
        """
        attribute = self._attribute(self.devices[0] if device is None else device)
        with storage_errors():
            name = confirmed_attribute(number, attribute)
            self._study.set_user_attr(name, {} if latency is None else latency.to_dict())

    def without_latency(self, device: str) -> dict[int, Genotype]:
        """Return the complete trials whose latency on a device is not known, by number."""
        attribute, known = self._attribute(device), confirmed_latencies(self._attributes())
        return {
            trial.number: self.space.from_params(trial.params)
            for trial in self._trials()
            if trial.state == TrialState.COMPLETE
            and attribute not in trial.user_attrs
            and (trial.number, attribute) not in known
        }

    def prune(self, trial: OpenTrial, reason: str) -> None:
        """End a trial that is not worth continuing, such as one that violates a limit."""
        self._note(trial, "reason", reason)
        self._end(trial, TrialState.PRUNED, reason)

    def fail(self, trial: OpenTrial, reason: str) -> None:
        """End a trial whose network could not be evaluated."""
        self._note(trial, "reason", reason)
        self._end(trial, TrialState.FAIL, reason)

    def _note(self, trial: OpenTrial, key: str, value: Any) -> None:
        with storage_errors():
            self._storage.set_trial_user_attr(trial.trial_id, key, value)

    def _end(
        self,
        trial: OpenTrial,
        state: TrialState,
        reason: str = "",
        values: Sequence[float] | None = None,
    ) -> None:
        with storage_errors():
            self._storage.set_trial_state_values(trial.trial_id, state, values)
        self._outcomes[trial.number] = (state, reason)

    def requeue(self, continued: Container[int] = ()) -> int:
        """Fail the trials that an earlier process left running, and queue their networks again.

        A network that was interrupted `MOST_INTERRUPTIONS` times is not tried again, because it may
        be what crashes the process.

        Args:
            continued: Numbers of running trials that are continued and therefore left alone.

        Returns:
            The number of networks in the queue.
        """
        trials = self._trials()
        interruptions = Counter(t.user_attrs.get("spec_hash") for t in trials if was_interrupted(t))
        for trial in trials:
            if trial.state == TrialState.RUNNING and trial.number not in continued:
                with storage_errors():
                    reason = f"{INTERRUPTED}; put in the queue again"
                    if interruptions[trial.user_attrs.get("spec_hash")] + 1 >= MOST_INTERRUPTIONS:
                        reason = f"{INTERRUPTED} {MOST_INTERRUPTIONS} times; not tried again"
                    self._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
                    self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        self._queue = self._interrupted()
        return len(self._queue)

    def _interrupted(self) -> list[Genotype]:
        """Return the interrupted networks that have no other trial and may be tried again."""
        interruptions: Counter[str] = Counter()
        tried: set[str] = set()
        latest: dict[str, FrozenTrial] = {}
        for trial in self._trials():
            spec_hash = str(trial.user_attrs.get("spec_hash"))
            if not was_interrupted(trial):
                tried.add(spec_hash)
            elif trial.params:
                interruptions[spec_hash] += 1
                latest[spec_hash] = trial
        return [
            self.space.from_params(trial.params)
            for spec_hash, trial in latest.items()
            if spec_hash not in tried and interruptions[spec_hash] < MOST_INTERRUPTIONS
        ]

    # -- the whole study --------------------------------------------------------------------

    def check_facts(self, what: str, facts: dict[str, Any]) -> None:
        """Record what results depend on, or compare it with the record of an earlier process.

        Args:
            what: ``accuracies`` or ``latencies``.
            facts: Fingerprint of the estimator, or conditions of the device; JSON-serializable.

        Raises:
            MixnasError: If the facts have changed, so that old and new results are not comparable.
        """
        name = FACTS.format(what)
        recorded = self._attributes().get(name)
        if recorded is None:
            with storage_errors():
                self._study.set_user_attr(name, facts)
        else:
            compare_facts(what, recorded, facts)

    def record_space(self, document: Any) -> None:
        """Record the document of the study's space, unless it is known (see `space_changes`)."""
        if SPACE not in self._attributes():
            with storage_errors():
                self._study.set_user_attr(SPACE, plain_document(document))

    def completed(self) -> int:
        """Return the number of complete trials, as of the last read or write of this process."""
        return sum(state == TrialState.COMPLETE for state, _ in self._outcomes.values())

    def ended_without(self) -> list[str]:
        """Return the reasons of failed and pruned trials, except interrupted and given up ones."""
        return [
            reason
            for state, reason in self._outcomes.values()
            if state in (TrialState.FAIL, TrialState.PRUNED)
            and not reason.startswith((INTERRUPTED, GIVEN_UP))
        ]

    def _trials(self) -> list[FrozenTrial]:
        try:
            with storage_errors():
                trials = self._study.get_trials(deepcopy=False)
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            reason = (str(error).splitlines() or [""])[0]
            raise MixnasError(
                f"the study '{self._study.study_name}' is damaged: a trial cannot be read "
                f"({reason}); restore it from a copy, or start a new run"
            ) from None
        self._outcomes = {
            trial.number: (trial.state, str(trial.user_attrs.get("reason", ""))) for trial in trials
        }
        return trials

    def _attributes(self) -> dict[str, Any]:
        with storage_errors():
            return self._study.user_attrs

    def table(self) -> pd.DataFrame:
        """Return the table of all trials; see `nas.study.table.trial_table`."""
        confirmed = confirmed_latencies(self._attributes())
        return trial_table(
            self._trials(), self.space, self.objective, confirmed, self.devices, self._beliefs
        )


def was_interrupted(trial: FrozenTrial) -> bool:
    """Return whether a trial was interrupted, so that its network may be tried again."""
    reason = str(trial.user_attrs.get("reason", ""))
    return trial.state == TrialState.FAIL and reason.startswith(INTERRUPTED)
