"""Full training of one network: its folder with log, checkpoint, weights, curves and results."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.figures.style import save
from analysis.figures.training import curves_figure
from nas.errors import MixnasError
from nas.files import claim_folder, parsing, write_atomic
from nas.formats.metadata import ModelMetadata
from nas.progress import Step
from nas.train.checkpoint import Checkpointer, load_checkpoint, save_weights
from nas.train.loop import Evaluation, Trainer
from nas.train.models import Model
from nas.train.settings import WEIGHTS

if TYPE_CHECKING:
    from filelock import FileLock

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_SECONDS = 60.0  # between two checkpoints, in addition to one after each epoch
LOG_COLUMNS = (
    "epoch",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_top5",
    "learning_rate",
    "seconds",
)


@dataclass
class FullTraining:
    """One training run and its folder.

    Attributes:
        path: Folder of the training.
        trainer: The training loop.
        model: Network being trained.
        costs: Parameters and MAdds of the network.
        about: Settings that identify the training; a checkpoint with other settings is refused.
        metadata: What travels with the weights: classes, preprocessing, the command; None if it is
            not known.
        rows: Rows of the log, one per epoch, with the columns `LOG_COLUMNS`.
        save_every: Time between two checkpoints, in seconds.
    """

    path: Path
    trainer: Trainer
    model: Model
    costs: dict[str, int]
    about: dict[str, Any]
    metadata: ModelMetadata | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    save_every: float = CHECKPOINT_SECONDS
    _earlier_seconds: float = 0.0  # spent by earlier processes, before the training was resumed
    _started: float = 0.0

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint."""
        return self.path / CHECKPOINT

    @property
    def weights(self) -> Path:
        """Path of the trained weights."""
        return self.path / WEIGHTS

    @property
    def log(self) -> Path:
        """Path of the log."""
        return self.path / "log.csv"

    def claim(self, lock: FileLock | None = None) -> None:
        """Keep other processes out of the folder until this one ends.

        Args:
            lock: Lock of the folder, if it has been claimed.

        Raises:
            MixnasError: If another process is working in the folder.
        """
        self._lock = lock or claim_folder(self.path)

    def open(self) -> None:
        """Start the clock, and resume from the folder's checkpoint if there is one.

        Raises:
            MixnasError: If the checkpoint or the log is damaged, or the checkpoint belongs to
                another training run.
        """
        self._started = time.monotonic()
        if self.checkpoint.is_file():
            load_checkpoint(self.trainer, self.checkpoint, self.about)
        self.rows = self._earlier_rows()
        known = [row["seconds"] for row in self.rows if not math.isnan(row["seconds"])]
        self._earlier_seconds = max(known, default=0.0)

    def _earlier_rows(self) -> list[dict[str, Any]]:
        """Return the rows of the epochs that earlier processes completed.

        Of an epoch that the log lacks, the checkpoint knows what the training itself computed. The
        last epoch is left out if it has no row, but can still be evaluated.

        Raises:
            MixnasError: If the log cannot be read.
        """
        trainer = self.trainer
        logged = {row["epoch"]: row for row in read_log(self.log)}
        rows = []
        for epoch, values in enumerate(zip(trainer.losses, trainer.accuracies, strict=True), 1):
            known = dict(zip(("train_loss", "train_accuracy"), values, strict=True))
            missing = {**dict.fromkeys(LOG_COLUMNS, math.nan), "epoch": epoch, **known}
            rows.append(logged.get(epoch, missing))
        between_epochs = trainer.step == trainer.total or trainer.step % trainer.epoch_steps == 0
        if rows and len(rows) not in logged and between_epochs:
            rows.pop()
        return rows

    def run(self, step: Step | None = None) -> None:
        """Train to the end; evaluate, log and save a checkpoint after each epoch.

        Args:
            step: Called with the number of steps taken and their total.

        Raises:
            TrainingError: If the loss is no longer finite.
        """
        trainer = self.trainer
        checkpointer = Checkpointer(trainer, self.checkpoint, self.about, self.save_every)
        self._log_epoch()  # which an earlier process may not have come to
        while trainer.step < trainer.total:
            epoch_end = (trainer.step // trainer.epoch_steps + 1) * trainer.epoch_steps
            for done in trainer.steps(until=epoch_end):
                if step is not None and trainer.placement.main:
                    step(done, trainer.total)
                if done < min(epoch_end, trainer.total):  # the epoch's end has a checkpoint itself
                    checkpointer.save_if_due()
            self._log_epoch()
            checkpointer.save_if_due(epoch_ended=True)

    def _log_epoch(self) -> None:
        """Evaluate the model after an epoch and write the log, unless that has been done.

        All processes evaluate together; the main one writes.
        """
        trainer = self.trainer
        epoch = len(trainer.losses)
        if epoch <= len(self.rows):
            return
        validation = trainer.evaluate("validation")
        self.rows.append(
            {
                "epoch": epoch,
                "train_loss": trainer.losses[-1],
                "train_accuracy": trainer.accuracies[-1],
                "validation_loss": validation.loss,
                "validation_accuracy": validation.accuracy,
                "validation_top5": validation.top5,
                "learning_rate": trainer.optimiser.param_groups[0]["lr"],
                "seconds": round(self._earlier_seconds + time.monotonic() - self._started, 1),
            }
        )
        if trainer.placement.main:
            table = pd.DataFrame(self.rows, columns=list(LOG_COLUMNS))
            write_atomic(self.log, table.to_csv(index=False, lineterminator="\n"))

    def finish(self, latency: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        """Evaluate on the test split, once; write weights, curves and the card.

        Args:
            latency: Measures the latency of the network in deployed form; called when the weights
                have been saved. May return None.

        Returns:
            The card: accuracies, costs and latency of the trained network.

        Raises:
            TrainingError: If the loss on the test split is not finite.
        """
        main = self.trainer.placement.main
        if main:
            about = {"network": self.model.name, "form": "mixnas.weights/1"}
            if self.metadata is not None:
                about |= self.metadata.to_properties()
            with self.trainer.final_weights():
                save_weights(self.trainer.evaluated_model, self.weights, about)
        test = self.trainer.evaluate("test")
        card = self._card(test, latency() if main else None)
        if main:
            figure = curves_figure(pd.DataFrame(self.rows), self.model.name)
            save(figure, self.path / "curves")
            write_atomic(self.path / "card.json", json.dumps(card, indent=2))
        return card

    def _card(self, test: Evaluation, latency: dict[str, Any] | None) -> dict[str, Any]:
        last = self.rows[-1]
        return {
            "network": self.model.name,
            "run": str(self.path),
            "test": {"top1": test.accuracy, "top5": test.top5, "loss": test.loss},
            "validation": {
                "top1": last["validation_accuracy"],
                "top5": last["validation_top5"],
                "loss": last["validation_loss"],
            },
            **self.costs,
            "resolution": self.model.resolution,
            "latency": latency,
            "epochs": last["epoch"],
            "steps": self.trainer.step,
            "seconds": last["seconds"],
            "weights": str(self.weights),
            **({} if self.metadata is None else self.metadata.to_dict()),
        }


def has_top5(card: Mapping[str, Any]) -> bool:
    """Return whether the top-5 accuracies of a card say anything: up to five classes, all are 1."""
    return len(card.get("classes", ())) > 5


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, one per epoch; none if there is no log.

    Raises:
        MixnasError: If the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        with parsing(path):
            table = pd.read_csv(path, compression=None)
            table = table[list(LOG_COLUMNS)].astype(float).astype({"epoch": int})
    except MixnasError as error:
        raise MixnasError(
            f"{error}; delete the log to continue from the checkpoint, which knows the losses of "
            "its epochs"
        ) from None
    rows = table.to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
