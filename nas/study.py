"""The study: one trial, one row, in an Optuna storage that outlives crashes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nas.accuracy import Estimate
from nas.cost import Cost
from nas.errors import MixnasError
from nas.latency import Latency
from nas.limits import Limit
from nas.objective import Objective
from nas.samplers import LimitedSampler, distributions
from nas.space import Genotype, Space
from nas.spec import NetworkSpec

STUDY_NAME = "search"
VARIABLE_PREFIX = "x."
_CONFIRMED = "confirmed latency of trial "
LATENCY_COLUMNS = (
    "latency_ms",
    "latency_p10_ms",
    "latency_p90_ms",
    "latency_n",
    "latency_source",
    "latency_noise",
)


@dataclass
class OpenTrial:
    """A trial that is not finished.

    Attributes:
        handle: Optuna's side of it.
        genotype: of the network.
        spec: the network, named after the trial.
        cost: its exact costs.
        latency: once measured.
    """

    handle: Trial
    genotype: Genotype
    spec: NetworkSpec
    cost: Cost
    latency: Latency | None = None

    @property
    def number(self) -> int:
        """The trial's number."""
        return self.handle.number


class SearchStudy:
    """Trials of one search."""

    def __init__(
        self,
        storage: str,
        space: Space,
        sampler: LimitedSampler,
        objective: Objective,
        seed: int,
        new: bool,
    ) -> None:
        """Open a storage.

        Args:
            storage: Optuna's URL of it.
            space: that the trials' networks are members of.
            sampler: proposes networks.
            objective: what Optuna is told of a network.
            seed: noted with every trial.
            new: make the study; else it must be there.

        Raises:
            MixnasError: when the storage cannot be used.
        """
        self.space = space
        self.objective = objective
        self.seed = seed
        self._distributions = distributions(space)
        try:
            if new:
                self._study = optuna.create_study(
                    storage=storage,
                    sampler=sampler,
                    study_name=STUDY_NAME,
                    directions=objective.directions,
                )
            else:
                self._study = optuna.load_study(
                    study_name=STUDY_NAME, storage=storage, sampler=sampler
                )
        except (KeyError, optuna.exceptions.DuplicatedStudyError) as error:
            raise MixnasError(f"the study in {storage} cannot be opened: {error}") from None
        except (optuna.exceptions.StorageInternalError, SQLAlchemyError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise MixnasError(f"the storage {storage} cannot be used: {reason}") from None

    def ask(self) -> OpenTrial:
        """Start a trial: the sampler's next network.

        Raises:
            LimitError: when no network meets the limits.
        """
        try:
            handle = self._study.ask(self._distributions)
        except MixnasError as error:
            self._abandon(str(error))
            raise
        genotype = self.space.from_params(handle.params)
        spec = self.space.decode(genotype, name=f"trial_{handle.number}")
        trial = OpenTrial(handle, genotype, spec, self.space.cost(genotype))
        handle.set_user_attr("spec_hash", spec.digest())
        handle.set_user_attr("cost", asdict(trial.cost))
        handle.set_user_attr("seed", self.seed)
        return trial

    def _abandon(self, reason: str) -> None:
        """End the trial that Optuna had begun when no network could be proposed for it."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and not trial.params:
                Trial(self._study, trial._trial_id).set_user_attr(
                    "reason", f"interrupted: {reason}"
                )
                self._study.tell(trial.number, state=TrialState.FAIL)

    def note_latency(self, trial: OpenTrial, latency: Latency) -> None:
        """Record a trial's latency."""
        trial.latency = latency
        trial.handle.set_user_attr("latency", latency.to_dict())

    def complete(self, trial: OpenTrial, estimate: Estimate) -> None:
        """Finish a trial whose latency was noted.

        Raises:
            ValueError: when it was not.
        """
        if trial.latency is None:
            raise ValueError(f"trial {trial.number} has no latency")
        trial.handle.set_user_attr("estimate", asdict(estimate))
        values = self.objective.values(estimate.accuracy, trial.latency.steady_ms)
        self._study.tell(trial.handle, values)

    def confirm(self, number: int, latency: Latency) -> None:
        """Record the latency of a finished trial, where it was predicted or noisy before.

        It takes the earlier one's place in the table; what the sampler was told stays.
        """
        self._study.set_user_attr(f"{_CONFIRMED}{number}", latency.to_dict())

    def prune(self, trial: OpenTrial, limit: Limit) -> None:
        """End a trial whose latency breaks a limit, before anything is trained."""
        measured = trial.latency.steady_ms if trial.latency else float("nan")
        source = "predicted " if trial.latency and trial.latency.source == "predicted" else ""
        trial.handle.set_user_attr("reason", f"{source}latency {measured:.2f} ms breaks {limit}")
        self._study.tell(trial.handle, state=TrialState.PRUNED)

    def fail(self, trial: OpenTrial, reason: str) -> None:
        """End a trial that could not be judged."""
        trial.handle.set_user_attr("reason", reason)
        self._study.tell(trial.handle, state=TrialState.FAIL)

    def requeue(self) -> int:
        """Put trials that an earlier process left unfinished in the queue again, once each.

        Returns:
            How many.
        """
        interrupted = [t for t in self._trials() if t.state == TrialState.RUNNING]
        for trial in interrupted:
            handle = optuna.trial.Trial(self._study, trial._trial_id)
            handle.set_user_attr("reason", "interrupted; put in the queue again")
            self._study.tell(trial.number, state=TrialState.FAIL)
            if len(trial.params) == len(self._distributions):
                self._study.enqueue_trial(trial.params)
        return len(interrupted)

    def check_facts(self, what: str, facts: dict[str, Any]) -> None:
        """Note what figures depend on, or compare it with what was noted at the start.

        Args:
            what: ``accuracies`` or ``latencies``.
            facts: an estimator's fingerprint, or a device's conditions.

        Raises:
            MixnasError: when they are others, so that figures could not be compared.
        """
        name = f"facts of {what}"
        noted = self._study.user_attrs.get(name)
        if noted is None:
            self._study.set_user_attr(name, facts)
        elif noted != json.loads(json.dumps(facts)):
            changed = [k for k in facts if facts[k] != noted.get(k)]
            raise MixnasError(
                f"{what} of this run could not be compared with new ones: "
                f"{', '.join(changed) or 'what they depend on'} changed; start a new run"
            )

    def completed(self) -> int:
        """Return how many trials have an accuracy and a latency."""
        return sum(t.state == TrialState.COMPLETE for t in self._trials())

    def ended_without(self) -> list[str]:
        """Return the reasons of trials that failed or were pruned; interrupted ones left out."""
        return [
            str(t.user_attrs.get("reason", "unknown"))
            for t in self._trials()
            if t.state in (TrialState.FAIL, TrialState.PRUNED)
            and not str(t.user_attrs.get("reason", "")).startswith("interrupted")
        ]

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def table(self) -> pd.DataFrame:
        """Return one row a trial; the same columns as `trials.csv`."""
        confirmed = {
            int(name.removeprefix(_CONFIRMED)): latency
            for name, latency in self._study.user_attrs.items()
            if name.startswith(_CONFIRMED)
        }
        return trial_table(self._trials(), self.space, self.objective, confirmed)


def estimate_columns(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return an `Estimate`'s numbers by their columns; None where there is none."""
    return {
        "accuracy": estimate.get("accuracy"),
        "loss": estimate.get("loss"),
        "train_seconds": estimate.get("seconds"),
    }


def latency_columns(latency: Mapping[str, Any]) -> dict[str, Any]:
    """Return a `Latency`'s numbers by their columns; None where there is none.

    All at the machine's usual speed, so that rows of different hours can be compared.
    """
    if not latency:
        return dict.fromkeys(LATENCY_COLUMNS)
    usual = latency["steady_ms"] / max(latency["median_ms"], 1e-9)
    return {
        "latency_ms": latency["steady_ms"],
        "latency_p10_ms": round(latency["p10_ms"] * usual, 4),
        "latency_p90_ms": round(latency["p90_ms"] * usual, 4),
        "latency_n": latency["n"],
        "latency_source": latency["source"],
        "latency_noise": "; ".join(latency["noise"]),
    }


def trial_table(
    trials: Iterable[FrozenTrial],
    space: Space,
    objective: Objective,
    confirmed: Mapping[int, dict[str, Any]],
) -> pd.DataFrame:
    """Return one row a trial: state, costs, latency, accuracy, then the genotype as ``x.*``.

    Args:
        trials: of the study.
        space: of their networks.
        objective: whose reward is shown.
        confirmed: latencies measured after a trial's end, by its number.
    """
    columns = [
        "number",
        "state",
        "reason",
        "spec_hash",
        "params",
        "madds",
        "activations",
        "peak_memory",
        "accuracy",
        "loss",
        "train_seconds",
        *LATENCY_COLUMNS,
        "reward",
        "seed",
    ]
    rows = []
    for trial in trials:
        known = trial.user_attrs
        row = {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "reason": known.get("reason", ""),
            "spec_hash": known.get("spec_hash", ""),
            **known.get("cost", {}),
            **estimate_columns(known.get("estimate", {})),
            **latency_columns(confirmed.get(trial.number, known.get("latency", {}))),
            "seed": known.get("seed"),
        }
        if row["accuracy"] is not None and row["latency_ms"] is not None:
            row["reward"] = objective.reward(row["accuracy"], row["latency_ms"])
        if len(trial.params) == len(space.variables):
            labels = space.to_params(space.from_params(trial.params))
            row |= {f"{VARIABLE_PREFIX}{name}": label for name, label in labels.items()}
        rows.append(row)
    columns += [f"{VARIABLE_PREFIX}{v.name}" for v in space.variables]
    return pd.DataFrame(rows, columns=columns)


def genotype_of_row(row: Mapping[Any, Any], space: Space) -> Genotype:
    """Return the genotype that a row of `trial_table` holds."""
    params = {
        name.removeprefix(VARIABLE_PREFIX): value
        for name, value in row.items()
        if name.startswith(VARIABLE_PREFIX) and not pd.isna(value)
    }
    return space.from_params(params)
