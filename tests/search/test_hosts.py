"""A search on a cluster of several hosts with a database and an agent, whose links break.

The hosts are started as docs/guides/cluster.md says; estimator and agent are quick ones.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import ROOT
from tests.hosts import hosts
from tests.postgresql import Server, find_program
from tests.searching import check_nothing_lost_or_double, complete, trials_of, write_space

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TRIALS = 30
# A node counts as dead after some ten seconds without an answer, not after half a minute.
QUICK = {
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",  # other tests may keep the machine busy
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
    host.start(
        sys.executable, "-m", *words, "--device", "onnxruntime:cpu",
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url, stop = f"http://{host.address}:7070", time.monotonic() + 60
    while time.monotonic() < stop:
        try:
            httpx.get(f"{url}/health")
            return url
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError("the agent does not answer")


class Run:
    """A search that is running."""

    def __init__(self, host, environment, folder, storage, *words):
        self._folder, self._storage = folder, storage
        self._said = (folder / "said.txt").open("w+")  # a pipe that nobody reads would fill up
        self.process = host.start(
            sys.executable, "-m", "nas.search", *words, "--storage", storage, "--out", "run",
            cwd=folder, env=environment, stdout=self._said, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def said(self):
        """Return what it has printed so far."""
        return (self._folder / "said.txt").read_text()

    def trials(self):
        """Return its trials so far."""
        config = self._folder / "run" / "config.yaml"
        if not config.is_file():
            return []
        name = yaml.safe_load(config.read_text())["study"]
        try:
            return trials_of(self._storage, name)
        except Exception:  # Optuna's, of a study that is not made yet
            return []

    def wait_for(self, n):
        """Wait until n trials are complete; return those that are, by number."""
        stop = time.monotonic() + 180
        while len(done := complete(self.trials())) < n:
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < stop, self.said()
            time.sleep(0.5)
        return {trial.number: trial.values for trial in done}

    def finish(self):
        """Wait until it has ended well."""
        assert self.process.wait(300) == 0, self.said()
        self._said.close()


def wait_for_nodes(n, head, environment):
    """Wait until n nodes of the cluster are alive, as its head sees it."""
    code = (
        f"import ray, time; ray.init('{head.address}:6379', log_to_driver=False)\n"
        f"while sum(node['Alive'] for node in ray.nodes()) != {n}: time.sleep(0.2)"
    )
    assert head.start(sys.executable, "-c", code, env=environment).wait(90) == 0


def test_links_that_break_in_the_middle_lose_nothing(cluster, storage, environment, tmp_path):
    head, worker, _, board = cluster
    write_space(tmp_path)
    start_ray(head, environment, "--head", "--port", "6379", "--include-dashboard", "false")
    start_ray(worker, environment, "--address", f"{head.address}:6379")
    agent = start_agent(board, environment)
    run = Run(
        head, environment, tmp_path, storage,
        *("--space", "small.yaml", "--estimator", "nas.testing.fakes:Patient"),
        *("--ray", f"{head.address}:6379", "--device", agent, "--latency", "measured"),
        *("--trials", TRIALS, "--sampler", "random", "--confirm", "0", "--reference", "none"),
    )  # fmt: skip
    before = run.wait_for(2)
    running = {t.number for t in run.trials() if t.state.name == "RUNNING"}
    assert len(running) == 2  # one on each node

    worker.cut()  # in the middle of a trial, which starts again on the head
    wait_for_nodes(1, head, environment)
    on_the_head = run.wait_for(len(before) + 3)
    worker.end()
    worker.restore()
    start_ray(worker, environment, "--address", f"{head.address}:6379")
    wait_for_nodes(2, head, environment)

    run.wait_for(len(on_the_head) + 3)
    board.cut()
    time.sleep(10)
    unmeasured = complete(run.trials())
    assert len(unmeasured) < TRIALS
    assert run.process.poll() is None
    board.restore()
    run.finish()

    trials = run.trials()
    check_nothing_lost_or_double(trials, TRIALS)
    after = {trial.number: trial.values for trial in complete(trials)}
    assert before.items() <= on_the_head.items() <= after.items()
    assert running <= set(after)  # the one on the worker started again on the head
    latencies = [trial.user_attrs["latency"] for trial in complete(trials)]
    assert {(latency["device"], latency["source"]) for latency in latencies} == {
        (agent, "measured")
    }
