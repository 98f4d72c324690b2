import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from nas.spec import load_network
from nas.torch_model import build, load_weights, read_trained
from tests.data.writing import write_folder
from tests.networks import TINY

FAST = ("--set", "batch_size=32", "--resolution", "16", "--threads", "1")


@pytest.fixture
def network(tmp_path):
    TINY.save(tmp_path / "tiny.yaml")
    return "tiny.yaml"


def training(network, *words, epochs=2, out="run"):
    return ("nas.train", network, *FAST, "--set", f"epochs={epochs}", "--out", out, *words)


@pytest.mark.parametrize(
    "device",
    ["nas.testing.fakes:InstantDevice", pytest.param("onnxruntime:cpu", marks=pytest.mark.slow)],
)
def test_a_training_leaves_weights_log_and_card(network, here, tmp_path, fakes, device):
    result = here(*training(network, "--device", device, "--json", epochs=4))
    assert result.returncode == 0, result.stderr
    card = json.loads(result.stdout)
    run = tmp_path / "run"
    assert card == json.loads((run / "card.json").read_text(encoding="utf-8"))
    assert 0.2 < card["test"]["top1"] <= card["test"]["top5"] <= 1
    assert "digits: 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), 1,797 images: 1,077" in result.stderr
    assert card["classes"] == list("0123456789")
    assert card["command"].startswith("python -m nas.train tiny.yaml --set batch_size=32")
    assert card["latency"]["median_ms"] > 0
    assert card["steps"] == 4 * (1077 // 32)
    log = pd.read_csv(run / "log.csv")
    assert list(log["epoch"]) == [1, 2, 3, 4]
    assert log["train_loss"].iloc[-1] < log["train_loss"].iloc[0]
    assert log["train_accuracy"].between(0, 1).all()
    assert log["seconds"].is_monotonic_increasing
    assert (run / "curves.png").stat().st_size > 10_000
    spec = load_network(str(run / "network.yaml"))
    assert spec.input.resolution == 16
    model = build(spec)
    load_weights(model, read_trained(run / "weights.safetensors"))
    assert torch.isfinite(model.eval()(torch.zeros(1, 3, 16, 16))).all()


def test_a_finished_training_shows_its_card_again(network, here):
    first = here(*training(network, "--json", "--device", "none"))
    again = here("nas.train", "--resume", "run", "--json", "--device", "none", "--threads", "1")
    assert again.returncode == 0, again.stderr
    one, two = json.loads(first.stdout), json.loads(again.stdout)
    assert (one["test"], one["steps"]) == (two["test"], two["steps"])
    text = here("nas.train", "--resume", "run", "--device", "none").stdout
    assert "top-1" in text
    assert "top-5" in text
    assert "weights" in text


def test_a_training_goes_on_with_a_data_set_that_was_moved(network, here, tmp_path):
    write_folder(tmp_path / "old", n=30, side=16)
    first = here(*training(network, "--json", "--device", "none", "--data", "old"))
    assert first.returncode == 0, first.stderr
    (tmp_path / "old").rename(tmp_path / "new")
    resume = ("nas.train", "--resume", "run", "--json", "--device", "none", "--threads", "1")
    assert "there is no data set at" in here(*resume).stderr
    again = here(*resume, "--data", "new")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["test"] == json.loads(first.stdout)["test"]
    text = here(*(word for word in resume if word != "--json")).stdout
    assert "top-1" in text
    assert "top-5" not in text  # of three classes
    (tmp_path / "new" / "ant" / "000.png").unlink()
    changed = here(*resume)  # of the folder that it knows now
    assert changed.returncode == 2
    assert "data" in changed.stderr


def test_a_training_goes_on_with_its_own_network(network, here, tmp_path):
    """Whatever became of the file that it came from, and of the weights it began with."""
    first = here(*training(network, "--json", "--device", "none"))
    (tmp_path / network).unlink()
    (tmp_path / "run" / "card.json").unlink()
    again = here("nas.train", "--resume", "run", "--json", "--device", "none", "--threads", "1")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["test"] == json.loads(first.stdout)["test"]


def test_a_device_that_fails_at_the_end_costs_no_training(network, here, tmp_path, fakes):
    result = here(
        *training(network, "--device", "nas.testing.fakes:BrokenDevice", "--json", epochs=1)
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["latency"] is None
    assert "latency was not measured: the board is gone" in result.stderr
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_a_recipe_and_its_changes_are_kept(network, here, tmp_path):
    (tmp_path / "mine.yaml").write_text("optimiser: adamw\nepochs: 9\nlearning_rate: 0.01\n")
    words = training(network, "--recipe", "mine.yaml", "--device", "none", epochs=1)
    assert here(*words).returncode == 0
    kept = yaml.safe_load((tmp_path / "run" / "training.yaml").read_text(encoding="utf-8"))
    assert (kept["recipe"]["optimiser"], kept["recipe"]["epochs"]) == ("adamw", 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no network was given; name one"),
        (("nonsense",), "unknown network 'nonsense'"),
        (("mixnet_s", "--set", "epochs"), "--set epochs: expected NAME=VALUE"),
        (("mixnet_s", "--set", "epoch=3"), "unknown key 'epoch' (did you mean 'epochs'?)"),
        (("mixnet_s", "--reading", "tape"), "unknown value 'tape'; allowed: auto, memory, stream"),
        (
            ("mixnet_s", "--precision", "fp8"),
            "unknown precision 'fp8'; allowed: auto, bf16, fp16, fp32",
        ),
        (("mixnet_s", "--weights", "none.safetensors"), "none.safetensors: no such file"),
        (
            ("mixnet_s", "--set", "optimiser=sgdd"),
            "unknown optimizer 'sgdd'; allowed: sgd, rmsprop, adamw, ranger, and",
        ),
        (("mixnet_s", "--data", "no/where"), "there is no data set at no/where"),
        (("--resume", "."), "is not the folder of a training run"),
        (("mixnet_s", "--resume", "."), "omit network"),
        (("--resume", ".", "--seed", "3", "--set", "epochs=2"), "omit seed, set"),
        (("mixnet_s", "--device", "onnxruntime:cpuu"), "cpuu"),
        (("mixnet_s", "--on", "gpu"), "unknown device 'gpu'; allowed: cpu, cuda"),
        (("mixnet_s", "--set", "optimiser=@x"), "the value '@x' is not valid YAML"),
        (("mixnet_s", "--set", "optimiser=lbfgs"), "lbfgs"),
        (
            ("mixnet_s", "--teacher", "mixnet_m"),
            "unknown teacher 'mixnet_m'; give one of timm's networks",
        ),
    ],
)
def test_mistakes_are_told(refused, words, said, tmp_path):
    assert said in refused("nas.train", *words)
    assert not (tmp_path / "runs").exists()


def test_a_folder_in_use_or_of_another_training_is_not_touched(network, here, refused):
    assert here(*training(network, "--device", "none", epochs=1)).returncode == 0
    said = refused(*training(network, epochs=1))
    assert "run already exists; resume it with --resume, or choose another --out" in said


def test_a_diverging_training_says_so(network, refused):
    said = refused(*training(network, "--set", "learning_rate=1e30"))
    assert "the training loss is" in said
    assert "try a learning rate below 1e+30" in said


def killed_and_resumed(words, run, times, cwd):
    """Kill a training again and again, and return how many steps each process began with."""
    command = [sys.executable, "-m", *words]
    kills = 0
    while kills < times:
        process = subprocess.Popen(command, cwd=cwd, stderr=subprocess.DEVNULL)
        before = (run / "checkpoint.safetensors").exists() and _changed(run)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
            if (run / "checkpoint.safetensors").exists() and _changed(run) != before:
                break
        assert process.poll() is None, "it ended before it could be killed"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        command = [sys.executable, "-m", "nas.train", "--resume", str(run), *words[-4:]]
    return command


def _changed(run):
    return (run / "checkpoint.safetensors").stat().st_mtime_ns


@pytest.mark.slow
def test_a_training_that_is_killed_ends_with_the_same_bits(network, command, tmp_path):
    tail = ("--device", "none", "--threads", "1")
    whole = ("nas.train", network, *FAST, "--set", "epochs=8", "--set", "ema=0.9", "--out", "whole")
    assert command(*whole, *tail).returncode == 0
    killed = (*whole[:-1], "run", *tail)
    resume = killed_and_resumed(killed, tmp_path / "run", 3, tmp_path)
    assert subprocess.run(resume, cwd=tmp_path, check=False).returncode == 0
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "run"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    logs = [pd.read_csv(tmp_path / n / "log.csv").drop(columns="seconds") for n in ("whole", "run")]
    pd.testing.assert_frame_equal(*logs)


@pytest.mark.slow
def test_two_processes_train_together(network, tmp_path):
    """Each takes half of every batch; the log is one, and the loss that of one process nearly."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    words = training(network, "--on", "cpu", "--device", "none", "--json", epochs=3)
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m"]
    result = subprocess.run(
        [sys.executable, *launch, *words],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert len(log) == 3
    assert log["train_loss"].iloc[-1] < log["train_loss"].iloc[0]
    card = json.loads(result.stdout[result.stdout.index("{") :])
    assert card["test"]["top1"] > 0.15
