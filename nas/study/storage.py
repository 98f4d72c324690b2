"""Storages of studies: an SQLite file in the run directory, or a PostgreSQL server."""

from __future__ import annotations

import random
import re
import shlex
import time
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from alembic.script import ScriptDirectory
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from sqlalchemy import URL, Connection, create_engine, inspect, make_url
from sqlalchemy import text as statement
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from nas.errors import MixnasError
from nas.objective import Direction

_SECRETS = ("password", "sslpassword")  # keys of a URL's query that may hold a password
_LOCK = 0x6D69786E6173  # our key among the advisory locks of a database ("mixnas" in ASCII)
_WAIT = 60  # seconds that SQLite waits for another process to finish writing
_ATTEMPTS = 20  # attempts to create the tables of a file
_PAUSE = 0.5  # longest pause between two attempts, in seconds


def parse_storage(text: str) -> URL:
    """Parse the URL of a storage: ``postgresql://user@host/database``, or ``sqlite:///file``.

    Raises:
        MixnasError: If the text is not a URL, or one of another kind of database.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: the port is not a number
        raise MixnasError(
            f"storage '{text}' is not a URL; use postgresql://user@host:5432/database"
        ) from None
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise MixnasError(
            f"storage '{kind}' is not supported; use postgresql://user@host:5432/database, or omit "
            "--storage for an SQLite file in the run directory"
        )
    return url


def without_password(text: str) -> str:
    """Return the URL of a storage without its password, which may come from PGPASSWORD instead."""
    return _render_without_password(parse_storage(text))


def open_storage(text: str) -> BaseStorage:
    """Connect to the storage of a URL, and create its tables if they do not exist.

    Raises:
        MixnasError: If the storage cannot be reached or used.
    """
    url = parse_storage(text)
    try:
        on_server = url.get_backend_name() == "postgresql"
        storage = _open_server(url) if on_server else _open_file(url)
    except (StorageInternalError, SQLAlchemyError, OSError, RuntimeError) as error:
        shown = _render_without_password(url)
        raise MixnasError(f"the storage {shown} cannot be used: {_reason(error)}") from None
    cached = _CachedStorage(storage)
    weakref.finalize(cached, storage.engine.dispose)  # a server has few connections to give
    return cached


class _Storage(RDBStorage):
    """Optuna's storage, except that a new trial's parameters are written without queries.

    For each of some sixty parameters, Optuna queries the trial, and an earlier value of the
    parameter to compare its distribution. Neither is needed here: all trials of a study use the
    distributions of one space, and parameters are written once, together with the trial.
    """

    def _set_trial_param_without_commit(
        self,
        session: Session,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        session.add(
            models.TrialParamModel(
                trial_id=trial_id,
                param_name=param_name,
                param_value=param_value_internal,
                distribution_json=distribution_to_json(distribution),
            )
        )


def _open_file(url: URL) -> RDBStorage:
    engine_kwargs: dict[str, Any] = {"connect_args": {"timeout": _WAIT}}
    if url.database and Path(url.database).is_file():  # connecting would create it
        engine = create_engine(url, **engine_kwargs)
        try:
            with engine.connect() as connection:
                _refuse_other_version(connection, url)
        finally:
            engine.dispose()
    text = url.render_as_string(hide_password=False)
    attempts = 0
    while True:
        try:
            return _Storage(text, engine_kwargs=engine_kwargs)
        except (IntegrityError, OperationalError) as error:
            # Another process, such as a dashboard, creates the same tables at the same time. Each
            # attempt finds more of them in place.
            concurrent = isinstance(error, IntegrityError) or "already exists" in str(error)
            attempts += 1
            if not concurrent or attempts == _ATTEMPTS:
                raise
            time.sleep(_PAUSE * random.random())


def _open_server(url: URL) -> RDBStorage:
    import psycopg  # noqa: F401  # if it is missing, the command names the extra to install

    url = url.set(drivername="postgresql+psycopg")
    engine_kwargs: dict[str, Any] = {
        "pool_pre_ping": True,
        "connect_args": {"connect_timeout": 10},
    }
    engine = create_engine(url, **engine_kwargs)
    try:
        # Two processes that create the tables at once would both fail, so they take turns.
        with engine.begin() as connection:
            connection.execute(statement("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _refuse_other_version(connection, url)
            with_password = url.render_as_string(hide_password=False)
            return _Storage(with_password, engine_kwargs=engine_kwargs)
    finally:
        engine.dispose()


def _refuse_other_version(connection: Connection, url: URL) -> None:
    """Refuse the tables of an incompatible version of Optuna.

    Optuna does so itself, but only after it has added the tables that it misses.

    Raises:
        MixnasError: With the remedy.
    """
    if not {"alembic_version", "version_info"} <= set(inspect(connection).get_table_names()):
        return
    revision = connection.execute(statement("SELECT version_num FROM alembic_version")).scalar()
    scripts = ScriptDirectory(str(Path(models.__file__).with_name("alembic")))
    if revision is None or revision == scripts.get_current_head():
        return
    writer = connection.execute(statement("SELECT library_version FROM version_info")).scalar()
    # Both are written by whoever made the storage, and the user may paste the command.
    known = re.fullmatch(r"[0-9][0-9A-Za-z.]*", str(writer)) is not None
    writer, needed = (writer, f"'optuna>={writer}'") if known else ("(which?)", "--upgrade optuna")
    shown = _render_without_password(url.set(drivername=url.get_backend_name()))
    remedy = f"install a version that can read it: pip install {needed}"
    if revision in {script.revision for script in scripts.walk_revisions()}:
        remedy = f"copy it, then convert it: optuna storage upgrade --storage {shlex.quote(shown)}"
    raise MixnasError(
        f"the storage {shown} was written by Optuna {writer}, whose tables Optuna "
        f"{optuna.__version__} cannot use; {remedy}"
    )


@contextmanager
def storage_errors() -> Iterator[None]:
    """Translate the errors of a storage, such as a full disk or a lost server, into a message.

    Raises:
        MixnasError: If the storage fails; with the reason and the remedy.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError, OSError) as error:
        raise MixnasError(
            f"the study's storage failed: {_reason(error)}. Everything written before is safe; fix "
            "the cause (such as a full disk or an unreachable server), then continue with --resume"
        ) from error


