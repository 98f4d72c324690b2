"""The commands that examine, predict and serve devices."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from nas import device
from nas.errors import UnrunnableError
from nas.imports import missing_package
from nas.latency import LocalDevice
from nas.latency.agent.messages import ServedRuntime, ServedRuntimes
from nas.latency.examination import describe
from nas.latency.prediction.predictor import ErrorCard
from nas.latency.profile import DeviceProfile, Finding, LayerSignature
from nas.latency.remote.device import RemoteDevice
from nas.testing.fakes import InstantDevice
from tests.latency.records import CONDITIONS


def test_a_token_is_created_if_there_is_none(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "MIXNAS_TOKEN"}
    command = [sys.executable, "-m", "nas.device", "serve", "--port", "0", "--host", "0.0.0.0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            url = process.stdout.readline().split(" on ")[-1].split(";")[0]
            token = process.stdout.readline().strip().rpartition(" ")[2]
            warning = process.stderr.readline()
            answer = httpx.get(
                f"{url.replace('0.0.0.0', '127.0.0.1')}/measurements/x",
                headers={"Authorization": f"Bearer {token}"},
            )
        finally:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert answer.status_code == 404
    assert warning.startswith("warning: without TLS the token is sent unencrypted")
    assert process.returncode == 130


def test_what_cannot_be_served_is_refused(refused, tmp_path, monkeypatch):
    short = tmp_path / "token"
    short.write_text("secret\n")
    assert "16 or more" in refused("nas.device", "serve", "--token-file", short)
    assert "cannot be read" in refused("nas.device", "serve", "--token-file", tmp_path / "none")
    assert "needs both" in refused("nas.device", "serve", "--tls-cert", short)
    pair = ("--tls-cert", short, "--tls-key", short)
    assert "not a certificate and its private key" in refused("nas.device", "serve", *pair)
    with_torch = refused("nas.device", "serve", "--device", "litert:cpu", "--device", "torch:cpu")
    assert "device 'torch:cpu' cannot be served, because it takes no models from" in with_torch
    assert "choose among onnxruntime:cpu, " in with_torch
    unknown = refused("nas.device", "serve", "--device", "onnxruntime:cpx")
    assert "did you mean 'cpu'?" in unknown
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another" in refused("nas.device", "serve", "--port", port)


FIT = ("nas.device", "fit", "--device", "nas.testing.fakes:InstantDevice", "--networks", "12")


def test_a_predictor_is_made_and_saved(here, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    result = here(*FIT, "--checks", "6", "--budget", "400M", "--json")
    assert result.returncode == 0, result.stderr
    card = json.loads(result.stdout)
    assert (card["space"], card["networks"], card["n"]) == ("mixnet", 12, 6)
    assert len(card["errors"]) == 6
    assert card["conditions"]["device"] == "nas.testing.fakes:InstantDevice"
    (saved,) = (tmp_path / "cache" / "predictors").iterdir()
    assert card["path"] == str(saved)
    observed = json.loads(saved.read_text())["observations"]
    learned = [one["latency_ms"] for one in observed]
    assert len(learned) == 12
    assert card["range_ms"] == [min(learned), max(learned)]
    assert list((tmp_path / "cache" / "latencies").iterdir()) == []  # nothing is left to continue


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Let the device raise an error at one of its measurements; return how many there were."""
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    measure = InstantDevice.measure

    def fail(at, error):
        measured = []

        def measure_or_fail(self, spec, effort=None):
            measured.append(spec)
            if len(measured) == at:
                raise error
            return measure(self, spec, effort)

        monkeypatch.setattr(InstantDevice, "measure", measure_or_fail)
        return measured

    return fail


def test_a_fit_counts_the_networks_that_it_learned_from(here, failing):
    failing(3, UnrunnableError("no such operator"))
    result = here(*FIT, "--checks", "5", "--json")
    assert result.returncode == 0, result.stderr
    card = json.loads(result.stdout)
    assert (card["networks"], card["n"]) == (11, 5)


def test_a_fit_that_is_stopped_continues(here, failing):
    failing(15, KeyboardInterrupt())
    assert here(*FIT, "--checks", "5").returncode == 130
    measured = failing(99, KeyboardInterrupt())
    result = here(*FIT, "--checks", "5")
    assert result.returncode == 0, result.stderr
    assert "fitted to 12 networks of " in result.stdout
    assert len(measured) == 3  # 14 of 17 were kept


