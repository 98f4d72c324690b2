import json
import math

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from nas.errors import MixnasError
from nas.torch_model import read_metadata
from nas.train import checkpoint, streaming
from nas.train.full_training import LOG_COLUMNS, FullTraining
from nas.train.loop import Trainer
from nas.train.models import Model
from nas.train.recipe import Recipe
from nas.train.streaming import StreamedBatches
from tests.formats.test_metadata import METADATA
from tests.networks import TINY, trainer

RECIPE = Recipe(epochs=2.5, batch_size=128)  # 8 steps an epoch, and 4


@pytest.fixture
def training(tmp_path):
    return opened(tmp_path)


def opened(path, recipe=RECIPE):
    path.mkdir(exist_ok=True)
    running = trainer(recipe)
    model = Model("tiny", running.model, TINY, 16)
    training = FullTraining(
        path=path,
        trainer=running,
        model=model,
        costs={"params": 1, "madds": 2},
        about={"seed": 0},
        metadata=METADATA,
    )
    training.open()
    return training


def test_a_row_is_logged_and_a_checkpoint_saved_after_each_epoch(training, monkeypatch):
    saved, steps = [], []
    monkeypatch.setattr(
        "nas.train.checkpoint.save_checkpoint",
        lambda trainer, *_: saved.append((trainer.step, len(training.rows))),
    )
    training.run(lambda *step: steps.append(step))
    assert saved == [(8, 1), (16, 2), (20, 3)]
    assert steps == [(number, 20) for number in range(1, 21)]
    assert [row["epoch"] for row in training.rows] == [1, 2, 3]
    assert [row["train_loss"] for row in training.rows] == training.trainer.losses
    last = training.trainer.evaluate("validation")
    assert training.rows[-1]["validation_accuracy"] == last.accuracy
    assert training.rows[-1]["validation_loss"] == last.loss


def test_the_log_is_plain_csv_with_all_digits(training):
    training.rows = [
        {
            "epoch": 1,
            "train_loss": 2.2819497946536904,
            "train_accuracy": 0.15625,
            "validation_loss": 1e-05,
            "validation_accuracy": 1.0,
            "validation_top5": 0.1 + 0.2,
            "learning_rate": 0.05,
            "seconds": 0.2,
        }
    ]
    training.trainer.losses, training.trainer.accuracies = [1.5, 0.5], [0.25, 0.5]
    training._started = 0.0
    training._log_epoch()
    header, first, second, end = training.log.read_bytes().split(b"\n")
    assert header.decode() == ",".join(LOG_COLUMNS)
    assert first == b"1,2.2819497946536904,0.15625,1e-05,1.0,0.30000000000000004,0.05,0.2"
    assert second.startswith(b"2,0.5,0.5,")
    assert end == b""


def test_checkpoints_are_saved_within_long_epochs(training, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "nas.train.checkpoint.save_checkpoint", lambda trainer, *_: saved.append(trainer.step)
    )
    training.save_every = -1.0
    training.run()
    assert set(saved) == set(range(1, 21))


def test_an_interrupted_training_resumes_where_the_checkpoint_is(training, tmp_path):
    def interrupt(done, total):
        if done == 19:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(interrupt)
    log = pd.read_csv(training.log)
    pd.concat([log, log.tail(1).assign(epoch=3)]).to_csv(training.log, index=False)
    resumed = opened(tmp_path)
    assert resumed.trainer.step == 16
    assert [row["epoch"] for row in resumed.rows] == [1, 2]  # the log was ahead
    resumed.rows[-1]["seconds"] = resumed._earlier_seconds = 1000.0
    resumed.run()
    assert [row["epoch"] for row in resumed.rows] == [1, 2, 3]
    assert resumed.rows[-1]["seconds"] >= 1000.0
    whole = opened(tmp_path / "nowhere")
    for _ in whole.trainer.steps():
        pass
    assert resumed.trainer.losses == whole.trainer.losses


def test_the_card_tells_of_the_test_part(training):
    training.run()
    card = training.finish(lambda: {"steady_ms": 1.5})
    assert card == json.loads((training.path / "card.json").read_text(encoding="utf-8"))
    test = training.trainer.evaluate("test")
    assert card["test"] == {"top1": test.accuracy, "top5": test.top5, "loss": test.loss}
    assert card["validation"]["top1"] == training.rows[-1]["validation_accuracy"]
    assert card["latency"] == {"steady_ms": 1.5}
    assert (card["params"], card["madds"], card["steps"], card["epochs"]) == (1, 2, 20, 3)
    with safe_open(training.weights, "pt") as file:
        about = {"network": "tiny", "form": "mixnas.weights/1"}
        assert file.metadata() == about | METADATA.to_properties()
    assert read_metadata(training.weights) == METADATA
    assert card["classes"] == ["bee", "ant"]
    assert card["preprocessing"] == METADATA.to_dict()["preprocessing"]
    assert card["command"] == METADATA.command
    assert card["spec"] == TINY.to_dict()


def test_the_final_weights_of_a_schedule_free_optimizer_are_kept(tmp_path):
    """Not those that it goes on training: the card's accuracies are of the final ones."""
    training = opened(tmp_path, recipe=Recipe(epochs=1, optimiser="schedulefreeadamw"))
    training.run(lambda *_: None)
    goes_on = ended(training)
    training.finish(lambda: None)
    with training.trainer.final_weights():
        final = ended(training)
    kept = load_file(training.weights)
    parameters = [name for name, _ in training.trainer.evaluated_model.named_parameters()]
    assert all(torch.allclose(kept[name], final[name], atol=1e-6) for name in parameters)
    assert any(not torch.allclose(kept[name], goes_on[name], atol=1e-4) for name in parameters)


