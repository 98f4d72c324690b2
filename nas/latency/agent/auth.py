"""Authentication by token, and limits on what an unauthenticated connection may cost."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

OPEN_PATHS = frozenset({"/health", "/docs", "/openapi.json"})
HEAD_SECONDS = 10.0  # time limit for the head of a request, and for the rest of an ignored body
HEAD_BYTES = 16_384  # maximum size of the head of a request


class TokenAuth:
    """ASGI middleware that answers 401 to requests without the token, before reading the body."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Wrap an application.

        Args:
            app: The application.
            token: The token that requests must carry, except those to `OPEN_PATHS`.
        """
        self._app = app
        self._digest = hashlib.sha256(token.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or answer 401."""
        needs_token = scope["type"] == "http" and scope["path"] not in OPEN_PATHS
        if needs_token and not self._has_token(scope):
            await _send_401(send)
        else:
            await self._app(scope, receive, send)

    def _has_token(self, scope: Scope) -> bool:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (values[0] if len(values) == 1 else b"").partition(b" ")
        # The time it takes to compare digests reveals nothing about the token or its length.
        matches = hmac.compare_digest(hashlib.sha256(token.strip()).digest(), self._digest)
        return matches and scheme.lower() == b"bearer"


async def _send_401(send: Send) -> None:
    reason = "this request needs the agent's token in the header 'Authorization: Bearer TOKEN'"
    body = json.dumps({"detail": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b'Bearer realm="mixnas"'),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class PatientProtocol(H11Protocol):
    """HTTP/1.1 with a timeout for the head of a request.

    uvicorn waits forever for the head of a request, and for the rest of a body that arrives after
    the answer; here both must arrive within `HEAD_SECONDS`.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for the first head."""
        super().connection_made(transport)
        self._restart_timer()

    def on_response_complete(self) -> None:
        """Start the timeout for the rest of the body and the next head."""
        super().on_response_complete()
        self._restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def _restart_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(HEAD_SECONDS, self._time_out)

    def _time_out(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self.transport.is_closing():
            return
        head_is_incomplete = bool(self.conn.trailing_data[0]) and self.conn.our_state is h11.IDLE
        if head_is_incomplete:
            self._answer(408, "The head of the request did not arrive in time.")
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer 400 to malformed HTTP, unless the request was already answered."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(400, msg)
        if self.cycle is not None:  # stop the application from sending more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _answer(self, status: int, text: str) -> None:
        body = json.dumps({"detail": text}).encode()
        headers: list[Any] = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        response = h11.Response(status_code=status, headers=headers)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
