"""A PostgreSQL server of the tests' own, for as long as they run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

USER = "mixnas"
PASSWORD = "open/sesame's?"  # characters that mean something in a URL and to a shell


def find_program(name: str) -> Path | None:
    """Return where a program of the server lies: Debian keeps them out of PATH."""
    found = shutil.which(name)
    if found:
        return Path(found).resolve()
    return max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), default=None)


def ordinary_user() -> pwd.struct_passwd:
    """Return a user who is not root, as whom the server refuses to run."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


class Server:
    """A server on a free port, which asks for a password."""

    def __init__(self, folder: Path) -> None:
        """Make its data in an empty folder; it does not run yet."""
        self._data = folder / "data"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._owner: dict[str, object] = {}
        if os.geteuid() == 0:
            owner = ordinary_user()
            self._owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        secret.chmod(0o644)
        words = [
            "initdb", "--username", USER, "--pwfile", secret, "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--no-locale", "--no-sync", "--pgdata", self._data,
        ]  # fmt: skip
        made = self._started(words, subprocess.PIPE)
        output, _ = made.communicate()
        assert made.returncode == 0, output
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def _started(self, words: list[str | Path], output: object) -> subprocess.Popen[bytes]:
        command = [str(find_program(str(words[0]))), *map(str, words[1:])]
        options = {"cwd": "/", "stdout": output, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, **options, **self._owner)

    def start(self) -> None:
        """Start it and wait until it lets in."""
        words: list[str | Path] = [
            "postgres", "-D", self._data, "-h", "127.0.0.1", "-p", str(self.port), "-k", "",
            "-c", "fsync=off",
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._process = self._started(words, log)
        for _ in range(600):
            try:
                psycopg.connect(self.url("postgres")).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self._log.read_text()
                time.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        """Stop it at once, as a crash would; `start` brings it back with what was committed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def url(self, database: str, password: bool = True) -> str:
        """Return where a database is, as --storage takes it."""
        secret = ":open%2Fsesame's%3F" if password else ""
        return f"postgresql://{USER}{secret}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str) -> str:
        """Make an empty database and return its name."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        return name


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A running server; tests make databases of their own in it."""
    if find_program("initdb") is None or find_program("postgres") is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    # Not in a folder of pytest's: the server's user may not look into those.
    folder = Path(tempfile.mkdtemp(prefix="mixnas-postgresql-"))
    server = Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
