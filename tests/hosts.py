"""Hosts with addresses of their own on this machine: network namespaces on one bridge.

They share files and processors, but reach each other through links alone, which can be cut. It
takes the rights of root.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

NETWORK = "10.77.91"
HERE = f"{NETWORK}.254"
"""The address of the machine itself, from which tests look at the hosts."""


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    """Call ``ip``; it must succeed."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Host:
    """A host, in which processes are started.

    Attributes:
        address: Its address.
    """

    def __init__(self, name: str, number: int, bridge: str) -> None:
        """Make a namespace, and connect it with a bridge."""
        self.address = f"{NETWORK}.{number}"
        self._space = f"{bridge}-{name}"
        self._link = f"{bridge}v{number}"  # of at most 15 characters
        self._processes: list[subprocess.Popen[str]] = []
        ip("netns", "add", self._space)
        ip("link", "add", self._link, "type", "veth", "peer", "eth0", "netns", self._space)
        ip("link", "set", self._link, "master", bridge, "up")
        ip("-n", self._space, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", self._space, "link", "set", device, "up")

    def start(self, *words: object, **options: object) -> subprocess.Popen[str]:
        """Start a process on the host."""
        command = ["ip", "netns", "exec", self._space, *map(str, words)]
        process = subprocess.Popen(command, text=True, **options)
        self._processes.append(process)
        return process

    def cut(self) -> None:
        """Cut the link: nothing arrives, and nobody is told."""
        ip("link", "set", self._link, "down")

    def restore(self) -> None:
        """Restore the link."""
        ip("link", "set", self._link, "up")

    def end(self) -> None:
        """Kill all processes of the host."""
        for number in ip("netns", "pids", self._space).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        for process in self._processes:
            process.wait()
            for pipe in filter(None, (process.stdout, process.stderr)):
                pipe.close()
        self._processes.clear()

    def remove(self) -> None:
        """End the host."""
        self.end()
        ip("netns", "del", self._space)


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Give a test some hosts, which end with it; skip it where there can be none."""
    bridge = f"mx{os.getpid() % 100_000}"
    try:
        ip("link", "add", bridge, "type", "bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces need root and iproute2 ({error})")
    made: list[Host] = []
    try:
        ip("addr", "add", f"{HERE}/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number, name in enumerate(names, start=1):
            made.append(Host(name, number, bridge))
        yield made
    finally:
        for host in made:
            host.remove()
        ip("link", "del", bridge)
