"""Requests to an agent, and what is said when they fail."""

import httpx
import pytest

from nas import __version__
from nas.errors import MixnasError, UnrunnableError
from nas.latency.conditions import MeasurementSettings
from nas.latency.remote import client as client_module
from nas.latency.remote.client import AgentClient, AgentResponse, split_address
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
        ((200, conditions(interval_ms=5), {}), r"other than the requested ones (interval_ms 5.0)"),
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


@pytest.mark.parametrize(
    ("name", "address", "runtime"),
    [
        ("http://board:7070", "http://board:7070", None),
        ("http://board", "http://board", None),
        ("http://board:7070/litert:cpu", "http://board:7070", "litert:cpu"),
        ("https://hub/board/3", "https://hub/board/3", None),
        ("https://hub/board/3/onnxruntime:cuda", "https://hub/board/3", "onnxruntime:cuda"),
        ("http://[::1]:7070/ncnn:cpu", "http://[::1]:7070", "ncnn:cpu"),
    ],
)
def test_an_address_may_end_with_a_runtime(name, address, runtime):
    assert split_address(name) == (address, runtime)


def test_a_runtime_in_an_address_has_a_processor():
    message = error_of(RemoteDevice, "http://board:7070/litert", PLAIN)
    assert message == (
        "'http://board:7070/litert' does not name a processor; write "
        "http://board:7070/litert:PROCESSOR"
    )


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


@pytest.mark.parametrize(
    ("text", "url", "token"),
    [
        ("alone", "http://board:7070", "alone"),
        ("board mine\nother:1 theirs", "http://board:7070", "mine"),
        ("board mine\nother:1 theirs", "http://other:1", "theirs"),
        ("board:7070 mine\n\n", "http://BOARD:7070", "mine"),
        ("[::1]:7070 mine", "http://[::1]:7070", "mine"),
        ("[::1] mine", "http://[::1]:7070", "mine"),
        ("board:80 mine", "http://board", "mine"),
        ("board:80 mine", "http://board:80", "mine"),
    ],
)
def test_a_token_belongs_to_a_host(monkeypatch, text, url, token):
    monkeypatch.setenv("MIXNAS_TOKEN", text)
    headers = AgentClient(url, None, None, 1.0)._client.headers
    assert headers["authorization"] == f"Bearer {token}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("board mine", "MIXNAS_TOKEN has no token for evil; add a line of HOST TOKEN"),
        ("evil:1 mine", "has no token for evil"),
        ("evil:80 mine", "has no token for evil"),
        ("user@evil2 mine", "has no token for evil"),
        ("board mine\nalone", "expected a single token, or lines of HOST TOKEN or HOST:PORT TOKEN"),
        ("a b c", "expected a single token"),
        ("evil t\u00f6ken", "a token consists of ASCII characters without spaces"),
        (" \n", "a remote device needs its token"),
    ],
)
def test_no_other_host_gets_a_token(monkeypatch, text, message):
    monkeypatch.setenv("MIXNAS_TOKEN", text)
    assert message in error_of(AgentClient, "http://evil:7070", None, None, 1.0)


def test_a_redirect_takes_no_token_elsewhere():
    with stub((200, conditions(), {})) as (elsewhere, asked):
        with stub((302, b"", {"Location": f"{elsewhere}/conditions"})) as (url, _):
            device = RemoteDevice(url, PLAIN, token="a-token", patience=1.0)
            assert "status 302" in error_of(lambda: device.conditions)
        assert asked == []


def test_headers_of_requests(monkeypatch):
    monkeypatch.setenv("MIXNAS_TOKEN", "the-environment's")
    headers = AgentClient("http://board:1", None, None, 1.0)._client.headers
    assert headers["authorization"] == "Bearer the-environment's"
    assert headers["user-agent"] == f"mixnas/{__version__}"
    given = AgentClient("http://board:1", "ours", None, 1.0)._client.headers
    assert given["authorization"] == "Bearer ours"


# -- fixed numbers -------------------------------------------------------------------------------


