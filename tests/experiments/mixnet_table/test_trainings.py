import multiprocessing
import os
import signal
import time
from collections import Counter

import numpy as np
import pytest

from experiments.mixnet_table.networks import references
from experiments.mixnet_table.trainings import TrainingResult, fill, read_results, result_path
from nas.errors import MixnasError

NETWORKS = references()
NAMES = [spec.name for spec in NETWORKS]
fork = multiprocessing.get_context("fork")


def pretended(spec, seed, images=13):
    """Pretend to train a network."""
    rng = np.random.default_rng([seed, NAMES.index(spec.name)])
    return TrainingResult(spec.name, seed, rng.random(images) < 0.7, {"seconds": 1.0})


class Recording:
    """Pretends to train, and remembers in what order."""

    def __init__(self):
        self.seen = []

    def __call__(self, spec, seed):
        self.seen.append((spec.name, seed))
        return pretended(spec, seed)


def filled(folder, train, seeds=2, lines=None):
    lines = [] if lines is None else lines
    fill(folder, NETWORKS, seeds, train, lambda: None, lines.append)
    return lines


@pytest.mark.parametrize("images", [1, 8, 13, 10_000])
def test_a_result_survives_its_file(images):
    result = pretended(NETWORKS[0], 1, images)
    read = TrainingResult.from_json(result.to_json())
    assert np.array_equal(read.hits, result.hits)
    assert read.hits.dtype == bool
    assert (read.network, read.seed, read.figures) == ("mixnet_s", 1, {"seconds": 1.0})
    assert read.accuracy == result.accuracy == result.hits.sum() / images
    assert len(result.to_json()) < 180 + images / 4  # bits are packed


def test_a_failure_survives_its_file():
    failed = TrainingResult("mixnet_s", 0, None, {}, "the training loss is nan at step 3 of 9")
    read = TrainingResult.from_json(failed.to_json())
    assert read.hits is None
    assert read.reason == failed.reason
    assert np.isnan(read.accuracy)


def test_all_networks_are_trained_with_the_first_seed_before_the_next_one(tmp_path):
    train, published = Recording(), []
    lines = []
    fill(tmp_path, NETWORKS, 2, train, lambda: published.append(len(train.seen)), lines.append)
    assert train.seen == [(name, seed) for seed in (0, 1) for name in NAMES]
    assert published == list(range(1, 9))  # after each
    assert lines[0] == "0 of 8 trainings are done"
    assert lines[1].startswith("1 of 8: mixnet_s, seed 0, accuracy ")
    assert lines[-1].endswith(" s; about 0:00:00 left")
    found = read_results(tmp_path, NETWORKS)
    assert [(r.network, r.seed) for r in found] == [(n, s) for n in NAMES for s in (0, 1)]
    assert not list((tmp_path / "trainings").glob("*.lock"))


def test_what_is_done_is_not_done_again_and_more_seeds_can_follow(tmp_path):
    filled(tmp_path, pretended)
    train = Recording()
    assert filled(tmp_path, train) == ["8 of 8 trainings are done"]
    assert train.seen == []
    filled(tmp_path, train, seeds=3)
    assert train.seen == [(name, 2) for name in NAMES]


def test_a_training_that_fails_is_told_and_not_repeated(tmp_path):
    def failing(spec, seed):
        if spec.name == "mixnet_m":
            return TrainingResult(spec.name, seed, None, {}, "the training loss is nan")
        return pretended(spec, seed)

    lines = filled(tmp_path, failing, seeds=1)
    assert lines[2].startswith("2 of 4: mixnet_m, seed 0 failed: the training loss is nan; about")
    assert filled(tmp_path, pytest.fail, seeds=1) == ["4 of 4 trainings are done"]


def test_an_interrupted_training_is_done_again(tmp_path):
    def interrupted(spec, seed):
        if spec.name == "mobilenet_v2":
            raise KeyboardInterrupt
        return pretended(spec, seed)

    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path, interrupted)
    train = Recording()
    assert filled(tmp_path, train)[0] == "2 of 8 trainings are done"
    assert train.seen[0] == ("mobilenet_v2", 0)
    assert len(train.seen) == 6


def _stalling(spec, seed):
    """Train two networks, and never come to an end with the third."""
    if spec.name == "mobilenet_v2":
        time.sleep(600)
    return pretended(spec, seed)


def test_a_process_that_is_killed_loses_only_what_it_was_at(tmp_path):
    process = fork.Process(target=filled, args=(tmp_path, _stalling))
    process.start()
    claim = result_path(tmp_path, "mobilenet_v2", 0).with_suffix(".lock")
    deadline = time.monotonic() + 60
    while not claim.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert claim.exists()
    # While it is at work, another process leaves that training to it.
    train = Recording()
    lines = filled(tmp_path, train, seeds=1)
    assert train.seen == [("efficientnet_b0", 0)]
    assert lines[-1] == "1 more trainings are left to other processes, which are at work on them"
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    filled(tmp_path, train)
    assert train.seen[1] == ("mobilenet_v2", 0)
    assert len(train.seen) == 1 + 1 + 4
    assert len(read_results(tmp_path, NETWORKS)) == 8
    assert not claim.exists()


def _noting(spec, seed):
    """Leave a note of each training in the working directory."""
    with open("notes.txt", "a") as notes:  # noqa: PTH123
        notes.write(f"{spec.name} {seed} {os.getpid()}\n")
    time.sleep(0.05)
    return pretended(spec, seed)


def test_several_processes_share_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    processes = [fork.Process(target=filled, args=(tmp_path, _noting, 5)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    notes = [line.split() for line in (tmp_path / "notes.txt").read_text().splitlines()]
    assert Counter((name, seed) for name, seed, _ in notes) == Counter(
        (name, str(seed)) for name in NAMES for seed in range(5)
    )
    assert len({process for *_, process in notes}) == 2
    assert len(read_results(tmp_path, NETWORKS)) == 20


def test_a_damaged_result_is_named(tmp_path):
    filled(tmp_path, pretended, seeds=1)
    path = result_path(tmp_path, "mixnet_m", 0)
    path.write_text("{}")
    with pytest.raises(MixnasError, match=r"mixnet_m-seed0\.json cannot be read"):
        read_results(tmp_path, NETWORKS)
