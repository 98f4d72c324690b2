import json
import shutil
import signal
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from nas.errors import MixnasError
from nas.latency import MeasurementSettings, open_device
from nas.latency.protocol import Effort
from nas.latency.remote.device import RemoteDevice
from nas.lowering import MERGE_ALL

PLAIN = MeasurementSettings(threads=1, lowered=False)
QUICK = Effort(rounds=2, seconds=0.2, warm_seconds=0.2)


def remote(agent, settings=PLAIN, **more):
    return RemoteDevice(agent.url, settings, token=agent.token, **more)


def told(function, *arguments):
    """Return the one line of an error."""
    with pytest.raises(MixnasError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_network_is_measured_elsewhere(agent, small, monkeypatch):
    monkeypatch.setenv("MIXNAS_TOKEN", agent.token)
    device = open_device(f"{agent.url}/", PLAIN)
    steps = []
    device.prepare(lambda done, total: steps.append((done, total)))
    assert steps[-1] == (1, 1)
    assert device.form_choice() is MERGE_ALL
    first, second = (device.measure(small, QUICK) for _ in range(2))
    assert (first.device, first.threads, first.lowered) == (agent.url, 1, False)
    assert (first.resolution, first.source) == (64, "measured")
    assert first.conditions == second.conditions == device.conditions
    assert 0 < first.low_ms <= first.median_ms <= first.high_ms
    assert (first.median_ms, first.p90_ms) != (second.median_ms, second.p90_ms)  # measured anew


@pytest.mark.slow
def test_networks_take_the_forms_that_are_fastest_there(agent, small):
    device = remote(agent, MeasurementSettings(threads=1))
    assert device.form_choice().findings  # found on the agent's machine
    assert device.measure(small, QUICK).lowered is True


@pytest.mark.slow
def test_int8_networks_are_quantised_here(agent, small):
    latency = remote(agent, MeasurementSettings(1, 1, "int8", True)).measure(small, QUICK)
    assert (latency.precision, latency.source) == ("int8", "measured")


def test_the_token_comes_from_a_file_or_is_missed(agent, tmp_path, monkeypatch):
    monkeypatch.delenv("MIXNAS_TOKEN", raising=False)
    assert "needs its token" in told(RemoteDevice, agent.url, PLAIN)
    path = tmp_path / "token"
    monkeypatch.setenv("MIXNAS_TOKEN_FILE", str(path))
    assert "cannot be read" in told(RemoteDevice, agent.url, PLAIN)
    path.write_text(agent.token + "\n")
    assert RemoteDevice(agent.url, PLAIN).conditions.device == agent.url
    path.write_text("two words\n")
    assert "without blanks" in told(RemoteDevice, agent.url, PLAIN)


def test_a_wrong_token_is_told(agent):
    device = RemoteDevice(agent.url, PLAIN, token="a-wrong-token-of-ours")
    assert "refuses the token; set MIXNAS_TOKEN" in told(device.prepare)


@pytest.mark.parametrize("url", ["http://", "http://board:port", "http://board:1?x=1", "ftp://a"])
def test_what_is_no_address_is_told(url):
    assert "write http://HOST:PORT" in told(RemoteDevice, url, PLAIN)


def test_no_password_in_an_address():
    assert "leave the password out" in told(RemoteDevice, "http://a:b@board:7070", PLAIN)


def test_nobody_there():
    device = RemoteDevice("http://127.0.0.1:9", PLAIN, token="a-token", patience=1.0)
    message = told(device.prepare)
    assert message.startswith("http://127.0.0.1:9 does not answer (")
    assert "`python -m nas.device serve` runs there" in message


def test_too_large_a_network_is_told(start_agent, small):
    agent = start_agent("--max-megabytes", "0.5")
    message = told(remote(agent).measure, small, QUICK)
    assert "as too large (a model has at most 500,000 bytes here)" in message
    assert "--max-megabytes" in message
    agent.stop()


def in_background(function):
    """Run something beside the test; return what gives its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def result():
        thread.join(60)
        return results[0]

    return result


def test_a_crash_there_is_told_here(agent, small):
    device = remote(agent)
    device.prepare()
    result = in_background(lambda: told(device.measure, small, QUICK))
    agent.worker().send_signal(signal.SIGSEGV)
    assert result() == f"{agent.url} cannot do it: the runtime crashed (signal 11, SIGSEGV)"
    assert device.measure(small, QUICK).n > 0


def test_a_measurement_outlives_a_restart_of_the_agent(start_agent, small):
    agent = start_agent()
    device = remote(agent, patience=40.0)
    device.prepare()
    result = in_background(lambda: device.measure(small, QUICK))
    worker = agent.worker()
    agent.stop(signal.SIGKILL)
    worker.kill()
    agent.start(agent.port)
    assert result().source == "measured"
    agent.stop()


# -- what is not an agent, or a strange one ----------------------------------------------------


@contextmanager
def stub(*answers):
    """Serve answers one after the other, the last one for ever; yield the address and requests."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body, headers = left.pop(0) if len(left) > 1 else left[0]
            asked.append(self.path)
            self.send_response(status)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def conditions(**changes):
    known = {
        "device": "onnxruntime:cpu",
        "runtime": "onnxruntime 1.0",
        "machine": "a board",
        "threads": 1,
        "batch": 1,
        "precision": "fp32",
        "lowered": False,
    }
    return json.dumps({**known, **changes}).encode()


def test_an_agent_that_is_away_or_busy_is_asked_again():
    answers = [(503, b"", {}), (429, b"{}", {"Retry-After": "1"}), (202, b"{}", {})]
    with stub(*answers, (200, conditions(), {})) as (url, asked):
        assert RemoteDevice(url, PLAIN, token="a-token").conditions.machine == "a board"
        assert len(asked) == 4


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, b"<html>", {}), "none of a mixnas agent"),
        ((200, b"{}", {}), "none of a mixnas agent"),
        ((200, b"0" * 5_000_000, {}), "more than 4,000,000 bytes"),
        ((200, conditions(batch=2), {}), r"other conditions than it was asked for (batch 2)"),
        ((302, b"", {"Location": "http://elsewhere/"}), "status 302"),
        ((500, b'{"detail": "two\\nlines"}', {}), "status 500 (twolines)"),
        ((422, b'{"detail": "no such thing"}', {}), "cannot do it: no such thing"),
        ((503, b"", {}), "does not answer (status 503)"),
    ],
)
def test_strange_answers_are_told(answer, message):
    with stub(answer) as (url, _):
        device = RemoteDevice(url, PLAIN, token="a-token", patience=1.0)
        assert message in told(lambda: device.conditions)


# -- TLS ---------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_tls_is_verified(start_agent, tmp_path, monkeypatch):
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=board -addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}",
        shell=True,
        check=True,
        capture_output=True,
    )
    agent = start_agent("--tls-cert", str(cert), "--tls-key", str(key))
    assert agent.url.startswith("https://")
    assert "is not trusted" in told(lambda: remote(agent).conditions)
    assert remote(agent, ca_file=str(cert)).conditions.threads == 1
    monkeypatch.setenv("MIXNAS_CA_FILE", str(cert))
    assert remote(agent).conditions.threads == 1
    monkeypatch.setenv("MIXNAS_CA_FILE", str(key))
    assert "holds no certificates" in told(remote, agent)
    agent.stop()