def test_only_one_process_works_in_a_folder(training, tmp_path):
    training.claim()
    with pytest.raises(MixnasError, match="another process is working in"):
        opened(tmp_path).claim()


def ended(training):
    """What a training ends with, to the bit."""
    state = training.trainer.evaluated_model.state_dict()
    return {name: tensor.clone() for name, tensor in state.items()}


def stopped_after(training, steps):
    """Train, and end as a kill does: without a checkpoint of its own."""

    def stop(done, total):
        if done == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(stop)


def test_a_lost_log_is_restored_and_logged_once(training, tmp_path):
    training.save_every = -1.0
    stopped_after(training, 19)
    rows, accuracies = training.rows, list(training.trainer.accuracies)
    training.log.unlink()
    again = opened(tmp_path)
    assert again.trainer.step == 18  # in the third epoch
    assert [row["epoch"] for row in again.rows] == [1, 2]
    assert [row["train_loss"] for row in again.rows] == [row["train_loss"] for row in rows]
    assert [row["train_accuracy"] for row in again.rows] == accuracies
    assert math.isnan(again.rows[-1]["validation_loss"])  # its weights are gone
    again.run()
    assert [row["epoch"] for row in again.rows] == [1, 2, 3]
    assert pd.read_csv(again.log)["epoch"].tolist() == [1, 2, 3]
    for _ in range(2):  # every further process finds all of them
        again = opened(tmp_path)
        again.run()
        assert pd.read_csv(again.log)["epoch"].tolist() == [1, 2, 3]
    assert again.finish(lambda: None)["validation"]["loss"] == again.rows[-1]["validation_loss"]


def test_a_log_that_is_lost_between_epochs_is_evaluated_again(training, tmp_path):
    stopped_after(training, 17)  # the checkpoint is that of the second epoch's end
    rows = training.rows
    training.log.unlink()
    again = opened(tmp_path)
    assert [row["epoch"] for row in again.rows] == [1]
    again.run()
    assert [row["epoch"] for row in again.rows] == [1, 2, 3]
    assert again.rows[1]["validation_loss"] == rows[1]["validation_loss"]
    assert again.rows[1]["validation_accuracy"] == rows[1]["validation_accuracy"]


def test_the_log_is_read_with_all_digits(training, tmp_path):
    stopped_after(training, 17)
    again = opened(tmp_path)
    assert again.rows == training.rows
    assert again._earlier_seconds == training.rows[-1]["seconds"]


@pytest.mark.parametrize("raw", [b"", b"epoch\n1\n", b"\x00\xff", b"epoch,train_loss\nx,y\n"])
def test_a_damaged_log_is_told_and_left_alone(training, tmp_path, raw):
    stopped_after(training, 9)
    training.log.write_bytes(raw)
    with pytest.raises(MixnasError, match=r"log.csv cannot be read: .*; delete the log to cont"):
        opened(tmp_path)
    assert training.log.read_bytes() == raw


def test_a_kill_during_validation_changes_no_bit_of_the_average(tmp_path, monkeypatch):
    """The checkpoint before is resumed from, in the middle of the epoch or at its beginning."""
    recipe = RECIPE.replace(ema=0.99)
    whole = opened(tmp_path / "whole", recipe)
    whole.run()
    for name, interval in (("within", -1.0), ("between", 1e9)):
        killed = opened(tmp_path / name, recipe)
        killed.save_every = interval
        real, calls = killed.trainer.evaluate, []

        def dies_in_the_second(part, real=real, calls=calls):
            calls.append(part)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return real(part)

        monkeypatch.setattr(killed.trainer, "evaluate", dies_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            killed.run()
        assert killed.trainer.step == 16
        resumed = opened(tmp_path / name, recipe)
        assert resumed.trainer.step == (15 if interval < 0 else 8)
        resumed.run()
        found, expected = ended(resumed), ended(whole)
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
        columns = [column for column in LOG_COLUMNS if column != "seconds"]
        for one, other in zip(resumed.rows, whole.rows, strict=True):
            assert [one[column] for column in columns] == [other[column] for column in columns]


def test_checkpoints_leave_the_pipeline_of_a_stream_alone(folder, tmp_path, monkeypatch):
    """One pass over the files for each epoch and each validation, however often it saves."""
    opened_loaders = []
    real = streaming.DataLoader

    def loader(*arguments, **options):
        opened_loaders.append(options["num_workers"])
        return real(*arguments, **options)

    recipe = Recipe(epochs=2, batch_size=8)
    source = StreamedBatches(folder, 16, 8, 0, workers=2)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    running = Trainer(model, source, recipe, 0)
    training = FullTraining(
        path=tmp_path / "run",
        trainer=running,
        model=Model("linear", model, None, 16),
        costs={},
        about={},
        save_every=-1.0,
    )
    training.path.mkdir()
    training.open()
    monkeypatch.setattr(streaming, "DataLoader", loader)
    saved = []
    save = checkpoint.save_checkpoint
    monkeypatch.setattr(
        checkpoint, "save_checkpoint", lambda *a: (saved.append(running.step), save(*a))
    )
    training.run()
    assert saved == list(range(1, 2 * len(source) + 1))
    assert len(opened_loaders) == 4
