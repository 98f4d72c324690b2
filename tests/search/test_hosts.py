"""A search on a cluster of several hosts with a database and an agent, whose links break.

The commands are those of docs/guides/cluster.md; estimator and agent are quick ones.
"""

import os
import re
import secrets
import shlex
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
from tests.postgresql import find_program, ordinary_user
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
    # A node does not give up by itself: it lives until it hears that it counts as dead.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
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
            "PGPASSWORD": secrets.token_hex(8),
            "RAY_TMPDIR": folder,
        }


@pytest.fixture
def cluster(environment):
    """Give a head, a worker, a host with a database and a board."""
    if find_program("initdb") is None or find_program("postgres") is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    with hosts("head", "worker", "store", "board") as made:
        yield made


def block_of_page(beginning):
    """Return the commands of the page in the block that has one with this beginning."""
    page = (ROOT / "docs" / "guides" / "cluster.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return next(b for b in blocks if re.search(rf"^{re.escape(beginning)}", b, re.MULTILINE))


def command_of_page(beginning, **names):
    """Return the first command of the page with this beginning, as words, with names filled in."""
    block = block_of_page(beginning).replace("\\\n", " ")
    line = next(line for line in block.splitlines() if line.startswith(beginning))
    for name, value in names.items():
        assert name in line
        line = line.replace(name, value)
    return shlex.split(line, comments=True)


@pytest.fixture
def storage(cluster, environment, monkeypatch):
    """Start a database on its host, as the page says; return its address."""
    host, user, secret = cluster[2], ordinary_user(), environment["PGPASSWORD"]
    monkeypatch.setenv("PGPASSWORD", secret)  # with which this process reads the study
    folder = Path(tempfile.mkdtemp(prefix="mixnas-postgresql-"))
    (folder / "password").write_text(secret, encoding="utf-8")
    for path in (folder, folder / "password"):
        os.chown(path, user.pw_uid, user.pw_gid)
    commands = block_of_page("initdb").replace("--pwprompt", "--pwfile password")  # nobody types
    as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    with (folder / "log").open("w") as log:
        made = host.start(
            *as_user, "bash", "-euc", commands,
            cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            assert made.wait(120) == 0, (folder / "log").read_text()
            yield f"postgresql://nas@{host.address}:5432/nas"
        finally:
            host.end()
            shutil.rmtree(folder)


def start_ray(host, environment, words):
    """Start Ray on a host, and wait until it runs."""
    program = [sys.executable, "-m", "ray.scripts.scripts", *words[1:], "--num-cpus", "1"]
    with tempfile.TemporaryFile("w+") as told:  # no pipe, which what it starts would keep open
        started = host.start(
            *program, "--node-ip-address", host.address, "--disable-usage-stats",
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

    def __init__(self, host, environment, folder, storage, words):
        self._folder, self._storage = folder, storage
        self._said = (folder / "said.txt").open("w+")  # a pipe that nobody reads would fill up
        self.process = host.start(
            sys.executable, *words[1:], "--out", "run",
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


def wait_for_the_end_of_ray(host):
    """Wait until Ray has ended itself on a host that came back after it had counted as dead."""
    stop = time.monotonic() + 120
    while "raylet" in (running := host.programs()):
        assert time.monotonic() < stop, running
        time.sleep(0.5)


def test_links_that_break_in_the_middle_lose_nothing(cluster, storage, environment, tmp_path):
    head, worker, _, board = cluster
    write_space(tmp_path)
    first = command_of_page("ray start --head")
    start_ray(head, environment, [*first, "--include-dashboard", "false"])
    another = command_of_page("ray start --address", FIRST=head.address)
    start_ray(worker, environment, another)
    agent = start_agent(board, environment)
    store = storage.partition("@")[2].partition(":")[0]
    search = command_of_page("python -m nas.search", STORE=store, BOARD=board.address)
    assert (storage in search, agent in search) == (True, True)
    search[search.index("--trials") + 1] = str(TRIALS)
    search[search.index("--threads") + 1] = "1"
    quick = [
        *("--space", "small.yaml", "--estimator", "nas.testing.fakes:Patient"),
        *("--latency", "measured", "--sampler", "random", "--confirm", "0", "--reference", "none"),
    ]
    run = Run(head, environment, tmp_path, storage, [*search, *quick])
    before = run.wait_for(2)
    running = {t.number for t in run.trials() if t.state.name == "RUNNING"}
    assert len(running) == 2  # one on each node

    worker.cut()  # in the middle of a trial, which starts again on the head
    wait_for_nodes(1, head, environment)
    on_the_head = run.wait_for(len(before) + 3)
    assert "raylet" in worker.programs()  # it lives, and does not know that it counts as dead
    worker.restore()
    wait_for_the_end_of_ray(worker)
    start_ray(worker, environment, another)
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
