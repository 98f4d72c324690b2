"""Who gets in, and what a connection may cost before it has shown a token."""

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
HEAD_SECONDS = 10.0
HEAD_BYTES = 16_384


class TokenAuth:
    """Answers 401 to whatever comes without the token, before its body is read."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._digest = hashlib.sha256(token.encode()).digest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the application answer."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._knows(scope):
            await _refuse(send)
        else:
            await self._app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (given[0] if len(given) == 1 else b"").partition(b" ")
        # Of digests, the time of a comparison says nothing about the token or its length.
        same = hmac.compare_digest(hashlib.sha256(token.strip()).digest(), self._digest)
        return same and scheme.lower() == b"bearer"


async def _refuse(send: Send) -> None:
    reason = "this needs the agent's token, as the header 'Authorization: Bearer TOKEN'"
    body = json.dumps({"detail": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b'Bearer realm="mixnas"'),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose patience ends.

    uvicorn waits without end for the head of a request, and for the rest of a body after it was
    answered; here both have some seconds.
    """

    _clock: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Begin to wait for the rest of the body and the next head."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        if self._clock is not None:
            self._clock.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
        self._clock = self.loop.call_later(HEAD_SECONDS, self._over)

    def _over(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering or self.transport.is_closing():
            return
        half_a_head = bool(self.conn.trailing_data[0]) and self.conn.our_state is h11.IDLE
        if half_a_head:
            self._answer(408, "The head of the request did not come in time.")
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, unless the request was answered already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(400, msg)
        if self.cycle is not None:  # what the application still says finds nobody
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
