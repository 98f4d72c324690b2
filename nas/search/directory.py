"""A run's folder: everything a search leaves behind, written so that a crash loses nothing.

::

    runs/<name>/  config.yaml  conditions.yaml  space.yaml  study.db  references.csv  trials.csv
                  pareto.csv  confirmed.csv  best.yaml  report.html  figures/*
"""

from __future__ import annotations

import dataclasses
import datetime
import io
import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import yaml
from filelock import FileLock, Timeout
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from sqlalchemy import URL

from nas.document import read_document, validate
from nas.errors import MixnasError
from nas.files import write_atomic
from nas.study.storage import study_exists, without_password

AtLeastOne = Annotated[int, Field(ge=1, le=1_000_000)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class SearchConfig:
    """What a search was asked to do; `config.yaml` holds it.

    Attributes:
        space: name or path of the space.
        limits: as on the command line, by metric.
        data: data set.
        estimator: of accuracy.
        device: that latency is measured on.
        sampler: that proposes networks.
        references: networks trained and measured beside the search.
        trials: networks to train.
        seed: of everything random.
        workers: training processes.
        threads: of torch, in each worker.
        objective: what the search aims at.
        target: latency that a reward aims at, as on the command line.
        latency: ``measured``, ``predicted``, or ``auto`` for predicted where a predictor fits.
        storage: URL of the study's storage, without a password; None for `study.db`.
        study: its name there.
        trial_timeout: seconds that a trial's training may take; None for any time.
        ray: the Ray cluster that trials run on; None for worker processes here.
        gpus: of one trial, on Ray.
        confirm: networks to retrain at the end, beside the references; None where nobody
            said how many; see `nas.search.retraining.wanted_networks`.
        retrain: settings of retraining, as of `nas.search.retraining.retraining`.
        command: the command line it came from.
        version: of mixnas.
    """

    space: str
    limits: dict[str, str]
    data: str
    estimator: str
    device: str
    sampler: str
    references: list[str]
    trials: AtLeastOne
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    workers: AtLeastOne
    threads: AtLeastOne
    objective: str = "pareto"
    target: str | None = None
    storage: str | None = None
    study: str = "search"
    trial_timeout: Annotated[float, Field(gt=0)] | None = None
    ray: str | None = None
    gpus: Annotated[float, Field(ge=0)] = 0.0
    confirm: Annotated[int, Field(ge=0)] | None = None
    retrain: str = ""
    latency: Literal["auto", "measured", "predicted"] = "auto"
    command: str = ""
    version: str = ""


class RunDirectory:
    """The paths of a run, and how its files are read and written."""

    def __init__(self, path: Path) -> None:
        """Point at a folder; `create` and `open` check it."""
        self.path = path

    @staticmethod
    def create(path: Path) -> RunDirectory:
        """Make a new folder.

        Raises:
            MixnasError: when it exists with something in it, or cannot be made.
        """
        RunDirectory.check_new(path)
        try:
            (path / "figures").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MixnasError(f"{path} cannot be made ({error}); choose another --out") from None
        return RunDirectory(path)

    @staticmethod
    def check_new(path: Path) -> None:
        """Refuse a folder that has something in it.

        Raises:
            MixnasError: with what to do.
        """
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            is_run = (path / "config.yaml").is_file()
            remedy = "choose another --out"
            remedy = f"continue it with --resume {path}, or {remedy}" if is_run else remedy
            raise MixnasError(f"{path} exists; {remedy}")

    @staticmethod
    def open(path: Path) -> RunDirectory:
        """Point at an existing run.

        Raises:
            MixnasError: when there is none.
        """
        if not (path / "config.yaml").is_file():
            raise MixnasError(f"{path} is no run directory: it has no config.yaml")
        return RunDirectory(path)

    @staticmethod
    def new_name(space: str) -> Path:
        """Return a folder name from the space and the time."""
        now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        return Path("runs") / f"{Path(space).stem}-{now}"

    @property
    def storage(self) -> str:
        """The Optuna storage's URL."""
        # Rendered by SQLAlchemy, since a path may hold characters that mean something in a URL.
        url = URL.create("sqlite", database=str((self.path / "study.db").resolve()))
        return url.render_as_string(hide_password=False)

    def lock(self) -> None:
        """Keep other processes out of the run until this one ends.

        Raises:
            MixnasError: when another one works in it.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise MixnasError(f"another process is at work in {self.path}; wait for it") from None
        self._lock = lock  # let go of when the process ends, however it does

    def has_study(self, config: SearchConfig) -> bool:
        """Whether the search came as far as its study.

        Raises:
            MixnasError: when it did, but the study is gone.
        """
        if config.storage is not None:
            there, where = study_exists(config.storage, config.study), "storage"
        else:
            made = (self.path / "study.db").is_file()  # opening it would make it
            there, where = made and study_exists(self.storage, config.study), "study.db"
        if not there and (self.path / "trials.csv").exists():
            raise MixnasError(
                f"{self.path} has trials.csv, but no study in its {where} to go on with; "
                f"repeat it with --config {self.path / 'config.yaml'}"
            )
        return there

    def write_config(self, config: SearchConfig) -> None:
        """Write what the search was asked to do."""
        values = dataclasses.asdict(config)
        if config.storage is not None:
            values["storage"] = without_password(config.storage)
            quoted = shlex.quote(config.storage)
            given = config.storage if quoted == config.storage else quoted[1:-1]
            values["command"] = config.command.replace(given, values["storage"])
        text = yaml.safe_dump(values, sort_keys=False)
        write_atomic(self.path / "config.yaml", text)

    def write_conditions(self, conditions: dict[str, Any]) -> None:
        """Write what the figures rest on (`nas.search.provenance`)."""
        plain = json.loads(json.dumps(conditions))  # YAML knows no tuples
        write_atomic(self.path / "conditions.yaml", yaml.safe_dump(plain, sort_keys=False))

    def read_config(self) -> SearchConfig:
        """Read what the search was asked to do.

        Raises:
            DocumentError: when the file was damaged.
        """
        return read_config(self.path / "config.yaml")

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a CSV file whole or not at all."""
        buffer = io.StringIO()
        table.to_csv(buffer, index=False)
        write_atomic(self.path / f"{name}.csv", buffer.getvalue())

    def read_table(self, name: str) -> pd.DataFrame | None:
        """Read a CSV file, or return None when there is none."""
        path = self.path / f"{name}.csv"
        try:
            return pd.read_csv(path) if path.is_file() else None
        except ValueError as error:
            raise MixnasError(f"{path} is damaged ({error}); take it away or mend it") from None

    def write_space(self, document: Any) -> None:
        """Keep the space as it was, whatever becomes of the file it came from."""
        write_atomic(self.path / "space.yaml", yaml.safe_dump(document, sort_keys=False))


def read_config(path: Path) -> SearchConfig:
    """Read a search's configuration from a file.

    Raises:
        DocumentError: when the file is missing or not a configuration.
    """
    return validate(SearchConfig, read_document(path))
