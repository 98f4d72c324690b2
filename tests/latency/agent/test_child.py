"""What becomes of a worker process, whatever it does; here workers are shell scripts."""

import asyncio
import dataclasses
import json
import time

import psutil
import pytest

from nas.latency.agent import child
from nas.latency.agent.child import run_worker
from nas.latency.agent.messages import JobLimits, JobSpec
from tests.latency.records import CONDITIONS, latency

ANSWER = json.dumps({"answer": dataclasses.asdict(CONDITIONS)})
LIMITS = JobLimits(seconds=20.0, profile_seconds=20.0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a shell script as the worker of a job; return the result."""

    def call(script, kind="conditions", limits=LIMITS):
        path = tmp_path / "worker"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(child.sys, "executable", str(path))
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        return asyncio.run(run_worker(JobSpec(kind, "onnxruntime:cpu"), folder, limits))

    return call


def test_an_answer_is_returned(run):
    result = run(f"echo '{ANSWER}'; echo a warning >&2")
    assert (result.answer, result.failure) == (dataclasses.asdict(CONDITIONS), None)


def test_a_failure_of_the_worker_is_returned(run):
    assert run("""echo '{"failure": "no such device"}'""").failure == "no such device"


@pytest.mark.parametrize(
    "output",
    [
        "",
        "nonsense",
        '{"answer": {"device": "d"}}',
        '{"answer": null}',
        json.dumps({"answer": dataclasses.asdict(latency())}),
    ],
)
def test_only_valid_answers_are_accepted(run, output):
    result = run(f"echo '{output}'")
    assert (result.answer, result.failure) == (None, "the runtime ended without a valid answer")


@pytest.mark.parametrize(
    ("script", "failure"),
    [
        ("exit 3", "the runtime ended with exit code 3"),
        ("echo first >&2; echo last >&2; exit 3", "the runtime ended with exit code 3 (last)"),
        ("kill -SEGV $$", "the runtime crashed (signal 11, SIGSEGV)"),
        (
            "kill -KILL $$",
            "the runtime crashed (signal 9, SIGKILL); it may have run out of memory",
        ),
        (f"echo '{ANSWER}'; exit 1", "the runtime ended with exit code 1"),
    ],
)
def test_crashes_are_explained(run, script, failure):
    assert run(script).failure == failure


def test_each_kind_of_job_has_its_time_limit(run):
    script = "echo loading >&2; exec sleep 60"
    short = JobLimits(seconds=0.2, profile_seconds=20.0)
    assert run(script, "measurement", short).failure == "no result within 0.2 s (loading)"
    short = JobLimits(seconds=20.0, profile_seconds=0.2)
    assert run(script, "profile", short).failure == "no result within 0.2 s (loading)"
    assert run("exec sleep 60", "conditions", short).failure == "no result within 0.2 s"


def is_running(number):
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_descendants_of_the_worker_are_killed(run, tmp_path):
    pid = tmp_path / "pid"
    assert run(f"sleep 60 >/dev/null 2>&1 & echo $! > {pid}; echo '{ANSWER}'").failure is None
    deadline = time.monotonic() + 10
    while is_running(int(pid.read_text())):  # a signal takes a moment to arrive
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_worker_gets_its_input_and_no_token(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_TOKEN", "a-secret")
    monkeypatch.setenv("MIXNAS_TOKEN_FILE", "a-secret-file")
    seen = tmp_path / "seen"
    limits = JobLimits(seconds=7.0, profile_seconds=11.2, memory_bytes=5)
    run(f"cat > {seen}.input; env > {seen}.env; echo $@ > {seen}.words", limits=limits)
    given = json.loads((tmp_path / "seen.input").read_text())
    assert given["job_spec"]["kind"] == "conditions"
    # The worker ends itself five seconds after it should have been ended.
    assert (given["seconds"], given["memory_bytes"]) == (17, 5)
    assert given["folder"] == str(tmp_path / "folder")
    environment = (tmp_path / "seen.env").read_text()
    assert "a-secret" not in environment
    assert f"TMPDIR={tmp_path / 'folder'}\n" in environment
    assert (tmp_path / "seen.words").read_text() == "-m nas.latency.agent.worker\n"


def test_endless_output_is_cut(run, monkeypatch):
    monkeypatch.setattr(child, "_ANSWER_BYTES", 1000)
    result = run("head -c 300000 /dev/zero")
    assert result.failure == "the runtime ended without a valid answer"


def test_control_characters_of_the_last_line_are_dropped(run):
    assert run("printf 'a\\033[31mb' >&2; exit 1").failure.endswith("code 1 (a[31mb)")
    assert len(run("head -c 9000 /dev/zero | tr '\\0' x >&2; exit 1").failure) < 300


@pytest.mark.parametrize(("seconds", "alarm"), [(4.0, 9), (4.2, 10)])
def test_workers_end_themselves_five_seconds_late(run, tmp_path, seconds, alarm):
    limits = JobLimits(seconds=seconds, profile_seconds=99.0)
    run(f"cat > {tmp_path}/seen", "measurement", limits)
    assert json.loads((tmp_path / "seen").read_text())["seconds"] == alarm


def test_limits_on_what_a_worker_says():
    assert (child._ANSWER_BYTES, child._ERROR_BYTES) == (4_000_000, 20_000)
    assert child._last_line(bytearray(b"")) == ""
    assert child._last_line(bytearray(b"first\nlast \xff\n\n")) == "last \ufffd"
    assert child._last_line(bytearray(b"y" * 300)) == "y" * 200


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (0, "the runtime ended with exit code 0"),
        (1, "the runtime ended with exit code 1 (why)"),
        (-9, "the runtime crashed (signal 9, SIGKILL); it may have run out of memory"),
        (-11, "the runtime crashed (signal 11, SIGSEGV)"),
        (-35, "the runtime crashed (signal 35)"),
    ],
)
def test_exit_codes_are_explained(code, reason):
    assert child._exit_reason(code, "why" if code == 1 else "") == reason
