import json
import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from nas.errors import MixnasError
from nas.train.full_training import LOG_COLUMNS
from nas.train.recipe import Recipe
from nas.train.settings import SharedSettings, TrainingSettings
from nas.train.zoo.run import NOT_YET, Zoo, check_shared
from tests.conftest import FOUND
from tests.networks import TINY

NAMES = ("a", "timm:b", "c")
FAST = ("--set", "batch_size=32", "--resolution", "16", "--threads", "1", "--device", "none")


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A comparison of three networks, without figures, which take seconds to draw."""
    monkeypatch.setattr("nas.train.zoo.results.save", lambda figure, path: None)
    return Zoo(tmp_path, {name: TrainingSettings(network=name) for name in NAMES})


def write_card(folder, top1=0.5):
    """Leave in a folder what a finished training leaves there."""
    folder.mkdir(exist_ok=True)
    row = dict.fromkeys(LOG_COLUMNS, 0.5) | {"epoch": 1}
    pd.DataFrame([row]).to_csv(folder / "log.csv", index=False)
    card = {
        "test": {"top1": top1, "top5": 0.9},
        "validation": {"top1": 0.4},
        "params": 1000,
        "madds": 20_000,
        "resolution": 16,
        "latency": None,
        "epochs": 1,
        "seconds": 2.0,
    }
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")


def test_networks_are_trained_one_after_another(zoo, tmp_path):
    begun, said = [], []

    def train(folder, settings):
        begun.append((folder.name, settings.network))
        write_card(folder)
        assert not (tmp_path / "zoo.csv").exists() or len(begun) > 1

    table = zoo.run(train, said.append)
    assert begun == [("a", "a"), ("timm-b", "timm:b"), ("c", "c")]
    assert said == ["network 1 of 3: a", "network 2 of 3: timm:b", "network 3 of 3: c"]
    assert list(table["network"]) == list(NAMES)


def test_finished_networks_are_not_trained_again(zoo):
    write_card(zoo.folder("timm:b"))
    begun = []
    zoo.run(lambda folder, settings: begun.append(settings.network), lambda text: None)
    assert begun == ["a", "c"]


def test_a_network_whose_training_left_no_checkpoint_comes_last(zoo):
    for name in ("a", "timm:b"):
        zoo.folder(name).mkdir()
    (zoo.folder("timm:b") / "checkpoint.safetensors").touch()
    assert zoo.queue() == ["timm:b", "c", "a"]


def test_a_network_that_fails_does_not_keep_the_others_from_being_trained(zoo, tmp_path):
    errors = {
        "a": MixnasError("does not fit\ninto its input"),
        "timm:b": torch.OutOfMemoryError("CUDA out of memory.\nA long story"),
    }

    def train(folder, settings):
        if settings.network in errors:
            raise errors[settings.network]
        write_card(folder)

    said = []
    table = zoo.run(train, said.append).set_index("network")
    assert list(table.index) == ["c", "a", "timm:b"]
    assert table["problem"]["a"] == "does not fit into its input"
    assert table["problem"]["timm:b"] == "OutOfMemoryError: CUDA out of memory."
    assert table["top1"]["c"] == 0.5
    assert "a was not trained: does not fit into its input" in said
    kept = pd.read_csv(tmp_path / "zoo.csv").set_index("network")
    pd.testing.assert_series_equal(kept["problem"], table["problem"], check_dtype=False)


def test_failed_networks_are_tried_again(zoo):
    for name in ("a", "timm:b"):
        write_card(zoo.folder(name))

    def fail(folder, settings):
        raise MemoryError

    assert set(zoo.run(fail, lambda text: None)["problem"].dropna()) == {"MemoryError"}
    again = Zoo(zoo.path, zoo.trainings)
    table = again.run(lambda folder, settings: write_card(folder), lambda text: None)
    assert table["problem"].isna().all()


def test_an_interrupted_comparison_has_a_table(zoo):
    def interrupt(folder, settings):
        if settings.network != "a":
            raise KeyboardInterrupt
        write_card(folder)

    with pytest.raises(KeyboardInterrupt):
        zoo.run(interrupt, lambda text: None)
    table = pd.read_csv(zoo.path / "zoo.csv")
    assert list(table["problem"].fillna("")) == ["", NOT_YET, NOT_YET]


def test_the_table_is_written_if_a_killed_process_did_not_come_to_it(zoo):
    for name in NAMES:
        write_card(zoo.folder(name))
    zoo.run(lambda folder, settings: None, lambda text: None)
    assert pd.read_csv(zoo.path / "zoo.csv")["problem"].isna().all()


def test_a_damaged_card_is_named(zoo):
    zoo.folder("a").mkdir()
    (zoo.folder("a") / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(MixnasError, match=r"card\.json cannot be read"):
        zoo.queue()


def test_what_all_trainings_need_is_checked_before():
    check_shared(SharedSettings())
    with pytest.raises(MixnasError, match="there is no data set at no/where"):
        check_shared(SharedSettings(data="no/where"))
    with pytest.raises(MixnasError, match="unknown optimizer 'sgdd'"):
        check_shared(SharedSettings(recipe=Recipe(optimiser="sgdd")))


# -- the command --------------------------------------------------------------------------------


@pytest.fixture
def networks(tmp_path):
    """Two networks that can be trained at 16 px, and one that cannot."""
    TINY.save(tmp_path / "tiny.yaml")
    TINY.with_activation("swish").replace(name="").save(tmp_path / "other.yaml")
    return ("tiny.yaml", "alexnet", "other.yaml")


def test_several_networks_are_compared_by_one_command(networks, here, tmp_path):
    words = (*networks, *FAST, "--set", "epochs=1", "--activation", "mish", "--out", "run")
    result = here("nas.train", *words, "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(FOUND) == 1  # the data set is told once, not once per network
    run = tmp_path / "run"
    rows = {row["network"]: row for row in json.loads(result.stdout)}
    assert list(rows)[-1] == "alexnet"
    assert "does not fit into its input" in rows["alexnet"]["problem"]
    assert rows["alexnet"]["top1"] is None
    card = json.loads((run / "tiny" / "card.json").read_text(encoding="utf-8"))
    assert rows["tiny"]["top1"] == card["test"]["top1"]
    assert rows["tiny"]["params"] == card["params"]
    # With one activation function and one seed, the two are the same network.
    one, two = (load_file(run / name / "weights.safetensors") for name in ("tiny", "other"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert {path.suffix for path in run.glob("zoo.*")} == {".yaml", ".csv", ".svg", ".png"}
    before = (run / "tiny" / "card.json").stat().st_mtime_ns
    again = here("nas.train", "--resume", "run", "--threads", "1", "--device", "none")
    assert again.returncode == 0, again.stderr
    assert "network 3 of 3: alexnet" in again.stderr
    assert "1 of 3" not in again.stderr
    assert (run / "tiny" / "card.json").stat().st_mtime_ns == before
    for word in ("network", "top-1", "top-5", "parameters", "MAdds", "epochs", "problem"):
        assert word in again.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mixnet_s", "resnet_19"), "unknown network 'resnet_19'"),
        (("mixnet_s", "mixnet_s"), "mixnet_s is named twice"),
        (("--zoo", "--weights", "w.safetensors"), "--weights are those of one network"),
        (("--zoo", "--data", "no/where"), "there is no data set at no/where"),
        (("--zoo", "--set", "optimiser=sgdd"), "unknown optimizer 'sgdd'"),
        (("--zoo", "--activation", "tanh"), "unknown value 'tanh'; allowed: gelu, hard_swish"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(refused, words, said, tmp_path):
    assert said in refused("nas.train", *words, "--device", "none")
    assert not (tmp_path / "runs").exists()


def test_a_comparison_in_which_nothing_was_trained_is_an_error(here, tmp_path):
    words = ("alexnet", "vgg_16", *FAST, "--out", "run")
    result = here("nas.train", *words)
    assert result.returncode == 2
    assert "none of the networks was trained; run/zoo.csv says why" in result.stderr
    assert len(pd.read_csv(tmp_path / "run" / "zoo.csv")["problem"].dropna()) == 2
    assert not (tmp_path / "run" / "zoo.png").exists()


def test_processes_of_accelerate_take_one_network(refused, monkeypatch):
    monkeypatch.setattr("nas.train.placement.placement_opener", lambda *options: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = refused("nas.train", "mixnet_s", "resnet_18", "--device", "none")
    assert "several networks are trained by one process" in said


@pytest.mark.slow
def test_a_comparison_that_is_killed_ends_with_the_same_weights(networks, command, tmp_path):
    words = ("nas.train", *networks, *FAST, "--set", "epochs=4", "--set", "optimiser=ranger")
    assert command(*words, "--out", "whole", timeout=300).returncode == 0
    run, again = tmp_path / "run", (*words, "--out", "run")
    for name in ("tiny", "other"):
        process = subprocess.Popen(
            [sys.executable, "-m", *again], cwd=tmp_path, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 300
        while not (run / name / "checkpoint.safetensors").exists():
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        again = ("nas.train", "--resume", "run", "--threads", "1", "--device", "none")
    done = command(*again, timeout=300)
    assert done.returncode == 0, done.stderr
    for name in ("tiny", "other"):
        one, two = (
            load_file(tmp_path / f / name / "weights.safetensors") for f in ("whole", "run")
        )
        assert all(torch.equal(one[key], two[key]) for key in one)
    tables = [
        pd.read_csv(tmp_path / f / "zoo.csv").drop(columns="seconds") for f in ("whole", "run")
    ]
    pd.testing.assert_frame_equal(*tables)
