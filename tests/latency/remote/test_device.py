"""Measurements by an agent."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from nas.errors import UnrunnableError
from nas.latency import MeasurementSettings, open_device
from nas.latency.deployment import NetworkForm
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort
from nas.latency.remote import device as device_module
from nas.latency.remote.client import AgentResponse
from nas.latency.remote.device import RemoteDevice
from nas.lowering import MERGE_ALL
from tests.latency.records import latency
from tests.latency.remote.stub import error_of

PLAIN = MeasurementSettings(threads=1, lowered=False)
QUICK = Effort(rounds=2, seconds=0.2, warm_seconds=0.2)


def remote(agent, settings=PLAIN, **more):
    return RemoteDevice(agent.url, settings, token=agent.token, **more)


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
    assert (first.median_ms, first.p90_ms) != (second.median_ms, second.p90_ms)  # measured again


def test_the_pauses_are_made_there(agent, small):
    paused = dataclasses.replace(PLAIN, interval_ms=2.0)
    latency = remote(agent, paused).measure(small, QUICK)
    assert latency.interval_ms == 2.0
    assert latency.median_ms < 1000 * QUICK.seconds  # of a run, without the pause


def test_a_runtime_of_the_agent_is_named_by_the_address(litert_agent, small, monkeypatch):
    monkeypatch.setenv("MIXNAS_TOKEN", litert_agent.token)
    device = open_device(f"{litert_agent.url}/litert:cpu", PLAIN)
    measured = device.measure(small, QUICK)
    assert measured.conditions == device.conditions
    assert (measured.device, device.name) == (f"{litert_agent.url}/litert:cpu",) * 2
    assert measured.runtime.startswith("ai-edge-litert ")
    assert 0 < measured.low_ms <= measured.median_ms <= measured.high_ms
    # The same agent's other runtime is another device, with other latencies, profiles and files.
    first = remote(litert_agent)
    assert first.conditions.runtime.startswith("onnxruntime ")
    assert first.conditions.digest() != device.conditions.digest()
    named = open_device(f"{litert_agent.url}/onnxruntime:cpu", PLAIN)
    assert named.conditions.runtime == first.conditions.runtime
    # What it does not serve is told with what it does.
    message = error_of(open_device(f"{litert_agent.url}/openvino:cpu", PLAIN).prepare)
    assert message == (
        f"{litert_agent.url}/openvino:cpu: this agent does not serve 'openvino:cpu'; it serves "
        "onnxruntime:cpu, litert:cpu"
    )
    served = first.served()
    assert [(known.device, known.model_format) for known in served.runtimes] == [
        ("onnxruntime:cpu", "onnx"),
        ("litert:cpu", "tflite"),
    ]
    assert (served.body_bytes, served.seconds) == (256_000_000, 120.0)


@pytest.mark.slow
def test_networks_take_the_forms_that_are_fastest_there(agent, small):
    device = remote(agent, MeasurementSettings(threads=1))
    assert device.form_choice().findings  # found on the agent's machine
    assert device.measure(small, QUICK).lowered is True


@pytest.mark.slow
def test_int8_networks_are_quantized_here(agent, small):
    latency = remote(agent, MeasurementSettings(threads=1, precision="int8")).measure(small, QUICK)
    assert (latency.precision, latency.source) == ("int8", "measured")


def test_the_token_comes_from_a_file_or_is_missed(agent, tmp_path, monkeypatch):
    monkeypatch.delenv("MIXNAS_TOKEN", raising=False)
    assert "needs its token" in error_of(RemoteDevice, agent.url, PLAIN)
    path = tmp_path / "token"
    monkeypatch.setenv("MIXNAS_TOKEN_FILE", str(path))
    assert "cannot be read" in error_of(RemoteDevice, agent.url, PLAIN)
    path.write_text(agent.token + "\n")
    assert RemoteDevice(agent.url, PLAIN).conditions.device == agent.url
    path.write_text("three plain words\n")
    assert "without spaces" in error_of(RemoteDevice, agent.url, PLAIN)


def test_a_wrong_token_is_reported(agent):
    device = RemoteDevice(agent.url, PLAIN, token="a-wrong-token-of-ours")
    assert "rejects the token; set MIXNAS_TOKEN" in error_of(device.prepare)


def test_too_large_a_network_is_reported(start_agent, small):
    agent = start_agent("--max-megabytes", "0.5")
    message = error_of(remote(agent).measure, small, QUICK)
    assert "as too large (models may have at most 500,000 bytes)" in message
    assert "--max-megabytes" in message
    agent.stop()


def in_background(function):
    """Call a function in a thread; return a function that waits for its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()

    def result():
        thread.join(60)
        return results[0]

    return result


