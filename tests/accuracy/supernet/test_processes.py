"""Supernets trained by two processes on the CPU, through gloo, as several GPUs do through NCCL."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest
import torch
from safetensors.torch import load_file

from nas.accuracy.fidelity import shared_data
from nas.errors import MixnasError
from nas.train.batches import Batches, derive_seed
from nas.train.placement import Placement
from tests.conftest import ROOT


def whole_batches(training, world):
    """Train in one process that takes whole batches, as `world` processes share them.

    Every share passes through a path of its own, and the weights follow the mean gradient.
    """
    trainer = training.trainer(Placement())
    data, size = shared_data(training.shown), training.recipe.batch_size
    shares = [Batches(data, size, training.seed, rank, world).train(0) for rank in range(world)]
    for step, share in enumerate(zip(*shares, strict=True)):
        if step == trainer.total:
            break
        for group in trainer.optimiser.param_groups:
            group["lr"] = training.recipe.rate(step, trainer.total, trainer.epoch_steps)
        trainer.optimiser.zero_grad(set_to_none=True)
        for rank, (images, labels) in enumerate(share):
            torch.manual_seed(derive_seed(training.seed, step, rank))
            images, target = trainer.augmentation.mix(trainer.augmentation.train(images), labels)
            loss = target.loss(trainer.model(images), training.recipe.label_smoothing)
            (loss / world).backward()
        torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), training.recipe.clip)
        trainer.optimiser.step()
    return dict(trainer.model.bank.tensors.items())


def test_two_processes_train_as_one_with_the_whole_batch(training):
    steps = []
    assert training.run(2, lambda *step: steps.append(step)) == []
    assert steps == [(number, 10) for number in range(1, 11)]
    found = {k.removeprefix("tensors."): t for k, t in load_file(training.path).items()}
    expected = whole_batches(training, 2)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, rtol=1e-3, atol=2e-5), name
    alone = whole_batches(training, 1)  # paths of one process: another training altogether
    assert not torch.allclose(alone["stem/conv/weight_dense"], expected["stem/conv/weight_dense"])
    assert not training.checkpoint.exists()


@pytest.mark.slow
def test_several_processes_resume_from_their_checkpoint(training):
    training.run(2, None)
    expected = load_file(training.path)
    training.path.unlink()

    class StoppedError(Exception):
        pass

    def stop(done, total):
        if done == 6:
            raise StoppedError

    saving = dataclasses.replace(training, save_every=-1.0)
    with pytest.raises(StoppedError):
        saving.run(2, stop)
    assert training.checkpoint.is_file()
    steps = []
    training.run(2, lambda done, total: steps.append(done))
    assert 1 < steps[0] <= 8
    found = load_file(training.path)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
def test_a_full_disk_is_told_by_the_process_that_meets_it(training, tmp_path):
    lost = dataclasses.replace(training, path=tmp_path / "missing" / "weights.safetensors")
    with pytest.raises(MixnasError, match="No such file or directory"):
        lost.run(2, None)


@pytest.mark.slow
def test_the_processes_train_under_one_lock(training, monkeypatch):
    """Each with its own, one could wait for a measurement that waits for another of them."""
    held = []

    @contextmanager
    def lock(use, device):
        held.append((use, device))
        yield
        held.append("released")

    monkeypatch.setattr("nas.accuracy.supernet.processes.machine_for", lock)
    training.run(2, lambda done, total: held.append(done))
    assert held == [("training", "cpu"), *range(1, 11), "released"]


@pytest.mark.slow
def test_a_failure_of_one_process_ends_all_and_is_told(training):
    broken = dataclasses.replace(training, recipe=training.recipe.replace(learning_rate=1e30))
    with pytest.raises(MixnasError, match="the supernet: the training loss is"):
        broken.run(2, None)


SEARCH = """
import sys
from pathlib import Path
from tests.networks import DEEP, TINY
from nas.accuracy.pool import ListedPool
from nas.accuracy.supernet import Supernet

if __name__ == "__main__":
    pool = ListedPool([TINY, DEEP])
    supernet = Supernet("digits", pool, images=10**6, most_epochs=10**3, resolution=16, processes=2)
    supernet.prepare(lambda done, total: print(done, flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_survives_the_one_that_started_it(how, tmp_path):
    script = tmp_path / "search.py"
    script.write_text(SEARCH)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MIXNAS_CACHE": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "1\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        process.send_signal(how)
        process.wait(90)
    finally:
        process.kill()  # a test that fails leaves nothing behind, either
        process.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(child.is_running() for child in children):
        time.sleep(0.1)
    assert [child for child in children if child.is_running()] == []
