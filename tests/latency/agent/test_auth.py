"""Requests without the token, and connections that do not send one."""

import asyncio
import json
import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn

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


def test_an_answer_may_take_longer_than_a_head(monkeypatch):
    monkeypatch.setattr(auth, "HEAD_SECONDS", 0.2)

    async def slow(scope, receive, send):
        await asyncio.sleep(0.5)
        await echo(scope, receive, send)

    with serving(slow) as connect, connect() as line:
        line.sendall(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert all_of(line).endswith(b"/late\r\n0\r\n\r\n")


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