def test_a_crash_of_the_runtime_is_reported(agent, small):
    device = remote(agent)
    device.prepare()
    result = in_background(lambda: error_of(device.measure, small, QUICK))
    agent.worker().send_signal(signal.SIGSEGV)
    assert result() == f"{agent.url} failed: the runtime crashed (signal 11, SIGSEGV)"
    assert device.measure(small, QUICK).n > 0


@pytest.mark.slow
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


# -- answers -----------------------------------------------------------------------------------


@pytest.fixture
def answering(monkeypatch):
    """Make a device whose agent gives certain answers, by path; and the requests it gets."""

    def make(**answers):
        device = RemoteDevice("http://board:1", PLAIN, token="a-token")
        requests = []

        def ask(method, path, params, content=None):
            requests.append((method, path, params))
            answer = answers[path.split("/")[1]]
            status, content = answer.pop(0) if len(answer) > 1 else answer[0]
            return AgentResponse(status, json.dumps(content).encode())

        monkeypatch.setattr(device._client, "ask", ask)
        return device, requests

    return make


HERE = {"device": "onnxruntime:cpu", "lowered": False}
CONDITIONS_THERE = dataclasses.asdict(latency(**HERE).conditions)
ID = "0" * 64


def measured(**changes):
    return dataclasses.asdict(latency(**HERE, **changes))


def test_a_measurement_is_sent_again_when_the_agent_was_restarted(answering, small):
    device, requests = answering(
        conditions=[(200, CONDITIONS_THERE)],
        measurements=[
            (202, {"id": ID}),
            (404, {}),
            (202, {"id": ID}),
            (202, {}),
            (200, measured()),
        ],
    )
    assert device.measure(small, QUICK) == latency(device="http://board:1", lowered=False)
    sent = [params for method, _, params in requests if method == "POST"]
    assert sent[0] == sent[1]  # the same take: an agent that still knows it does not repeat it
    assert {"rounds": 2, "seconds": 0.2, "precision_of_ratio": 0.005}.items() <= sent[0].items()
    assert (sent[0]["resolution"], sent[0]["threads"], sent[0]["lowered"]) == (64, 1, False)
    assert requests[2][:2] == ("GET", f"/measurements/{ID}")
    assert requests[2][2] == {"wait": 15.0}


def test_an_agent_that_restarts_again_and_again_is_given_up(answering, small):
    device, requests = answering(
        conditions=[(200, CONDITIONS_THERE)], measurements=[(202, {"id": ID}), (404, {})] * 3
    )
    message = error_of(device.measure, small, QUICK)
    assert message.startswith("http://board:1 was restarted 3 times during the measurement of ")
    assert len(requests) == 1 + 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machine": "another"}, r"other than the requested ones (machine another, not m)"),
        ({"resolution": 32}, "(a measured latency at 32 pixels)"),
        ({"source": "predicted"}, "(a predicted latency at 64 pixels)"),
    ],
)
def test_a_latency_for_other_conditions_is_refused(answering, small, changes, message):
    device, _ = answering(
        conditions=[(200, CONDITIONS_THERE)],
        measurements=[(202, {"id": ID}), (200, measured(**changes))],
    )
    assert message in error_of(device.measure, small, QUICK)


def test_a_profile_for_other_conditions_is_refused(answering):
    profile = DeviceProfile(latency(device="onnxruntime:cpu", batch=2).conditions, 1.0)
    device, _ = answering(
        conditions=[(200, CONDITIONS_THERE)], profile=[(200, dataclasses.asdict(profile))]
    )
    assert "(batch 2, not 1; lowered True, not False)" in error_of(device.prepare)


