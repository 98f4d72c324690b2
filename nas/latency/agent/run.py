"""Running the server."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from nas.latency.agent.auth import HEAD_BYTES, PatientProtocol
from nas.latency.agent.jobs import JobQueue
from nas.latency.agent.messages import JobLimits
from nas.latency.agent.server import new_app

_CONNECTIONS = 64
_GRACE = 3  # seconds that connections have to end


class _Server(uvicorn.Server):
    """Ends what is being measured before it waits for those who wait for it."""

    def __init__(self, config: uvicorn.Config, jobs: JobQueue) -> None:
        super().__init__(config)
        self._jobs = jobs
        self.interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See `uvicorn.Server`."""
        # Raised again by uvicorn, Ctrl-C may reach an event loop that is done and get lost.
        self.interrupted = sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await self._jobs.close()
        await super().shutdown(sockets)


def run_server(
    device: str,
    token: str,
    limits: JobLimits,
    listener: socket.socket,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until a signal ends it.

    Args:
        device: a runtime of this machine: ``onnxruntime:cpu``.
        token: that every request must carry.
        limits: on what one request may cost.
        listener: a bound socket.
        certificate: with its key, for TLS; PEM files.
        key: of the certificate.
    """
    jobs = JobQueue(limits)
    config = uvicorn.Config(
        new_app(device, token, jobs),
        loop="asyncio",
        http=PatientProtocol,
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_graceful_shutdown=_GRACE,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = _Server(config, jobs)
    server.run([listener])
    if server.interrupted:
        raise KeyboardInterrupt
