"""The server as a whole: its settings and its end."""

import asyncio
import signal
import socket
from contextlib import nullcontext

import pytest
import uvicorn

from nas.errors import MixnasError
from nas.latency.agent import run as run_module
from nas.latency.agent.auth import HEAD_BYTES, HEAD_SECONDS, PatientProtocol
from nas.latency.agent.jobs import JobQueue
from nas.latency.agent.messages import JobLimits
from nas.latency.agent.run import listen, run_server


@pytest.fixture
def started(monkeypatch):
    """Keep servers from serving; return those that were started, with their sockets."""
    servers = []

    def start(self, sockets):
        servers.append((self, sockets))

    monkeypatch.setattr(run_module._Server, "run", start)
    return servers


def test_connections_are_bounded(started):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run_server("onnxruntime:cpu", "a-token", JobLimits(), listener)
        ((server, sockets),) = started
        assert sockets == [listener]
    config = server.config
    assert config.http is PatientProtocol
    assert config.h11_max_incomplete_event_size == HEAD_BYTES == 16_384
    assert (config.limit_concurrency, config.timeout_graceful_shutdown) == (64, 3)
    assert not config.proxy_headers  # an address in a header proves nothing
    assert not config.is_ssl
    assert config.get_loop_factory() is run_module.PatientLoop


@pytest.mark.parametrize(
    ("number", "interrupted"), [(signal.SIGINT, True), (signal.SIGTERM, False)]
)
def test_ctrl_c_ends_the_command_as_usual(monkeypatch, number, interrupted):
    def run(self, sockets):
        self.handle_exit(number, None)
        assert self.should_exit

    monkeypatch.setattr(run_module._Server, "run", run)
    ended = pytest.raises(KeyboardInterrupt) if interrupted else nullcontext()
    with socket.create_server(("127.0.0.1", 0)) as listener, ended:
        run_server("onnxruntime:cpu", "a-token", JobLimits(), listener)


def test_jobs_are_stopped_before_connections_are_waited_for(monkeypatch):
    order = []

    class Jobs(JobQueue):
        async def close(self):
            order.append("jobs")

    async def shutdown(self, sockets=None):
        order.append("connections")

    monkeypatch.setattr(uvicorn.Server, "shutdown", shutdown)
    server = run_module._Server(uvicorn.Config(lambda: None), Jobs(JobLimits()))
    asyncio.run(server.shutdown())
    assert order == ["jobs", "connections"]


@pytest.mark.parametrize(("context", "seconds"), [(None, None), ("a context", HEAD_SECONDS)])
def test_tls_handshakes_have_as_much_time_as_heads(monkeypatch, context, seconds):
    options = []

    async def create_server(self, *args, **more):
        options.append(more)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "create_server", create_server)
    loop = run_module.PatientLoop()
    loop.run_until_complete(loop.create_server(None, ssl=context, backlog=9))
    loop.close()
    assert options[0].get("ssl_handshake_timeout") == seconds
    assert options[0]["backlog"] == 9


def test_an_address_in_use_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            MixnasError, match=f"cannot listen on 127.0.0.1 port {port} .*choose an"
        ):
            listen("127.0.0.1", port)
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        pass  # it listens already