def test_a_fit_refuses_a_limit_on_latency(refused):
    error = refused(*FIT, "--limit", "latency=8ms")
    assert "a fit cannot keep the limit latency <= 8" in error


def test_nothing_is_promised_without_the_server(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("nas.latency.agent.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        device.serve(port=0)
    assert missing_package(caught.value) == (
        "the package 'uvicorn' is not installed; install it with pip install 'mixnas[agent]'"
    )
    assert capsys.readouterr().out == ""


def test_an_error_card_is_a_table(here, tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    result = here(*FIT, "--checks", "5")
    assert result.returncode == 0, result.stderr
    assert "Error card: latency of 'mixnet' on nas.testing.fakes:InstantDevice, 5" in result.stdout
    assert "predictor: " in result.stdout


def test_figures_of_an_error_card(capsys):
    card = ErrorCard(
        n=30,
        within_5=0.9,
        within_10=1.0,
        spearman=None,
        spearman_in_band=0.51249,
        n_in_band=7,
        mean_error=0.0234,
        errors=(),
    )
    device._print_card(card, "latency")
    row = next(line for line in capsys.readouterr().out.splitlines() if "90%" in line)
    assert [cell.strip() for cell in row.strip("│┃| ").split("│")] == [
        "90%",
        "100%",
        "2.3%",
        "-",
        "0.512 (7 networks)",
    ]


def test_a_device_is_examined_again(here, refused, monkeypatch):
    layer = LayerSignature("depthwise", 480, 14, (3, 9), (500, 500), stride=2)
    findings = (Finding(layer, "phases", {"split": 1.0, "phases": 0.254}),)
    curve = {5: 0.04, 7: 1.05}
    profile = DeviceProfile(CONDITIONS, 3.217, findings, depthwise_ms=curve)
    examined = []

    def examine(self, step):
        examined.append(self.settings)
        return profile

    monkeypatch.setattr(LocalDevice, "examine", examine)
    monkeypatch.setattr(LocalDevice, "profile", profile)
    monkeypatch.setattr("nas.latency.open_device", LocalDevice)
    result = here("nas.device", "examine", "--threads", "1", "--plain")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == list(describe(profile))
    assert (examined[0].threads, examined[0].lowered) == (1, False)
    found = json.loads(here("nas.device", "examine", "--json").stdout)
    assert (found["reference_ms"], found["depthwise_cliff"]) == (3.217, 7)
    assert found["findings"][0]["times"] == {"split": 1.0, "phases": 0.254}


def test_a_device_of_the_users_own_tells_what_it_knows_of_itself(here):
    result = here("nas.device", "examine", "--device", "nas.testing.fakes:InstantDevice")
    assert result.returncode == 0, result.stderr
    assert "the reference network takes" in result.stdout


def test_an_agent_is_shown_with_its_runtimes_and_what_it_found(here, monkeypatch):
    there = dataclasses.replace(CONDITIONS, device="litert:cpu")
    profile = DeviceProfile(there, 3.217)
    served = ServedRuntimes(
        runtimes=(ServedRuntime("litert:cpu", "tflite", "ai-edge-litert 2", "a board", 4),),
        body_bytes=256_000_000,
        seconds=120.0,
        profile_seconds=1800.0,
        memory_bytes=3_000_000_000,
    )
    monkeypatch.setenv("MIXNAS_TOKEN", "a-token")
    monkeypatch.setattr(RemoteDevice, "served", lambda self: served)
    monkeypatch.setattr(RemoteDevice, "profile", profile)
    result = here("nas.device", "examine", "--device", "http://board:7070/litert:cpu")
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "Runtimes of the agent at http://board:7070/litert:cpu" in text
    assert "│ litert:cpu │ tflite │ ai-edge-litert 2 │ a board │ 4 │" in text
    assert "limits: models of 256 MB, 120 s for a measurement, 3,000 MB" in text
    last = result.stdout.splitlines()[-2:]
    assert last == [
        "as the agent examined litert:cpu; python -m nas.device examine there does it again",
        "the reference network takes 3.22 ms",
    ]
