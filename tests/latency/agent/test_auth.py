"""Requests without the token, and connections that do not send one."""

import asyncio
import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace

import h11
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from nas.latency.agent import auth
from nas.latency.agent.auth import HEAD_BYTES, PatientProtocol, TokenAuth

TOKEN = "a-token-of-the-tests"


def ask(path, *authorization, kind="http"):
    """Return the messages that the middleware sends for a request."""
    sent = []

    async def app(scope, receive, send):
        sent.append("the application")

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("the body must not be read")

    headers = [(b"authorization", value) for value in authorization]
    scope = {"type": kind, "path": path, "headers": headers}
    asyncio.run(TokenAuth(app, TOKEN)(scope, receive, send))
    return sent


@pytest.mark.parametrize("value", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", f"BEARER {TOKEN}"])
def test_the_token_is_accepted(value):
    assert ask("/conditions", value.encode()) == ["the application"]


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"",),
        (b"Bearer",),
        (TOKEN.encode(),),
        (f"Basic {TOKEN}".encode(),),
        (f"Bearer {TOKEN}x".encode(),),
        (f"Bearer {TOKEN[:-1]}".encode(),),
        (f"Bearer {TOKEN}".encode(),) * 2,
        (b"Bearer \xff\x00",),
    ],
)
def test_everything_else_is_answered_with_401(values):
    start, body = ask("/conditions", *values)
    headers = dict(start["headers"])
    assert start["status"] == 401
    assert headers[b"connection"] == b"close"
    assert headers[b"www-authenticate"] == b'Bearer realm="mixnas"'
    assert int(headers[b"content-length"]) == len(body["body"])
    assert "Authorization: Bearer TOKEN" in json.loads(body["body"])["detail"]


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json"])
def test_open_paths_need_no_token(path):
    assert ask(path) == ["the application"]
    assert ask(f"{path}/")[0]["status"] == 401


def test_only_http_needs_a_token():
    assert ask("/conditions", kind="lifespan") == ["the application"]