def _render_without_password(url: URL) -> str:
    query = {key: value for key, value in url.query.items() if key not in _SECRETS}
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
    return bare.render_as_string(hide_password=False)


def _reason(error: BaseException) -> str:
    """Return the database's own message, without the wrapping of Optuna and SQLAlchemy."""
    while error.__cause__ is not None:
        error = error.__cause__
    original = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0]


def study_attributes(text: str, name: str) -> dict[str, Any] | None:
    """Return the attributes of a study; None if the storage has no such study.

    Raises:
        MixnasError: If the storage cannot be reached.
    """
    storage = open_storage(text)
    with storage_errors():
        for study in storage.get_all_studies():
            if study.study_name == name:
                return dict(study.user_attrs)
    return None


def create_study(
    storage: BaseStorage, name: str, sampler: BaseSampler, directions: Sequence[Direction]
) -> optuna.Study:
    """Create a study.

    Raises:
        MixnasError: If the storage has a study of that name.
    """
    try:
        return optuna.create_study(
            storage=storage, sampler=sampler, study_name=name, directions=directions
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise MixnasError(
            f"the storage already has a study '{name}'; choose another --out, or continue that "
            "study with --resume"
        ) from None


def name_values(study: optuna.Study, names: Sequence[str]) -> None:
    """Tell Optuna what the values of a study's trials are called, as its dashboard shows them."""
    with warnings.catch_warnings():
        # Names are no more than labels here, so a change of the interface would harm nothing.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(names))


def load_study(storage: BaseStorage, name: str, sampler: BaseSampler) -> optuna.Study:
    """Open a study.

    Raises:
        MixnasError: If the storage has no study of that name.
    """
    try:
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    except KeyError:
        raise MixnasError(
            f"the storage has no study '{name}'; check that --storage names the storage of the run"
        ) from None