def test_an_absence_ends_when_the_agent_is_busy_meanwhile(scripted):
    # 15.5 s away, then busy, and away for 14 s: neither is too long for a patience of 20 s.
    busy = AgentResponse(429, b"", 3.0)
    client, clock = scripted(200, *[503] * 5, busy, 503, 503, 200, patience=20.0)
    ask(client)
    assert ask(client).status == 200
    assert clock.delays == [0.5, 1, 2, 4, 8, 3, 6, 8]


@pytest.mark.parametrize(("patience", "tries"), [(1.0, 2), (0.4, 1), (60.0, 5)])
def test_a_patience_below_eight_seconds_is_kept(scripted, patience, tries):
    client, clock = scripted(503, patience=patience)
    with pytest.raises(MixnasError, match="does not answer"):
        ask(client)
    # Another try is made while the next delay ends in time: after 0.5, 1.5, 3.5 and 7.5 s.
    assert len(clock.delays) + 1 == tries


def test_jitter_is_a_quarter_of_the_delay(scripted, monkeypatch):
    client, clock = scripted(503, 200)
    bounds = []
    monkeypatch.setattr(
        client_module.random, "uniform", lambda *given: bounds.append(given) or 1.25
    )
    ask(client)
    assert (bounds, clock.delays) == ([(0.75, 1.25)], [0.625])


class Response:
    """An answer that arrives in chunks."""

    def __init__(self, *chunks, status=200, **headers):
        self.chunks, self.status_code = chunks, status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def iter_raw(self):
        return iter(self.chunks)


@pytest.mark.parametrize(
    ("after", "seconds"), [("7", 7.0), ("", 0.0), ("-1", 0.0), ("Wed, 21 Oct 2026", 0.0)]
)
def test_answers_are_joined(monkeypatch, after, seconds):
    client = AgentClient("http://board:1", "a-token", None, 60.0)
    requests = []

    def stream(method, path, **more):
        requests.append((method, path, more))
        return Response(b"ab", b"c", status=202, Retry_After=after)

    monkeypatch.setattr(client._client, "stream", stream)
    assert client.ask("POST", "/measurements", {"a": 1}, b"m") == AgentResponse(
        202, b"abc", seconds
    )
    client.ask("GET", "/profile", {})
    octets = {"Content-Type": "application/octet-stream"}
    assert requests == [
        ("POST", "/measurements", {"params": {"a": 1}, "content": b"m", "headers": octets}),
        ("GET", "/profile", {"params": {}, "content": None, "headers": {}}),
    ]


@pytest.mark.parametrize(("size", "accepted"), [(4_000_000, True), (4_000_001, False)])
def test_answers_have_at_most_four_megabytes(monkeypatch, size, accepted):
    client = AgentClient("http://board:1", "a-token", None, 60.0)
    monkeypatch.setattr(
        client._client, "stream", lambda *_, **__: Response(b"0" * (size - 1), b"1")
    )
    if accepted:
        assert len(ask(client).content) == size
    else:
        with pytest.raises(MixnasError, match="answered with more than 4,000,000 bytes"):
            ask(client)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (httpx.ConnectError("refused\nreally"), "refused"),
        (httpx.ReadTimeout(""), "ReadTimeout"),
        (httpx.ConnectError("x" * 300), "x" * 200),
    ],
)
def test_reasons_of_broken_connections_are_one_line(monkeypatch, error, reason):
    client = AgentClient("http://board:1", "a-token", None, 0.0)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(client._client, "stream", fail)
    with pytest.raises(MixnasError, match=rf"does not answer \({reason}\); check the address"):
        ask(client)


def test_timeouts_and_encodings():
    client = AgentClient("http://board:1", "a-token", None, 1.0)._client
    timeout = client.timeout
    assert (timeout.connect, timeout.read, timeout.write, timeout.pool) == (5.0, 40.0, 60.0, 5.0)
    assert client.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b'{"detail": "a\\u001b[2Jb"}', "a[2Jb"),
        (b'{"detail": "%s"}' % (b"x" * 600), "x" * 500),
        (b"[]", "no reason given"),
        (b'{"other": 1}', "no reason given"),
        (b"\xff", "no reason given"),
    ],
)
def test_reasons_of_refusals(scripted, content, detail):
    client, _ = scripted(AgentResponse(422, content))
    with pytest.raises(UnrunnableError) as caught:
        ask(client)
    assert str(caught.value) == f"http://board:1 failed: {detail}"
