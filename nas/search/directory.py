"""The run directory: everything that a search leaves behind, written so that a crash loses nothing.

::

    runs/<name>/  config.yaml  conditions.yaml  space.yaml  study.db  references.csv  trials.csv
                  pareto.csv  confirmed.csv  test_hits.json  supernet.safetensors  best.yaml
                  operators.csv  networks/*  references/*  report.html  figures/*
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml
from sqlalchemy import URL

from nas.document import plain_document, read_document, require_keys, validate
from nas.errors import DocumentError, MixnasError
from nas.files import (
    claim_folder,
    is_occupied,
    refuse_occupied,
    write_atomic,
    write_changed,
)
from nas.search.config import SearchConfig, adapted
from nas.study.storage import study_attributes, without_password

if TYPE_CHECKING:
    from filelock import FileLock

RECORDED = (
    "space",
    "limits",
    "data",
    "estimator",
    "device",
    "sampler",
    "references",
    "trials",
    "seed",
    "workers",
    "threads",
)
"""Settings that every run directory's configuration holds."""


class RunDirectory:
    """The paths of a run, and how its files are read and written.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        """Refer to a folder; `create` and `open` check it."""
        self.path = path
        self._lock: FileLock | None = None  # released when the process ends, however it ends

    @staticmethod
    def create(path: Path, lock: FileLock | None = None) -> RunDirectory:
        """Create a new run directory.

        Args:
            path: The folder.
            lock: Lock of the folder, if it has been claimed (see `nas.files.taken_folder`).

        Raises:
            MixnasError: If the folder has something in it, or cannot be created.
        """
        RunDirectory.check_new(path)
        try:
            (path / "figures").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MixnasError(f"{path} cannot be created ({error}); choose another --out") from None
        directory = RunDirectory(path)
        directory._lock = lock
        return directory

    @staticmethod
    def check_new(path: Path) -> None:
        """Refuse a folder that has something in it.

        Raises:
            MixnasError: With what to do instead.
        """
        remedy = "choose another --out"
        if is_occupied(path) and (path / "config.yaml").is_file():
            remedy = f"continue it with --resume {shlex.quote(str(path))}, or {remedy}"
        refuse_occupied(path, remedy)

    @staticmethod
    def open(path: Path) -> RunDirectory:
        """Open an existing run directory.

        Raises:
            MixnasError: If there is none.
        """
        if not (path / "config.yaml").is_file():
            raise MixnasError(f"{path} is not a run directory: it has no config.yaml")
        return RunDirectory(path)

    @property
    def storage(self) -> str:
        """URL of the Optuna storage."""
        # Rendered by SQLAlchemy, since a path may hold characters that mean something in a URL.
        url = URL.create("sqlite", database=str((self.path / "study.db").resolve()))
        return url.render_as_string(hide_password=False)

    def lock(self) -> None:
        """Keep other processes out of the run until this one ends.

        Raises:
            MixnasError: If another process is working in it.
        """
        self._lock = claim_folder(self.path)

    def recorded(self, config: SearchConfig) -> dict[str, Any] | None:
        """Return the attributes of the study; None if the search did not get as far as creating it.

        Raises:
            MixnasError: If it did, but the study is gone.
        """
        if config.storage is not None:
            found, where = study_attributes(config.storage, config.study), "storage"
        else:
            made = (self.path / "study.db").is_file()  # opening it would create it
            found = study_attributes(self.storage, config.study) if made else None
            where = "study.db"
        if found is None and (self.path / "trials.csv").exists():
            raise MixnasError(
                f"{self.path} has trials.csv, but no study in its {where} to continue; repeat the "
                f"search with --config {shlex.quote(str(self.path / 'config.yaml'))}"
            )
        return found

    def write_config(self, config: SearchConfig) -> None:
        """Write the configuration, without the storage's password."""
        values = dataclasses.asdict(config)
        if config.storage is not None:
            values["storage"] = without_password(config.storage)
            quoted = shlex.quote(config.storage)
            given = config.storage if quoted == config.storage else quoted[1:-1]
            values["command"] = config.command.replace(given, values["storage"])
        self._write_yaml("config", values)

    def read_config(self) -> SearchConfig:
        """Read the configuration.

        Raises:
            DocumentError: If the file is damaged, or lacks a setting that every run records: with
                the default in its place, another search would continue.
        """
        document = read_document(self.path / "config.yaml")
        config: SearchConfig = validate(SearchConfig, document)
        require_keys(document, RECORDED)
        if "on" not in document.data:  # begun by a version that trained on the CPU only
            config = dataclasses.replace(adapted(config, document), on="cpu")
        return config

    def write_conditions(self, conditions: dict[str, Any]) -> None:
        """Write what the run's figures rest on (see `nas.search.provenance`)."""
        self._write_yaml("conditions", plain_document(conditions))  # YAML has no tuples

    def read_conditions(self) -> dict[str, Any]:
        """Return what `write_conditions` wrote last; nothing if it is missing or damaged."""
        try:
            data = read_document(self.path / "conditions.yaml").data
        except DocumentError:  # it is written anew in any case
            return {}
        return data if isinstance(data, dict) else {}

    def write_space(self, document: Any) -> None:
        """Save the space, so that later changes to its original file have no effect."""
        self._write_yaml("space", document)

    def read_space(self) -> Any:
        """Return the document of the run's space.

        Raises:
            DocumentError: If the file is missing or damaged.
        """
        return read_document(self.path / "space.yaml").data

    def _write_yaml(self, name: str, data: Any) -> None:
        write_atomic(self.path / f"{name}.yaml", yaml.safe_dump(data, sort_keys=False))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file whole or not at all."""
        write_atomic(self.path / name, text)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all, unless it has that content."""
        write_changed(self.path / name, content)

    def write_once(self, name: str, text: Callable[[], str]) -> None:
        """Write a text file that never changes, unless it is there.

        Args:
            name: Path of the file in the run directory; its folder is created.
            text: Function that returns what it holds.
        """
        path = self.path / name
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, text())

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write ``name.csv`` whole or not at all."""
        write_atomic(self.path / f"{name}.csv", table.to_csv(index=False))

    def read_table(
        self, name: str, text: Iterable[str] = (), numbers: Iterable[str] = ()
    ) -> pd.DataFrame | None:
        """Read ``name.csv``; return None if there is none.

        Args:
            name: Name of the file, without its ending.
            text: Columns that must be there, with text in every row.
            numbers: Columns that must be there, with finite numbers or nothing in every row.

        Raises:
            MixnasError: If the file is damaged.
        """
        path = self.path / f"{name}.csv"
        try:
            if not path.is_file():
                return None
            table = pd.read_csv(path)
            if missing := [column for column in (*text, *numbers) if column not in table]:
                raise ValueError(f"it has no column '{missing[0]}'")
            for column in text:
                if not all(isinstance(cell, str) for cell in table[column]):
                    raise ValueError(f"the column '{column}' must hold text")
            for column in numbers:
                if not pd.to_numeric(table[column]).abs().fillna(0.0).lt(float("inf")).all():
                    raise ValueError(f"the column '{column}' must hold finite numbers")
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise MixnasError(f"{path} is damaged ({reason}); remove or repair it") from None
        return table
