"""A search on a cluster of several hosts, as docs/guides/cluster.md starts one."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.hosts import hosts
from tests.postgresql import Server, find_program
from tests.searching import check_nothing_lost_or_double, complete, trials_of, write_space

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TRIALS = 20
# A node counts as dead after a few seconds without an answer, not after half a minute.
QUICK = {
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_health_check_initial_delay_ms": "1000",
}


@pytest.fixture
def environment():
    """What all processes of the cluster and the search are started with."""
    # Of this cluster alone, and short: it holds sockets, whose paths are limited.
    with tempfile.TemporaryDirectory(prefix="mx", ignore_cleanup_errors=True) as folder:
        yield {
            **os.environ,
            **QUICK,
            "PYTHONPATH": str(ROOT),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "MIXNAS_TOKEN": secrets.token_hex(32),
            "RAY_TMPDIR": folder,
        }


@pytest.fixture
def cluster(environment):
    """Give a head, a worker, a host with a database and a board."""
    if find_program("initdb") is None or find_program("postgres") is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    with hosts("head", "worker", "store", "board") as made:
        yield made


@pytest.fixture
def storage(cluster):
    """Start a database server on its host, and return the address of a database."""
    folder = Path(tempfile.mkdtemp(prefix="mixnas-postgresql-"))
    server = Server(folder, cluster[2])
    try:
        server.start()
        yield server.url(server.new_database("nas"))
    finally:
        server.stop()
        shutil.rmtree(folder)


def start_ray(host, environment, *words):
    """Start Ray on a host, as the guide says, and wait until it runs."""
    program = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "1"]
    with tempfile.TemporaryFile("w+") as told:  # no pipe, which what it starts would keep open
        started = host.start(
            *program, "--node-ip-address", host.address, "--disable-usage-stats", *words,
            env=environment, stdout=told, stderr=subprocess.STDOUT,
        )  # fmt: skip
        code = started.wait(120)
        told.seek(0)
        assert code == 0, told.read()


def start_agent(host, environment):
    """Start an agent on a host, one that measures nothing; return its address."""
    words = ["tests.quick_agent", "serve", "--host", host.address, "--port", "7070"]
    agent = host.start(
        sys.executable, "-m", *words, "--device", "onnxruntime:cpu",
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert " on http" in agent.stdout.readline()
    return f"http://{host.address}:7070"


class Run:
    """A search that is running."""

    def __init__(self, process, folder, storage):
        self.process, self._config, self._storage = process, folder / "config.yaml", storage

    def trials(self):
        """Return its trials so far."""
        if not self._config.is_file():
            return []
        name = yaml.safe_load(self._config.read_text())["study"]
        try:
            return trials_of(self._storage, name)
        except Exception:  # Optuna's, of a study that is not made yet
            return []

    def wait_for(self, n):
        """Wait until n trials are complete; return those that are, by number."""
        while len(done := complete(self.trials())) < n:
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.5)
        return {trial.number: trial.values for trial in done}


def test_links_that_break_in_the_middle_lose_nothing(cluster, storage, environment, tmp_path):
    head, worker, _, board = cluster
    write_space(tmp_path)
    start_ray(head, environment, "--head", "--port", "6379", "--include-dashboard", "false")
    start_ray(worker, environment, "--address", f"{head.address}:6379")
    agent = start_agent(board, environment)
    words = (
        *("nas.search", "--space", "small.yaml", "--estimator", "nas.testing.fakes:Patient"),
        *("--ray", f"{head.address}:6379", "--storage", storage, "--device", agent),
        *("--latency", "measured", "--trials", TRIALS, "--sampler", "random"),
        *("--confirm", "0", "--reference", "none", "--out", "run"),
    )
    process = head.start(
        sys.executable, "-m", *words, cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    run = Run(process, tmp_path / "run", storage)
    before = run.wait_for(2)

    worker.cut()  # in the middle of a trial, which starts again on the head
    on_the_head = run.wait_for(len(before) + 3)
    worker.end()
    worker.restore()
    start_ray(worker, environment, "--address", f"{head.address}:6379")

    run.wait_for(len(on_the_head) + 2)
    board.cut()
    time.sleep(10)
    board.restore()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors

    trials = run.trials()
    check_nothing_lost_or_double(trials, TRIALS)
    after = {trial.number: trial.values for trial in complete(trials)}
    assert before.items() <= on_the_head.items() <= after.items()
    latencies = [trial.user_attrs["latency"] for trial in complete(trials)]
    assert {(latency["device"], latency["source"]) for latency in latencies} == {
        (agent, "measured")
    }
