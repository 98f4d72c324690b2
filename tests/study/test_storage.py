import multiprocessing
import os
import shlex
import signal
import subprocess
import sys

import pytest
import yaml

from nas.errors import MixnasError
from nas.search.directory import RunDirectory, SearchConfig
from nas.study.storage import open_storage, parse_storage, study_attributes, without_password
from tests.conftest import refusal
from tests.postgresql import PASSWORD
from tests.searching import (
    FAKES,
    check_nothing_lost_or_double,
    complete,
    finish,
    open_study,
    trials_of,
    write_at_once,
    write_space,
)

SEARCH = ("nas.search", "--space", "small.yaml", "--sampler", "random", "--workers", "2", *FAKES)
INSTANT = ("--estimator", "nas.testing.fakes:Instant")
SLOW = ("--estimator", "nas.testing.fakes:Slow")
CONFIG = {
    "space": "small.yaml", "limits": {}, "data": "digits", "estimator": "short", "trials": 2,
    "device": "onnxruntime:cpu", "sampler": "random", "references": [], "seed": 0,
    "workers": 1, "threads": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs/study.db", "storage 'runs/study.db' is not a URL; use postgresql://user@host:5432/"),
        ("", "is not a URL"),
        ("postgresql://user@host:many/database", "is not a URL"),
        ("mysql://user@host/database", "storage 'mysql' is not supported; use postgresql://"),
        ("postgres://user@host/database", "storage 'postgres' is not supported; use postgresql://"),
    ],
)
def test_invalid_storages_are_refused(text, message):
    with pytest.raises(MixnasError, match=message):
        parse_storage(text)


def test_the_parts_of_a_url_are_parsed():
    url = parse_storage("postgresql://me:secret@host:5433/studies?sslmode=require")
    assert (url.username, url.password, url.host, url.port) == ("me", "secret", "host", 5433)
    assert (url.database, dict(url.query)) == ("studies", {"sslmode": "require"})
    assert parse_storage("sqlite:///a/study.db").database == "a/study.db"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:secret's@host/db", "postgresql://me@host/db"),
        ("postgresql://me@host:5433/db?sslmode=require", None),
        ("postgresql://host/db?user=me&password=secret", "postgresql://host/db?user=me"),
        ("sqlite:////a/b/study.db", None),
    ],
)
def test_passwords_are_not_written_down(text, written, tmp_path):
    assert without_password(text) == (written or text)
    run = RunDirectory.create(tmp_path / "run")
    command = shlex.join(["python", "-m", "nas.search", f"--storage={text}", "--trials", "3"])
    run.write_config(SearchConfig(**CONFIG, storage=text, command=command))
    recorded = shlex.split(run.read_config().command)
    assert recorded[3:] == [f"--storage={written or text}", "--trials", "3"]
    assert run.read_config().storage == (written or text)
    assert "secret" not in (run.path / "config.yaml").read_text()


