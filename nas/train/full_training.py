"""Training a network in full: the folder it leaves, its checkpoints, its card."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from analysis.figures.training import curves_figure
from nas.errors import MixnasError
from nas.files import write_atomic
from nas.progress import Step
from nas.train.checkpoint import load_checkpoint, save_checkpoint, save_weights
from nas.train.loop import Evaluation, Trainer
from nas.train.models import Model

CHECKPOINT = "checkpoint.safetensors"
CHECKPOINT_SECONDS = 60.0  # at least, between two checkpoints; every epoch ends with one, too
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
    """One training and its folder.

    Attributes:
        path: the folder.
        trainer: trains.
        model: what is trained.
        costs: its parameters and MAdds.
        about: what the training was asked to be; a checkpoint of another one is refused.
        rows: of the log, one an epoch.
        save_every: seconds between two checkpoints.
    """

    path: Path
    trainer: Trainer
    model: Model
    costs: dict[str, int]
    about: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    save_every: float = CHECKPOINT_SECONDS
    _earlier: float = 0.0  # seconds that earlier processes took
    _started: float = 0.0

    @property
    def checkpoint(self) -> Path:
        """Where the training's state is kept."""
        return self.path / CHECKPOINT

    @property
    def weights(self) -> Path:
        """Where the trained weights are."""
        return self.path / "weights.safetensors"

    def claim(self) -> None:
        """Keep other processes out of the folder until this one ends.

        Raises:
            MixnasError: when another one works in it.
        """
        self._lock = FileLock(self.path / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise MixnasError(f"another process is at work in {self.path}; wait for it") from None

    def open(self) -> None:
        """Go on where the folder's checkpoint is, if there is one.

        Raises:
            MixnasError: when it is of another training.
        """
        self._started = time.monotonic()
        if self.checkpoint.is_file():
            load_checkpoint(self.trainer, self.checkpoint, self.about)
        done = len(self.trainer.losses)
        log = self.path / "log.csv"
        if done and log.is_file():
            # The log may be ahead of the checkpoint by the epoch that was not kept yet.
            kept = pd.read_csv(log).head(done).to_dict("records")
            self.rows = [{str(key): value for key, value in row.items()} for row in kept]
            self._earlier = float(self.rows[-1]["seconds"]) if self.rows else 0.0

    def run(self, step: Step | None = None) -> None:
        """Train to the end, with a checkpoint now and then.

        Raises:
            TrainingError: when the loss is no longer finite.
        """
        trainer, saved = self.trainer, time.monotonic()
        while trainer.step < trainer.total:
            self._log_missing()
            for done in trainer.steps():
                if step is not None and trainer.placement.main:
                    step(done, trainer.total)
                ended = len(trainer.losses) > len(self.rows)
                if ended or time.monotonic() - saved > self.save_every:
                    break
            self._log_missing()
            self._save()
            saved = time.monotonic()
        self._log_missing()

    def _save(self) -> None:
        if self.trainer.placement.main:
            save_checkpoint(self.trainer, self.checkpoint, self.about)

    def _log_missing(self) -> None:
        """Judge the model after an epoch, and write the log; all processes judge together."""
        trainer = self.trainer
        if len(trainer.losses) <= len(self.rows):
            return
        found = trainer.evaluate("validation")
        number = len(trainer.losses)
        row = {
            "epoch": number,
            "train_loss": trainer.losses[-1],
            "train_accuracy": trainer.accuracies[-1],
            "validation_loss": found.loss,
            "validation_accuracy": found.accuracy,
            "validation_top5": found.top5,
            "learning_rate": trainer.optimiser.param_groups[0]["lr"],
            "seconds": round(self._earlier + time.monotonic() - self._started, 1),
        }
        self.rows.append(row)
        if trainer.placement.main:
            write_atomic(self.path / "log.csv", _csv(self.rows))

    def finish(self, latency: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
        """Read the test part, once; write weights, curves and the card, and return it.

        Args:
            latency: measures it, of the network in deployed form; called when all else is safe.

        Raises:
            TrainingError: when the loss on the test part is not finite.
        """
        main = self.trainer.placement.main
        if main:
            about = {"network": self.model.name, "form": "mixnas.weights/1"}
            save_weights(self.trainer.best_model, self.weights, about)
        test = self.trainer.evaluate("test")
        card = self._card(test, latency() if main else None)
        if main:
            figure = curves_figure(pd.DataFrame(self.rows), self.model.name)
            for ending in ("svg", "png"):
                figure.savefig(self.path / f"curves.{ending}", dpi=150)
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
        }


def _csv(rows: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, LOG_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
