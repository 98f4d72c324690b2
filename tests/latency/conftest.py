"""Real agents to test with, each a process that listens on a free port."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from nas.formats.onnx import to_onnx
from nas.latency.weights import realistic_weights
from nas.spec import Input, load_network

# Quick to examine: networks that are not lowered have no forms to choose from.
PLAIN = {"threads": 1, "lowered": "false"}


class Agent:
    """An agent in a separate process."""

    def __init__(self, folder, *options, token=None, port=0):
        named = options if "--device" in options else ("--device", "onnxruntime:cpu", *options)
        self.folder, self.options = folder, named
        self.token = token or secrets.token_urlsafe(32)
        self.start(port)

    def start(self, port=0):
        with (self.folder / "messages.txt").open("ab") as messages:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nas.device", "serve", "--port", str(port), *self.options],
                cwd=self.folder,
                env={
                    **os.environ,
                    "MIXNAS_TOKEN": self.token,
                    "MIXNAS_CACHE": str(self.folder / "cache"),
                    "TMPDIR": str(self.folder),
                },
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
            )
        greeting = self.process.stdout.readline()
        assert " on http" in greeting, (self.folder / "messages.txt").read_text()
        self.url = greeting.split(" on ")[-1].split(";")[0]
        self.port = int(self.url.rpartition(":")[2])

    @property
    def messages(self):
        return (self.folder / "messages.txt").read_text()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(20)
        self.process.stdout.close()

    def client(self):
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.token}"}, timeout=40
        )

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def worker(self):
        """Wait for the process of a job and return it."""
        stop = time.monotonic() + 20
        while time.monotonic() < stop:
            for child in self.children():
                # Until it runs its own program, it looks like the agent.
                if "nas.latency.agent.worker" in child.cmdline():
                    return child
            time.sleep(0.01)
        raise AssertionError("no process was started")

    def idle(self):
        """Wait until no job is running."""
        stop = time.monotonic() + 30
        while httpx.get(f"{self.url}/health").json()["busy"]:
            assert time.monotonic() < stop
            time.sleep(0.05)


@pytest.fixture(scope="module")
def start_agent(tmp_path_factory):
    """Start agents that end with the tests of the module."""
    agents = []

    def start(*options, **more):
        agents.append(Agent(tmp_path_factory.mktemp("agent"), *options, **more))
        return agents[-1]

    yield start
    for agent in agents:
        if agent.process.poll() is None:
            agent.stop()


@pytest.fixture(scope="module")
def agent(start_agent):
    """Return an agent that has examined its machine for networks that are not lowered."""
    agent = start_agent()
    examined(agent)
    return agent


@pytest.fixture(scope="module")
def litert_agent(start_agent):
    """Return an agent that serves LiteRT as well, and has examined it like the other."""
    agent = start_agent("--device", "onnxruntime:cpu", "--device", "litert:cpu")
    examined(agent, device="litert:cpu")
    return agent


def examined(agent, **params):
    """Wait until an agent has a profile for networks that are not lowered."""
    with agent.client() as client:
        while client.get("/profile", params={**PLAIN, **params, "wait": 20}).status_code == 202:
            pass


@pytest.fixture(scope="module")
def small():
    """Return a network that is quick to measure."""
    return load_network("mixnet_s").replace(input=Input(resolution=64))


@pytest.fixture(scope="module")
def model(small):
    """Return that network as an ONNX model."""
    tree = small.tree()
    return to_onnx(tree, small.in_shape, realistic_weights(tree)).SerializeToString()


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Give a test a cache of its own."""
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