def test_a_job_that_takes_too_long_is_given_up(answering, monkeypatch):
    device, requests = answering(conditions=[(202, {})])
    clock = iter([0.0, 1000.0, 3600.0, 3600.1, 9999.0])
    monkeypatch.setattr(device_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    message = error_of(lambda: device.conditions)
    assert message == "http://board:1 did not finish within 60 minutes; check its log"
    assert len(requests) == 3
    assert requests[0] == (
        "GET",
        "/conditions",
        {
            "threads": 1,
            "batch": 1,
            "precision": "fp32",
            "lowered": False,
            "interval_ms": 0.0,
            "wait": 15.0,
        },
    )


def test_the_first_runtime_stays_the_same_one(answering, small):
    there = {**CONDITIONS_THERE, "device": "litert:cpu"}
    answer = {**measured(), "device": "litert:cpu"}
    device, requests = answering(
        conditions=[(200, there)], measurements=[(202, {"id": ID}), (200, answer)]
    )
    assert device.measure(small, QUICK).device == "http://board:1"
    asked = [(path, params.get("device")) for _, path, params in requests]
    assert asked[:2] == [("/conditions", None), ("/measurements", "litert:cpu")]


def test_another_runtime_than_the_one_named_is_refused(answering):
    device, requests = answering(conditions=[(200, CONDITIONS_THERE)])
    device._runtime = "litert:cpu"
    assert "(onnxruntime:cpu)" in error_of(lambda: device.conditions)
    assert requests[0][2]["device"] == "litert:cpu"


@pytest.mark.parametrize("runtime", ["torch:cpu", "quantum:cpu"])
def test_runtimes_that_take_no_models_cannot_be_measured(answering, small, runtime):
    device, _ = answering(conditions=[(200, {**CONDITIONS_THERE, "device": runtime})])
    assert f"({runtime})" in error_of(device.measure, small, QUICK)


def test_int8_of_openvino_is_made_by_openvino_alone(answering, small):
    there = {**CONDITIONS_THERE, "device": "openvino:cpu", "precision": "int8"}
    device, _ = answering(conditions=[(200, there)])
    device.settings = dataclasses.replace(PLAIN, precision="int8")
    refusal = "agents do not measure int8 in OpenVINO, which quantizes networks itself, where they"
    assert refusal in error_of(device.measure, small)


def test_int8_of_openvino_is_refused_before_the_agent_is_asked():
    int8 = MeasurementSettings(precision="int8")
    told = error_of(lambda: RemoteDevice("http://board:1/openvino:cpu", int8, token="t"))
    assert told.startswith("http://board:1/openvino:cpu: agents do not measure int8 in OpenVINO")
    assert "run this command on that machine with --device openvino:cpu, or use fp32" in told


def test_the_runtime_of_the_agent_is_known(answering):
    device, _ = answering(conditions=[(200, {**CONDITIONS_THERE, "device": "litert:cpu"})])
    assert (device.agent_runtime, device.conditions.device) == ("litert:cpu", device.name)


def test_what_writes_models_must_be_installed_here(answering, small, monkeypatch):
    device, _ = answering(conditions=[(200, {**CONDITIONS_THERE, "device": "litert:cpu"})])
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert error_of(device.measure, small) == (
        "networks for litert:cpu on http://board:1 are written on this machine: the package "
        "'ai_edge_litert' is not installed; install it with pip install 'mixnas[litert]'"
    )


@pytest.mark.parametrize("threads", [None, 4])
def test_conditions_are_those_that_were_asked_for(answering, threads):
    there = {**CONDITIONS_THERE, "threads": 3}
    device, _ = answering(conditions=[(200, there)])
    device.settings = MeasurementSettings(threads=threads, lowered=False)
    if threads is None:  # as many as the agent's machine has
        assert (device.conditions.threads, device.conditions.device) == (3, "http://board:1")
    else:
        assert "conditions other than the requested ones (threads 3)" in error_of(
            lambda: device.conditions
        )


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
    assert "is not trusted" in error_of(lambda: remote(agent).conditions)
    assert remote(agent, ca_file=str(cert)).conditions.threads == 1
    monkeypatch.setenv("MIXNAS_CA_FILE", str(cert))
    assert remote(agent).conditions.threads == 1
    monkeypatch.setenv("MIXNAS_CA_FILE", str(key))
    assert "has no PEM certificates" in error_of(remote, agent)
    agent.stop()


@pytest.mark.parametrize(
    ("times", "noise", "best"),
    [
        ([10.0, 5.0, 6.0], (), "by layer"),
        ([10.0, 6.0, 5.0], (), "merged"),
        ([10.0, 9.95, 12.0], (), "as trained"),  # saves less than 1%
        ([10.0, 12.0, 11.0], (), "as trained"),
        ([10.0, 9.5, 12.0, 10.0, 9.6], (), "by layer"),  # close ones are measured again
        ([10.0, 9.5, 12.0, 10.0, 10.1], (), "as trained"),  # chance had favored the other
        ([10.0, 11.0, 12.0, 8.0, 9.0, 9.0], ("busy",), "by layer"),  # each measured twice
    ],
)
def test_a_network_is_measured_in_the_form_that_is_fastest_there(monkeypatch, times, noise, best):
    device = RemoteDevice("http://board:1", token="0" * 32)
    device.__dict__["profile"] = None
    forms = [NetworkForm(name, name) for name in ("as trained", "by layer", "merged")]
    monkeypatch.setattr(device_module, "network_forms", lambda spec, profile: forms)
    left = iter(times)

    def measure(spec, program, effort):
        return latency(steady_ms=next(left), noise=noise)

    monkeypatch.setattr(device, "_measure", measure)
    assert device._fastest_form(None).form.name == best
    assert list(left) == []


def test_a_network_that_does_not_run_by_layer_is_measured_as_trained(monkeypatch):
    device = RemoteDevice("http://board:1", token="0" * 32)
    device.__dict__["profile"] = None
    forms = [NetworkForm(name, name) for name in ("as trained", "by layer")]
    monkeypatch.setattr(device_module, "network_forms", lambda spec, profile: forms)

    def measure(spec, program, effort):
        raise UnrunnableError("no such layer")

    monkeypatch.setattr(device, "_measure", measure)
    assert device._fastest_form(None).form.name == "as trained"
