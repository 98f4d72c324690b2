"""Running the agent's HTTP server."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from nas.errors import MixnasError
from nas.latency.agent.auth import HEAD_BYTES, HEAD_SECONDS, PatientProtocol
from nas.latency.agent.jobs import JobQueue
from nas.latency.agent.messages import JobLimits, ServedRuntime
from nas.latency.agent.server import new_app

_CONNECTIONS = 64
_GRACE = 3  # seconds that connections have to end when the server stops


class PatientLoop(asyncio.SelectorEventLoop):
    """An event loop in which a TLS handshake has as much time as the head of a request."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """See `asyncio.loop.create_server`."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = HEAD_SECONDS
        return await super().create_server(*args, **options)


class _Server(uvicorn.Server):
    """A server that stops the running job before it waits for its connections to close."""

    def __init__(self, config: uvicorn.Config, jobs: JobQueue) -> None:
        super().__init__(config)
        self._jobs = jobs
        self.interrupted = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See `uvicorn.Server`."""
        # uvicorn raises the signal again after the event loop has ended, where it can get lost.
        self.interrupted = sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See `uvicorn.Server`."""
        await self._jobs.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    Raises:
        MixnasError: If the address is in use or does not belong to this machine.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = addresses[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen()  # from now on, clients wait for the server instead of being refused
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise MixnasError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another --host or "
            "--port"
        ) from None
    return listener


def run_server(
    runtimes: Sequence[ServedRuntime],
    token: str,
    limits: JobLimits,
    listener: socket.socket,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Run the server until a signal stops it.

    Args:
        runtimes: Runtimes to serve, one or more; the first is the default.
        token: Token that every request must carry.
        limits: Limits on the cost of one request.
        listener: Bound socket that is listening.
        certificate: PEM file with the certificate chain; None for no TLS.
        key: PEM file with the certificate's private key.

    Raises:
        KeyboardInterrupt: If the server was stopped by Ctrl-C.
    """
    jobs = JobQueue(limits)
    config = uvicorn.Config(
        new_app(runtimes, token, jobs),
        loop="nas.latency.agent.run:PatientLoop",
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