def test_an_unreachable_server_is_reported_in_one_line(refused, fakes, tmp_path):
    write_space(tmp_path)
    url = "postgresql://me:secret@127.0.0.1:1/db"
    message = refused(*SEARCH, *INSTANT, "--storage", url, "--out", "run")
    assert message.startswith("the storage postgresql://me@127.0.0.1:1/db cannot be used: ")
    assert "refused" in message
    assert "secret" not in message
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_not_a_database_is_reported(tmp_path):
    (tmp_path / "study.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(MixnasError, match=r"cannot be used: file is not a database"):
        open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    with pytest.raises(MixnasError, match=r"cannot be used: unable to open database file"):
        open_storage(f"sqlite:///{tmp_path / 'missing' / 'study.db'}")


def open_with_others(path, barrier):
    barrier.wait(60)
    open_storage(f"sqlite:///{path}")


@pytest.mark.slow
def test_processes_may_create_a_file_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    for attempt in range(2):
        arguments = (tmp_path / f"study{attempt}.db", barrier)
        processes = [context.Process(target=open_with_others, args=arguments) for _ in range(3)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_missing_psycopg_is_reported_with_its_extra(command, fakes, tmp_path, monkeypatch):
    write_space(tmp_path)
    hidden = tmp_path / "hidden" / "psycopg"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError(name='psycopg')\n")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(hidden.parent), os.environ["PYTHONPATH"]])
    )
    words = (*SEARCH, *INSTANT, "--storage", "postgresql://me@127.0.0.1/db", "--out", "run")
    assert refusal(command(*words)) == (
        "the package 'psycopg' is not installed; install it with pip install 'mixnas[postgresql]'"
    )
    assert not (tmp_path / "run").exists()


def test_a_storage_other_than_the_runs_own_is_refused(refused, tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    run.write_config(SearchConfig(**CONFIG))
    url = "postgresql://me:secret@127.0.0.1:1/db"
    message = refused("nas.search", "--resume", "run", "--storage", url)
    assert message.startswith("the run's study is in run/study.db and cannot be moved; omit --st")
    run.write_config(SearchConfig(**CONFIG, storage=url))
    message = refused("nas.search", "--resume", "run", "--storage", url.replace("/db", "/other"))
    assert message.startswith("the run's study is in postgresql://me@127.0.0.1:1/db and cannot")


@pytest.mark.slow
def test_a_run_killed_before_its_study_was_created_is_started(command, fakes, tmp_path):
    write_space(tmp_path)
    result = command(*SEARCH, *INSTANT, "--trials", "2", "--out", "run")
    assert result.returncode == 0, result.stderr
    run = tmp_path / "run"
    (run / "trials.csv").unlink()
    (run / "study.db").unlink()
    open_storage(RunDirectory(run).storage)  # tables without a study
    resumed = command("nas.search", "--resume", "run", "--trust-config")
    assert resumed.returncode == 0, resumed.stderr
    check_nothing_lost_or_double(trials_of(RunDirectory(run).storage), 2)


def test_studies_on_a_server_and_in_a_file_are_equal(postgresql, tmp_path):
    write_space(tmp_path)
    url = postgresql.url(postgresql.new_database("same"))
    assert study_attributes(url, "search") is None
    local = open_study(f"sqlite:///{tmp_path / 'study.db'}", tmp_path)
    remote = open_study(url, tmp_path)
    for study in (local, remote):
        for _ in range(4):
            finish(study, study.ask())
        study.fail(study.ask(), "a reason, 'quoted' \N{SNOWMAN}")
    assert study_attributes(url, "search") is not None
    assert remote.table().equals(local.table())


@pytest.mark.slow
def test_processes_writing_to_a_server_neither_lose_nor_repeat_trials(postgresql, tmp_path):
    write_space(tmp_path)
    url = postgresql.url(postgresql.new_database("writers"))
    study = open_study(url, tmp_path)
    write_at_once(url, tmp_path, (0, 1, 7, 7), trials=8)
    check_nothing_lost_or_double(trials_of(url), 32)
    assert study.requeue() == 0
    assert study.completed() == 32


def started(words, folder):
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=folder, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def until(process, beginning):
    """Read the log of a search until a line with this beginning."""
    for line in process.stderr:
        if line.startswith(beginning):
            return
    raise AssertionError(f"the search ended with {process.wait()}")


def study_name(run):
    return yaml.safe_load((run / "config.yaml").read_text())["study"]


@pytest.mark.slow
def test_a_run_on_a_server_is_killed_and_resumed(
    postgresql, command, refused, fakes, tmp_path, monkeypatch
):
    write_space(tmp_path)
    database = postgresql.new_database("killed")
    url = postgresql.url(database)
    words = (*SEARCH, *SLOW, "--trials", "16", "--storage", url, "--out", "run")
    with started(words, tmp_path) as process:
        until(process, "[6/16]")
        os.killpg(process.pid, signal.SIGKILL)
    run = tmp_path / "run"
    assert not (run / "study.db").exists()
    config = (run / "config.yaml").read_text()
    assert postgresql.url(database, password=False) in config
    assert "sesame" not in config
    before = complete(trials_of(url, study_name(run)))
    assert 6 <= len(before) < 16

    message = refused("nas.search", "--resume", "run", "--trust-config")
    assert "cannot be used" in message
    assert "password" in message
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    resumed = command("nas.search", "--resume", "run", "--trust-config")
    assert resumed.returncode == 0, resumed.stderr
    after = trials_of(url, study_name(run))
    check_nothing_lost_or_double(after, 16)
    assert [after[trial.number] for trial in before] == before

    monkeypatch.delenv("PGPASSWORD")
    more = command(
        "nas.search", "--resume", "run", "--trust-config", "--storage", url, "--trials", "17"
    )
    assert more.returncode == 0, more.stderr
    check_nothing_lost_or_double(trials_of(url, study_name(run)), 17)
    assert "sesame" not in (run / "config.yaml").read_text()


@pytest.mark.slow
def test_two_runs_in_one_database_are_independent(postgresql, fakes, tmp_path):
    write_space(tmp_path)
    url = postgresql.url(postgresql.new_database("two"))
    words = (*SEARCH, *INSTANT, "--trials", "6", "--storage", url)
    runs = [started((*words, "--out", name), tmp_path) for name in ("one", "two")]
    for process in runs:
        _, message = process.communicate(timeout=120)
        assert process.returncode == 0, message
    names = [study_name(tmp_path / name) for name in ("one", "two")]
    assert names[0] != names[1]
    one, two = (trials_of(url, name) for name in names)
    check_nothing_lost_or_double(one, 6)
    check_nothing_lost_or_double(two, 6)
    assert [trial.params for trial in one] == [trial.params for trial in two]


@pytest.mark.slow
def test_a_lost_server_is_reported_and_the_run_can_be_resumed(postgresql, command, fakes, tmp_path):
    write_space(tmp_path)
    url = postgresql.url(postgresql.new_database("away"))
    words = (*SEARCH, *SLOW, "--trials", "16", "--storage", url, "--out", "run")
    try:
        with started(words, tmp_path) as process:
            until(process, "[4/16]")
            postgresql.stop()
            *_, last = process.stderr.read().splitlines()
        assert process.returncode == 2
        assert last.startswith("error: the study's storage failed: ")
        assert "continue with --resume" in last
    finally:
        postgresql.stop()
        postgresql.start()
    before = complete(trials_of(url, study_name(tmp_path / "run")))
    assert len(before) >= 4
    resumed = command("nas.search", "--resume", "run", "--trust-config", "--storage", url)
    assert resumed.returncode == 0, resumed.stderr
    after = trials_of(url, study_name(tmp_path / "run"))
    check_nothing_lost_or_double(after, 16)
    assert [after[trial.number] for trial in before] == before
