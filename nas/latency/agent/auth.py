"""Authentication by token, and limits on what an unauthenticated connection may cost."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import time
from typing import Any

import h11
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

OPEN_PATHS = frozenset({"/health", "/docs", "/openapi.json"})
HEAD_SECONDS = 10.0  # time limit for the head of a request, and for the rest of an ignored body
HEAD_BYTES = 16_384  # maximum size of the head of a request
# Connections without the token; beyond these numbers, the oldest is closed for each new one.
STRANGERS = 32
STRANGERS_PER_ADDRESS = 8
_AUTHORIZED = "mixnas.authorized"  # key of a request's scope
_CLOSE = (b"connection", b"close")


class TokenAuth:
    """ASGI middleware that answers 401 to requests without the token, before reading the body.

    Without the token, a connection ends with the first answer, whatever the request was.
    """

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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._has_token(scope):
            scope[_AUTHORIZED] = True
            await self._app(scope, receive, send)
        elif scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, _closing(send))
        else:
            await _send_401(_closing(send))

    def _has_token(self, scope: Scope) -> bool:
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = (values[0] if len(values) == 1 else b"").partition(b" ")
        # The time it takes to compare digests reveals nothing about the token or its length.
        matches = hmac.compare_digest(hashlib.sha256(token.strip()).digest(), self._digest)
        return matches and scheme.lower() == b"bearer"


def _closing(send: Send) -> Send:
    """Return `send` for an answer after which the connection is closed."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        await send(message)

    return send_and_close


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
    """HTTP/1.1 with limits on time and on the number of connections without the token.

    uvicorn waits forever for the head of a request, for the rest of a body that arrives after the
    answer, and for a client that does not read; here each must be over within `HEAD_SECONDS`. Nor
    does it tell those who have the token from strangers, who could take all connections.
    """

    _timer: asyncio.TimerHandle | None = None
    _since = 0
    _known = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout for the first head, and make room among the strangers."""
        super().connection_made(transport)
        self._since = time.monotonic_ns()
        self._restart_timer()
        strangers = [c for c in self.connections if isinstance(c, PatientProtocol) and c.stranger]
        strangers.sort(key=lambda connection: connection._since)
        neighbors = [connection for connection in strangers if connection.place == self.place]
        for superfluous in (strangers[:-STRANGERS], neighbors[:-STRANGERS_PER_ADDRESS]):
            for connection in superfluous:
                connection.transport.abort()

    @property
    def stranger(self) -> bool:
        """Whether neither its last request with an answer nor the present one has had the token.

        The token of a request is looked at only after its head has been read. Meanwhile, whoever
        has shown it before must not be taken for a stranger.
        """
        return not (self._known or (self.scope is not None and _AUTHORIZED in self.scope))

    @property
    def place(self) -> str:
        """The client's address; of an IPv6 address the network, in which one client has many."""
        host = self.client[0].partition("%")[0] if self.client else ""
        address = ipaddress.ip_address(host) if host else None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
            return str(ipaddress.ip_network((int(address), 64), strict=False))
        return host

    def on_response_complete(self) -> None:
        """Start the timeout for the rest of the body and the next head."""
        self._known = self.scope is not None and _AUTHORIZED in self.scope
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
        if answering and not self.stranger:
            return
        # Closing waits for the client to read what was sent, but not for ever.
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        if answering or self.transport.is_closing():
            self.transport.close()
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
            _CLOSE,
        ]
        response = h11.Response(status_code=status, headers=headers)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
