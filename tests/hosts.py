"""Hosts with addresses of their own on this machine: network namespaces on one bridge.

They share files and processors, but reach each other through links alone, which can be cut. It
takes the rights of root.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from filelock import FileLock

NETWORK = "10.77.91"
BRIDGE = "mixnas"
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

    def programs(self) -> set[str]:
        """Return the names of the programs that run on the host."""
        names = set()
        for number in ip("netns", "pids", self._space).stdout.split():
            with suppress(FileNotFoundError, ProcessLookupError):
                names.add(Path(f"/proc/{number}/comm").read_text(encoding="utf-8").strip())
        return names

    def end(self) -> None:
        """Kill all processes of the host."""
        end_all(self._space)
        for process in self._processes:
            process.wait()
            for pipe in filter(None, (process.stdout, process.stderr)):
                pipe.close()
        self._processes.clear()


def end_all(space: str) -> None:
    """Kill all processes in a namespace, and those that they start meanwhile."""
    while numbers := ip("netns", "pids", space).stdout.split():
        for number in numbers:
            with suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        time.sleep(0.05)


def _clear_up() -> None:
    """Remove what tests left that were killed; the lock says that no others are running."""
    for space in ip("netns", "list").stdout.split("\n"):
        if space.startswith(f"{BRIDGE}-"):
            name = space.split()[0]
            end_all(name)
            ip("netns", "del", name)
    with suppress(subprocess.CalledProcessError):
        ip("link", "del", BRIDGE)


@contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Give a test some hosts, which end with it; skip it where there can be none."""
    lock = FileLock(Path(tempfile.gettempdir()) / "mixnas-tests-hosts.lock")
    with lock.acquire(timeout=600):
        try:
            _clear_up()
            ip("link", "add", BRIDGE, "type", "bridge")
            ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
            ip("link", "set", BRIDGE, "up")
            made = [Host(name, number, BRIDGE) for number, name in enumerate(names, start=1)]
        except (OSError, subprocess.CalledProcessError) as error:
            with suppress(OSError, subprocess.CalledProcessError):
                _clear_up()
            pytest.skip(f"network namespaces need root and iproute2 ({error})")
        try:
            yield made
        finally:
            for host in made:
                host.end()
            _clear_up()
