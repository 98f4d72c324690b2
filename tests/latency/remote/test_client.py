"""Requests to an agent, and what is said when they fail."""

import httpx
import pytest

from nas import __version__
from nas.errors import MixnasError, UnrunnableError
from nas.latency.conditions import MeasurementSettings
from nas.latency.remote import client as client_module
from nas.latency.remote.client import AgentClient, AgentResponse
from nas.latency.remote.device import RemoteDevice
from tests.latency.remote.stub import conditions, error_of, stub

PLAIN = MeasurementSettings(threads=1, lowered=False)


def test_requests_are_retried_while_the_agent_is_away_or_busy():
    answers = [(503, b"", {}), (429, b"{}", {"Retry-After": "1"}), (202, b"{}", {})]
    with stub(*answers, (200, conditions(), {})) as (url, asked):
        assert RemoteDevice(url, PLAIN, token="a-token").conditions.machine == "a board"
        assert len(asked) == 4


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, b"<html>", {}), "is not that of a mixnas device agent"),
        ((200, b"{}", {}), "is not that of a mixnas device agent"),
        ((200, b"0" * 5_000_000, {}), "more than 4,000,000 bytes"),
        ((200, conditions(batch=2), {}), r"conditions other than the requested ones (batch 2)"),
        ((302, b"", {"Location": "http://elsewhere/"}), "status 302"),
        ((500, b'{"detail": "two\\nlines"}', {}), "status 500 (twolines)"),
        ((422, b'{"detail": "no such thing"}', {}), "failed: no such thing"),
        ((503, b"", {}), "does not answer (status 503)"),
    ],
)
def test_unexpected_answers_are_reported(answer, message):
    with stub(answer) as (url, _):
        device = RemoteDevice(url, PLAIN, token="a-token", patience=1.0)
        assert message in error_of(lambda: device.conditions)


@pytest.mark.parametrize("url", ["http://", "http://board:port", "http://board:1?x=1", "ftp://a"])
def test_invalid_addresses_are_refused(url):
    assert "write http://HOST:PORT" in error_of(RemoteDevice, url, PLAIN)


def test_no_password_in_an_address():
    assert "omit the password from the address" in error_of(
        RemoteDevice, "http://a:b@board:7070", PLAIN
    )


def test_an_address_where_nothing_listens():
    device = RemoteDevice("http://127.0.0.1:9", PLAIN, token="a-token", patience=1.0)
    message = error_of(device.prepare)
    assert message.startswith("http://127.0.0.1:9 does not answer (")
    assert "`python -m nas.device serve` is running there" in message


class FakeClock:
    """Time that passes only while the client sleeps."""

    def __init__(self):
        self.now = 1000.0
        self.delays = []

    def monotonic(self):
        return self.now

    @property
    def slept(self):
        return sum(self.delays)

    def sleep(self, seconds):
        self.delays.append(seconds)
        self.now += seconds


@pytest.fixture
def scripted(monkeypatch):
    """Make a client that gets certain answers, the last one forever; and its clock."""

    def make(*answers, patience=60.0):
        clock = FakeClock()
        monkeypatch.setattr(client_module, "time", clock)
        monkeypatch.setattr(client_module.random, "uniform", lambda low, high: 1.0)
        client = AgentClient("http://board:1", "a-token", None, patience)
        left = [a if isinstance(a, AgentResponse) else AgentResponse(a, b"") for a in answers]
        monkeypatch.setattr(client, "_once", lambda *_: left.pop(0) if len(left) > 1 else left[0])
        return client, clock

    return make


def ask(client):
    return client.ask("GET", "/conditions", {})


def test_delays_double_up_to_eight_seconds(scripted):
    client, clock = scripted(200, 503, 0, 502, 504, 503, 503, 200)
    ask(client)
    assert ask(client).status == 200
    assert clock.delays == [0.5, 1, 2, 4, 8, 8]


def test_an_agent_that_has_never_answered_gets_eight_seconds(scripted):
    client, clock = scripted(503)
    with pytest.raises(MixnasError, match=r"does not answer \(status 503\)"):
        ask(client)
    assert clock.slept <= 8 < clock.slept + 4
    client, clock = scripted(200, 503)
    ask(client)
    with pytest.raises(MixnasError, match="does not answer"):
        ask(client)
    assert clock.slept <= 60 < clock.slept + 8


def test_a_busy_agent_is_asked_when_it_says_for_fifteen_minutes(scripted):
    client, clock = scripted(*[AgentResponse(429, b"", wait) for wait in (3.0, 0.0, 99.0)], 200)
    assert ask(client).status == 200
    assert clock.delays == [3.0, 0.5, 8.0]
    client, clock = scripted(AgentResponse(429, b"", 5.0))
    with pytest.raises(MixnasError, match="has been busy with other clients for 15 minutes"):
        ask(client)
    assert 900 < clock.slept <= 905


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, MixnasError, "rejects the token; set MIXNAS_TOKEN"),
        (413, UnrunnableError, "rejects the network as too large .*larger --max-megabytes"),
        (422, UnrunnableError, "failed: no reason given"),
        (507, MixnasError, "rejects the request with status 507"),
    ],
)
def test_refusals_are_not_retried(scripted, status, kind, message):
    client, clock = scripted(status)
    with pytest.raises(MixnasError, match=message) as caught:
        ask(client)
    assert type(caught.value) is kind
    assert clock.delays == []


@pytest.mark.parametrize("status", [200, 202, 404])
def test_expected_answers_are_returned(scripted, status):
    assert ask(scripted(status)[0]).status == status


def test_an_untrusted_certificate_is_not_retried(monkeypatch):
    client = AgentClient("https://board:1", "a-token", None, 60.0)
    reason = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed (_ssl.c:1000)"

    def fail(*_, **__):
        raise httpx.ConnectError(reason)

    monkeypatch.setattr(client._client, "stream", fail)
    with pytest.raises(
        MixnasError, match=r"not trusted \(certificate verify failed: self-signed\)"
    ):
        ask(client)


def test_headers_of_requests(monkeypatch):
    monkeypatch.setenv("MIXNAS_TOKEN", "the-environment's")
    headers = AgentClient("http://board:1", None, None, 1.0)._client.headers
    assert headers["authorization"] == "Bearer the-environment's"
    assert headers["user-agent"] == f"mixnas/{__version__}"
    given = AgentClient("http://board:1", "ours", None, 1.0)._client.headers
    assert given["authorization"] == "Bearer ours"
