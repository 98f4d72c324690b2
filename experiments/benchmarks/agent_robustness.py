"""Responses of the device agent to 1,000 bad requests, and its memory use.

    python -m experiments.benchmarks.agent_robustness [--requests 1000] [--record]

The requests are malformed, oversized, unauthenticated, truncated, or contain invalid models; in a
few, the runtime's process is made to crash or hang. Then one network is measured. The agent's
memory is its resident set, after a number of warm-up requests and after all requests.
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from experiments.benchmarks.common import record
from nas.errors import MixnasError
from nas.latency import MeasurementSettings
from nas.latency.remote.device import RemoteDevice
from nas.spec import Input, load_network

MAX_BYTES = 20_000_000  # MixNet-S has 17 million
MAX_SECONDS = 30
WARM_UP = 200
CRASHES = 3
QUERY = "/measurements?resolution=64&threads=1&lowered=false"
CLOSED = "closed"


class Attacker:
    """Sends bad requests of all kinds."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self.rng = random.Random(0)

    def send(self, text: bytes, then: str = "wait") -> str:
        """Send bytes on a new connection; return the status of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as line:
            with suppress(ConnectionError):  # the agent may have answered and closed already
                line.sendall(text)
            if then == "close":
                line.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionError):
                while b"\r\n" not in answer and (chunk := line.recv(65536)):
                    answer += chunk
        return answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/1.1 ") else CLOSED

    def post(self, *headers: str, token: str | None = None, query: str = QUERY) -> bytes:
        """Return the head of a request for a measurement."""
        lines = [f"POST {query} HTTP/1.1", "Host: board", *headers]
        lines += [f"Authorization: Bearer {self.token if token is None else token}"]
        return "\r\n".join([*lines, "", ""]).encode()

    def malformed(self) -> str:
        """Send malformed HTTP, an invalid query, or a body that is not a model."""
        rng = self.rng
        kind = "Content-Type: application/octet-stream"
        return self.send(
            rng.choice(
                [
                    rng.randbytes(rng.randrange(1, 2000)) + b"\r\n\r\n",
                    b"GET / HTTP/1.1\r\n\r\n",
                    b"GET /health HTTP/9\r\nHost: a\r\n\r\n",
                    b"BREW / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
                    self.post("Content-Length: 5", "Content-Length: 6"),
                    self.post("Transfer-Encoding: chunked", kind) + b"zz\r\n",
                    self.post("Content-Length: 2", kind) + b"{}",
                    self.post("Content-Length: 0", kind),
                    self.post("Content-Length: 2", "Content-Type: text/html") + b"\x08\x09",
                    self.post("Content-Length: 1", query=QUERY + "&threads=many") + b"\x08",
                    self.post("Content-Length: 1", query=QUERY + "&%00=%ff") + b"\x08",
                    self.post("Content-Length: 1", query="/../../etc/passwd") + b"\x08",
                ]
            ),
            "close",
        )

    def oversized(self) -> str:
        """Send a head or a body that is too large, as declared or only as received."""
        kind = "Content-Type: application/octet-stream"
        if self.rng.random() < 0.3:
            return self.send(self.post("X: " + "x" * 200_000))
        if self.rng.random() < 0.5:
            return self.send(self.post(f"Content-Length: {MAX_BYTES + 1}", kind))
        chunk = b"10000\r\n" + b"\x08" * 0x10000 + b"\r\n"
        return self.send(
            self.post("Transfer-Encoding: chunked", kind) + chunk * (MAX_BYTES // 0x10000 + 1)
        )

    def unauthenticated(self) -> str:
        """Send no token, or one that is nearly correct."""
        token = self.rng.choice(["", "wrong", self.token[:-1], self.token + "x", "\x7f"])
        body = b"\x08" * self.rng.choice([0, 1, 300_000])
        return self.send(self.post(f"Content-Length: {len(body)}", token=token) + body)

    def cut_short(self) -> str:
        """Close the connection in the middle of the head or the body."""
        kind = "Content-Type: application/octet-stream"
        whole = self.post("Content-Length: 100000", kind) + b"\x08" * 1000
        return self.send(whole[: self.rng.randrange(1, len(whole))], "close")

    def no_model(self) -> str:
        """Send a body that only begins like a model; the result gives the reason."""
        with httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=60,
        ) as client:
            content = b"\x08" + self.rng.randbytes(1000)
            accepted = client.post(QUERY, content=content, headers={"Content-Type": ""})
            if accepted.status_code != 202:
                return str(accepted.status_code)
            path = accepted.headers["location"]
            while (answer := client.get(path, params={"wait": 20})).status_code == 202:
                pass
            return str(answer.status_code)


def started(folder: Path, token: str) -> tuple[subprocess.Popen[str], int]:
    """Start an agent; return its process and port."""
    limits = ["--max-megabytes", str(MAX_BYTES / 1e6), "--max-seconds", str(MAX_SECONDS)]
    with (folder / "messages.txt").open("wb") as messages:
        process = subprocess.Popen(
            [sys.executable, "-m", "nas.device", "serve", "--port", "0", *limits],
            env={**os.environ, "MIXNAS_TOKEN": token, "MIXNAS_CACHE": str(folder / "cache")},
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
        )
    assert process.stdout is not None
    return process, int(process.stdout.readline().split(";")[0].rpartition(":")[2])


def crash(device: RemoteDevice, agent: psutil.Process) -> str:
    """Kill the runtime's process during a measurement; return the error that the client sees."""
    told: list[str] = []
    network = load_network("mixnet_s").replace(input=Input(resolution=64))

    def measure() -> None:
        try:
            device.measure(network)
            told.append("it was measured")
        except MixnasError as error:
            told.append(str(error).partition(": ")[2])

    thread = threading.Thread(target=measure)
    thread.start()
    while thread.is_alive():
        for child in agent.children():
            # Until it has executed another program, a child looks like the agent.
            if "nas.latency.agent.worker" in child.cmdline():
                child.send_signal(signal.SIGSEGV)
                thread.join()
        time.sleep(0.01)
    return told[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    token = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory() as name:
        process, port = started(Path(name), token)
        try:
            result = attack(process, port, token, arguments.requests)
            result["tracebacks"] = (Path(name) / "messages.txt").read_text().count("Traceback")
        finally:
            process.terminate()
            process.wait()
    record("agent_robustness", result, "fastapi", "uvicorn", "onnxruntime", write=arguments.record)


def attack(
    process: subprocess.Popen[str], port: int, token: str, requests: int
) -> dict[str, object]:
    """Send everything; print a table and return the figures."""
    attacker, agent = Attacker(port, token), psutil.Process(process.pid)
    device = RemoteDevice(
        f"http://127.0.0.1:{port}", MeasurementSettings(1, lowered=False), token=token
    )
    device.prepare()
    kinds: list[tuple[Callable[[], str], int]] = [
        (attacker.malformed, 30),
        (attacker.oversized, 25),
        (attacker.unauthenticated, 25),
        (attacker.cut_short, 18),
        (attacker.no_model, 2),
    ]
    job_spec = random.Random(1).choices(
        [kind for kind, _ in kinds], [weight for _, weight in kinds], k=requests
    )
    answers: dict[str, Counter[str]] = {kind.__name__: Counter() for kind, _ in kinds}
    memory: list[float] = []
    warm = min(WARM_UP, requests // 2)
    began = time.perf_counter()
    for number, kind in enumerate(job_spec):
        if number == warm:
            memory.append(agent.memory_info().rss / 1e6)
        answers[kind.__name__][kind()] += 1
    seconds = time.perf_counter() - began
    memory.append(agent.memory_info().rss / 1e6)
    crashes = Counter(crash(device, agent) for _ in range(CRASHES))
    latency = device.measure(load_network("mixnet_s").replace(input=Input(resolution=64)))
    for what, counts in answers.items():
        print(f"{what:16} {counts.total():5}   {dict(sorted(counts.items()))}")
    statuses = sum(answers.values(), Counter[str]())
    clean = sum(n for s, n in statuses.items() if s.startswith("4") or s == CLOSED)
    print(f"{'crashed':16} {crashes.total():5}   {dict(crashes)}")
    print(f"memory {memory[0]:.1f} MB after {warm} requests, {memory[1]:.1f} MB after all")
    print(f"then a measurement: {latency.median_ms} ms")
    return {
        "requests": requests,
        "seconds": round(seconds, 1),
        "answers": {what: dict(sorted(counts.items())) for what, counts in answers.items()},
        "answered_4xx_or_closed": clean,
        "crashes": dict(crashes),
        "memory_mb_warm": round(memory[0], 1),
        "memory_mb_after": round(memory[1], 1),
        "memory_mb_end": round(agent.memory_info().rss / 1e6, 1),
        "still_the_same_process": process.poll() is None,
        "then_measured_ms": latency.median_ms,
    }


if __name__ == "__main__":
    main()
