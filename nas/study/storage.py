"""Where a study is kept: SQLite in the run directory, or a PostgreSQL server."""

from __future__ import annotations

import random
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._cached_storage import _CachedStorage
from optuna.storages._rdb import models
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy import text as statement
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from nas.errors import MixnasError

_SECRETS = ("password", "sslpassword")  # that a URL's query may hold as well
_LOCK = 0x6D69786E6173  # of our own, among a database's advisory locks
_WAIT = 60  # seconds that SQLite waits for another process to finish writing
_ATTEMPTS = 20  # at making the tables of a file
_PAUSE = 0.5  # seconds, at most, for another process to go on making tables


def parse_storage(text: str) -> URL:
    """Read a storage's URL: ``postgresql://user@host/database``, or ``sqlite:///file``.

    Raises:
        MixnasError: when it is none of these.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise MixnasError(
            f"storage '{text}' is no URL; write postgresql://user@host:5432/database"
        ) from None
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise MixnasError(
            f"storage '{kind}' is not known; write postgresql://user@host:5432/database, or leave "
            "--storage out for a SQLite file in the run directory"
        )
    return url


def without_password(text: str) -> str:
    """Return a storage's URL as it may be written down; PGPASSWORD can hold the password."""
    return _shown(parse_storage(text))


def open_storage(text: str) -> BaseStorage:
    """Connect to a storage by its URL; makes its tables when they are not there.

    Raises:
        MixnasError: when it cannot be reached or used.
    """
    url = parse_storage(text)
    try:
        on_server = url.get_backend_name() == "postgresql"
        storage = _open_server(url) if on_server else _open_file(text)
    except (StorageInternalError, SQLAlchemyError, OSError) as error:
        raise MixnasError(f"the storage {_shown(url)} cannot be used: {_reason(error)}") from None
    cached = _CachedStorage(storage)
    weakref.finalize(cached, storage.engine.dispose)  # a server's connections are few
    return cached


class _Storage(RDBStorage):
    """Optuna's, but that a new trial's parameters are written in one go.

    Optuna looks up the trial, and an earlier value of the same parameter to compare distributions
    with, for each of some sixty parameters. A study has the distributions of one space, and its
    parameters are written once, with the trial.
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


def _open_file(text: str) -> RDBStorage:
    settings = {"connect_args": {"timeout": _WAIT}}
    attempts = 0
    while True:
        try:
            return _Storage(text, engine_kwargs=settings)
        except (IntegrityError, OperationalError) as error:
            # Another process, as a dashboard, makes the same tables; every time there are more.
            met = isinstance(error, IntegrityError) or "already exists" in str(error)
            attempts += 1
            if not met or attempts == _ATTEMPTS:
                raise
            time.sleep(_PAUSE * random.random())


def _open_server(url: URL) -> RDBStorage:
    import psycopg  # noqa: F401  # what is missing is told with its extra

    url = url.set(drivername="postgresql+psycopg")
    settings = {"pool_pre_ping": True, "connect_args": {"connect_timeout": 10}}
    engine = create_engine(url, **settings)
    try:
        with engine.begin() as connection:  # two that make the tables at once would both fail
            connection.execute(statement("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            return _Storage(url.render_as_string(hide_password=False), engine_kwargs=settings)
    finally:
        engine.dispose()


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what a storage raises into a message: a full disk, a server that went away.

    Raises:
        MixnasError: with the reason and what to do.
    """
    try:
        yield
    except (StorageInternalError, SQLAlchemyError, OSError) as error:
        raise MixnasError(
            f"the study's storage failed: {_reason(error)}. What was written before is safe; mend "
            "the cause (a full disk, a server that is gone), then continue with --resume"
        ) from error


def _shown(url: URL) -> str:
    query = {key: value for key, value in url.query.items() if key not in _SECRETS}
    bare = URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query)
    return bare.render_as_string(hide_password=False)


def _reason(error: BaseException) -> str:
    """Return the database's own words; Optuna and SQLAlchemy wrap them in theirs."""
    while error.__cause__ is not None:
        error = error.__cause__
    original = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0]


def study_exists(text: str, name: str) -> bool:
    """Whether a storage has a study of a name.

    Raises:
        MixnasError: when the storage cannot be reached.
    """
    storage = open_storage(text)
    with storage_errors():
        return any(study.study_name == name for study in storage.get_all_studies())
