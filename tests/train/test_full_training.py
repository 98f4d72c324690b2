import json

import pandas as pd
import pytest
from safetensors import safe_open

from nas.errors import MixnasError
from nas.train.full_training import LOG_COLUMNS, FullTraining
from nas.train.models import Model
from nas.train.recipe import Recipe
from tests.networks import TINY, trainer

RECIPE = Recipe(epochs=2.5, batch_size=128)  # 8 steps an epoch, and 4


@pytest.fixture
def training(tmp_path):
    return opened(tmp_path)


def opened(path):
    running = trainer(RECIPE)
    model = Model("tiny", running.model, TINY, 16)
    training = FullTraining(
        path=path, trainer=running, model=model, costs={"params": 1, "madds": 2}, about={"seed": 0}
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
        assert file.metadata() == {"network": "tiny", "form": "mixnas.weights/1"}


def test_only_one_process_works_in_a_folder(training, tmp_path):
    training.claim()
    with pytest.raises(MixnasError, match="another process is working in"):
        opened(tmp_path).claim()