@contextmanager
def serving(app):
    """Serve an application with the patient protocol; yield a function that connects to it."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield lambda: socket.create_connection(listener.getsockname(), timeout=10)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def all_of(line):
    """Return everything that is received until the connection is closed."""
    received = b""
    while chunk := line.recv(65536):
        received += chunk
    return received


async def echo(scope, receive, send):
    """Answer before the body is read."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def test_connections_end_when_no_head_arrives(monkeypatch):
    monkeypatch.setattr(auth, "HEAD_SECONDS", 0.3)
    with serving(echo) as connect, connect() as silent, connect() as slow, connect() as idle:
        slow.sendall(b"GET /health HT")
        idle.sendall(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
        assert all_of(silent) == b""
        answer = all_of(slow)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive in time" in answer
        assert all_of(idle).startswith(b"HTTP/1.1 200 ")  # answered, and then closed


@pytest.mark.parametrize(
    "text",
    [b"\0\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000],
)
def test_malformed_requests_are_answered_with_json(text):
    with serving(echo) as connect, connect() as line:
        line.sendall(text)
        head, _, body = all_of(line).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["detail"]


# -- limits before the token ---------------------------------------------------------------------


async def answer_everything(scope, receive, send):
    """Answer with the path at once."""
    body = scope["path"].encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


GUARDED = TokenAuth(answer_everything, TOKEN)
KNOWN = f"Authorization: Bearer {TOKEN}\r\n".encode()


def request(path=b"/x", headers=b""):
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n"


def until(line, end):
    """Return what is received until it ends in a certain way, or the connection is closed."""
    received = b""
    while not received.endswith(end) and (chunk := line.recv(65536)):
        received += chunk
    return received


def ended(line):
    """Wait for the end of a connection that is closed or aborted."""
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def is_open(line):
    """Tell whether a connection still answers a request with the token."""
    try:
        line.sendall(request(b"/open", KNOWN))
        # The end of the answer before may still be on its way.
        return b"HTTP/1.1 200 " in until(line, b"/open")
    except OSError:
        return False


def test_the_oldest_strangers_of_an_address_make_room(monkeypatch):
    monkeypatch.setattr(auth, "STRANGERS_PER_ADDRESS", 3)
    with serving(GUARDED) as connect, ExitStack() as opened:
        friend = opened.enter_context(connect())
        assert is_open(friend)
        lines = [opened.enter_context(connect()) for _ in range(5)]
        # Two of the five are closed; the friend, who is older, is not.
        assert [ended(line) for line in lines[:2]] == [True, True]
        assert all(is_open(line) for line in [*lines[2:], friend])
        # Those who have shown the token are strangers no longer.
        more = [opened.enter_context(connect()) for _ in range(3)]
        assert all(is_open(line) for line in [*lines[2:], *more, friend])


def test_who_has_shown_the_token_is_no_stranger_while_the_next_request_is_read():
    line = object.__new__(PatientProtocol)
    line.scope = None
    assert line.stranger
    line.scope = {"mixnas.authorized": True}
    assert not line.stranger
    line.scope = {}  # of the next request, whose token has not been looked at
    assert line.stranger
    line._known = True
    assert not line.stranger


def test_strangers_are_bounded_over_all_addresses(monkeypatch):
    monkeypatch.setattr(auth, "STRANGERS", 2)
    places = iter(f"10.0.0.{n}" for n in range(99))

    def place(self):
        self.__dict__.setdefault("_place", next(places))
        return self._place

    monkeypatch.setattr(PatientProtocol, "place", property(place))
    with serving(GUARDED) as connect, ExitStack() as opened:
        lines = [opened.enter_context(connect()) for _ in range(4)]
        assert [ended(line) for line in lines[:2]] == [True, True]
        assert all(is_open(line) for line in lines[2:])


@pytest.mark.parametrize(
    ("client", "place"),
    [
        (("10.1.2.3", 9), "10.1.2.3"),
        (("2001:db8:1:2:3:4:5:6", 9), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 9), "fe80::/64"),
        (("::ffff:10.1.2.3", 9), "::ffff:10.1.2.3"),
        (None, ""),
    ],
)
def test_an_ipv6_network_counts_as_one_address(client, place):
    protocol = PatientProtocol.__new__(PatientProtocol)
    protocol.client = client
    assert protocol.place == place


@pytest.mark.parametrize("path", [b"/x", b"/health"])
def test_without_the_token_a_connection_gets_one_answer(path):
    with serving(GUARDED) as connect, connect() as line:
        line.sendall(request(path) * 2)
        answer = all_of(line)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close\r\n" in answer


def test_a_connection_that_once_had_the_token_needs_it_again():
    with serving(GUARDED) as connect, connect() as line:
        assert is_open(line)
        line.sendall(request())
        assert all_of(line).startswith(b"HTTP/1.1 401 ")


def test_a_refused_request_with_half_a_body_is_closed_in_time(monkeypatch):
    monkeypatch.setattr(auth, "HEAD_SECONDS", 0.3)
    with serving(GUARDED) as connect, connect() as line:
        line.sendall(request(headers=b"Content-Length: 1000000\r\n") + b"x" * 500)
        began = time.monotonic()
        received = b""
        with suppress(ConnectionResetError):  # what it sent was not read
            while chunk := line.recv(65536):
                received += chunk
        assert received.startswith(b"HTTP/1.1 401 ")
        assert time.monotonic() - began < 5


class Line:
    """A connection and an event loop that write down what they are told."""

    def __init__(self):
        self.told = []

    def call_later(self, seconds, function):
        self.told.append((seconds, function.__name__))

    def is_closing(self):
        return "close" in self.told

    def close(self):
        self.told.append("close")

    def abort(self):
        self.told.append("abort")


@pytest.mark.parametrize(
    ("scope", "answered", "told"),
    [
        # Whoever does not read the answer is cut off after as much time again.
        ({}, False, [(10.0, "abort"), "close"]),
        ({}, True, [(10.0, "abort"), "close"]),
        (None, None, [(10.0, "abort"), "close"]),
        ({"mixnas.authorized": True}, True, [(10.0, "abort"), "close"]),
        ({"mixnas.authorized": True}, False, []),
    ],
)
def test_the_time_of_a_connection_is_up(scope, answered, told):
    line = Line()
    protocol = PatientProtocol.__new__(PatientProtocol)
    protocol.loop = protocol.transport = line
    protocol.conn, protocol.scope = h11.Connection(h11.SERVER), scope
    protocol.cycle = SimpleNamespace(response_complete=answered) if scope is not None else None
    protocol._time_out()
    assert line.told == told


def test_timers_end_with_their_connection(monkeypatch):
    cancelled = []

    class Timer:
        def __init__(self, name):
            self.name = name

        def cancel(self):
            cancelled.append(self.name)

    monkeypatch.setattr(H11Protocol, "connection_lost", lambda self, exc: None)
    protocol = PatientProtocol.__new__(PatientProtocol)
    protocol.connection_lost(None)  # there is no timer yet
    timers = iter([Timer("first"), Timer("second")])
    protocol.loop = SimpleNamespace(call_later=lambda seconds, function: next(timers))
    protocol._restart_timer()
    assert cancelled == []
    protocol._restart_timer()
    assert cancelled == ["first"]
    protocol.connection_lost(None)
    assert cancelled == ["first", "second"]


def test_an_answer_to_a_friend_may_take_long(monkeypatch):
    monkeypatch.setattr(auth, "HEAD_SECONDS", 0.2)

    async def slow(scope, receive, send):
        await asyncio.sleep(0.7)
        await answer_everything(scope, receive, send)

    with serving(TokenAuth(slow, TOKEN)) as connect, connect() as friend, connect() as stranger:
        friend.sendall(request(b"/late", KNOWN))
        stranger.sendall(request(b"/health"))
        assert until(friend, b"/late").startswith(b"HTTP/1.1 200 ")
        assert all_of(stranger) == b""


def test_limits_before_the_token():
    assert (auth.HEAD_SECONDS, auth.STRANGERS, auth.STRANGERS_PER_ADDRESS) == (10.0, 32, 8)
