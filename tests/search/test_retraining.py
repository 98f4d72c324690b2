import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.schema import HITS
from nas.accuracy.pool import ListedPool
from nas.accuracy.short import ShortTraining
from nas.accuracy.supernet import Supernet
from nas.accuracy.zero_cost import ZeroCost
from nas.data import load_data
from nas.errors import MixnasError
from nas.executors.base import Resources
from nas.search.config import FEWEST_IMAGES
from nas.search.directory import RunDirectory
from nas.search.retraining import (
    CONFIRMED_COLUMNS,
    LONGER,
    RetrainingEstimator,
    RetrainingRun,
    retrained,
    retraining,
)
from nas.train.recipe import Recipe
from tests.networks import DEEP, TINY

SHORT = ShortTraining(images=640, resolution=16)


def retraining_run(folder, short=SHORT, seeds=2):
    return RetrainingRun(RunDirectory(folder), RetrainingEstimator(short), seed=5, seeds=seeds)


def test_retraining_is_the_searchs_own_training_but_longer():
    own = ShortTraining(images=8_000, width=0.5, resolution=24, score="speed")
    again = retraining(own, "digits").short
    # At full width an image costs four times as much: as long as two short trainings.
    assert (again.images, again.width, again.resolution) == (FEWEST_IMAGES, 1.0, 24)
    longer = dataclasses.replace(own, images=40_000, most_epochs=100)
    assert retraining(longer, "digits").short.images == LONGER * 10_000
    capped = dataclasses.replace(longer, most_epochs=20)
    assert (
        retraining(capped, "digits").short.images
        == LONGER * 20 * load_data("digits").count("train") // 4
    )
    assert (again.score, again.stages) == ("accuracy", 1)
    assert again.recipe == own.recipe
    other = retraining(ZeroCost(resolution=40), "digits").short
    assert (other.images, other.resolution) == (FEWEST_IMAGES, 40)


def test_retraining_sees_the_training_part_twice_and_can_be_told_otherwise(tmp_path):
    many = tmp_path / "many.npz"
    np.savez(many, images=np.zeros((10_000, 8, 8), np.uint8), labels=np.arange(10_000) % 10)
    assert retraining(ZeroCost(), str(many)).short.images == 2 * 6_000
    told = retraining(ZeroCost(), "digits", "images=900,width=0.5,flip=true").short
    assert (told.images, told.width, told.recipe.flip) == (900, 0.5, True)
    with pytest.raises(MixnasError, match=r"unknown setting of --retrain 'imags'"):
        retraining(ZeroCost(), "digits", "imags=900")
    with pytest.raises(MixnasError, match="unknown setting of --retrain 'score'"):
        retraining(ZeroCost(), "digits", "score=loss")


def test_the_test_part_is_judged_after_the_training():
    torch.set_num_threads(1)
    found = RetrainingEstimator(SHORT).estimate(TINY, 0)
    trainer = SHORT.trainer(TINY, 0)
    for _ in trainer.steps():
        pass
    assert found.score == trainer.evaluate("test").accuracy
    assert found.accuracy == trainer.evaluate("validation").accuracy
    hits = []
    assert trainer.evaluate("test", hits).accuracy == found.score
    right = torch.cat(hits).numpy()
    assert found.images == len(right) == 360
    assert found.hits == np.packbits(right).tobytes()
    assert right.mean() == pytest.approx(found.score)


@pytest.fixture
def supernet(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.accuracy.supernet.paths.SCANNED", 60)
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    pool = ListedPool([TINY, DEEP])
    made = Supernet("digits", pool, 800, resolution=16, validation=100, calibration=128)
    made.prepare()
    return made


def test_a_retraining_may_start_from_the_supernet(supernet, monkeypatch):
    again = retraining(supernet, "digits", "from=supernet,images=64")
    plain = retraining(supernet, "digits", "images=64")
    assert (again.short, again.start, plain.start) == (plain.short, supernet, None)
    weights = supernet.fingerprint()["weights"]
    told = {"from": "supernet", "from_weights": weights}
    assert again.fingerprint() == {**plain.fingerprint(), **told}
    outside = TINY.replace(stem=type(TINY.stem)(channels=64))
    assert plain.remarks({("tiny", "front"): TINY, ("wide", "reference"): outside}) == []
    assert again.remarks({("tiny", "front"): TINY}) == []
    (remark,) = again.remarks({("tiny", "front"): TINY, ("wide", "reference"): outside})
    assert "but from random weights for wide: the supernet has no weights of them" in remark
    starts = []

    def steps(trainer, until=None):
        starts.append({n: tensor.clone() for n, tensor in trainer.model.state_dict().items()})
        assert trainer.recipe.zero_residuals == (len(starts) == 2)
        yield from ()

    monkeypatch.setattr("nas.train.loop.Trainer.steps", steps)
    arrived = pickle.loads(pickle.dumps(again))  # noqa: S301
    arrived.estimate(TINY, 4)
    tensors = supernet.trained.slice_of(TINY, 4).tensors()
    assert all(torch.equal(starts[0][name], tensor) for name, tensor in tensors.items())
    again.estimate(outside, 4)


def test_a_retraining_starts_from_nothing_but_a_supernet_of_its_width(supernet):
    with pytest.raises(MixnasError, match=r"--retrain from=timm: expected from=supernet"):
        retraining(supernet, "digits", "from=timm")
    with pytest.raises(MixnasError, match="the search has no supernet; give --estimator supernet"):
        retraining(ZeroCost(), "digits", "from=supernet")
    with pytest.raises(MixnasError, match=r"networks of width 1, but width 0\.5 is retrained"):
        retraining(supernet, "digits", "from=supernet,width=0.5")


@pytest.mark.usefixtures("cache_of_the_tests")
def test_networks_are_retrained_once_for_every_seed(tmp_path):
    told = []
    networks = {("trial_1", "front"): TINY, ("deep", "reference"): DEEP}
    first = retraining_run(tmp_path)
    shape = Resources(2)
    assert first.run(networks, shape, lambda done, total: told.append((done, total))) == []
    assert told[-1] == (4, 4)
    table = pd.read_csv(tmp_path / "confirmed.csv")
    assert sorted(zip(table["name"], table["seed"], strict=True)) == [
        ("deep", 6), ("deep", 7), ("trial_1", 6), ("trial_1", 7),
    ]  # fmt: skip
    assert set(table["test_images"]) == {len(load_data("digits").labels["test"])}
    kept = retrained(RunDirectory(tmp_path))
    assert [hits.mean() for hits in kept[HITS]] == pytest.approx(table["test"].tolist())
    assert "hits" not in table
    # One more seed: only what is missing is trained.
    told.clear()
    retraining_run(tmp_path, seeds=3).run(networks, shape, lambda *step: told.append(step))
    assert told == [(4, 6), (5, 6), (6, 6)]
    again = pd.read_csv(tmp_path / "confirmed.csv")
    pd.testing.assert_frame_equal(again.head(4), table)
    assert sum(hits is not None for hits in retrained(RunDirectory(tmp_path))[HITS]) == 6


@pytest.mark.slow
@pytest.mark.usefixtures("cache_of_the_tests")
def test_retrainings_of_other_settings_are_put_aside(tmp_path):
    networks = {("trial_1", "front"): TINY}
    retraining_run(tmp_path, seeds=1).run(networks, Resources(1), lambda *_: None)
    before = pd.read_csv(tmp_path / "confirmed.csv")
    longer = dataclasses.replace(SHORT, images=800)
    retraining_run(tmp_path, longer, seeds=1).run(networks, Resources(1), lambda *_: None)
    after = pd.read_csv(tmp_path / "confirmed.csv")
    assert len(after) == 1
    assert after["training"].tolist() != before["training"].tolist()
    aside = tmp_path / f"confirmed-{before['training'][0]}.csv"
    pd.testing.assert_frame_equal(pd.read_csv(aside), before)


@pytest.mark.usefixtures("cache_of_the_tests")
def test_retrainings_that_fail_are_told(tmp_path):
    wild = dataclasses.replace(SHORT, recipe=Recipe(learning_rate=1e30))
    failures = retraining_run(tmp_path, wild, seeds=1).run(
        {("trial_1", "front"): TINY}, Resources(1), lambda *_: None
    )
    assert len(failures) == 1
    assert failures[0].startswith("trial_1: the training loss is")
    assert not (tmp_path / "confirmed.csv").exists()


def test_results_without_hits_of_an_earlier_version_are_kept(tmp_path):
    row = ("trial_1", "front", 6, 0.9, 0.75, 4, 1.0, "r1")
    pd.DataFrame([row], columns=CONFIRMED_COLUMNS).to_csv(tmp_path / "confirmed.csv", index=False)
    assert retrained(RunDirectory(tmp_path)).to_dict("records") == [
        dict(zip(CONFIRMED_COLUMNS, row, strict=True))
    ]


@pytest.mark.parametrize("hits", [None, '{"runs": []}'])
def test_a_table_with_a_header_only_has_no_results(tmp_path, hits):
    pd.DataFrame(columns=CONFIRMED_COLUMNS).to_csv(tmp_path / "confirmed.csv", index=False)
    if hits is not None:
        (tmp_path / "test_hits.json").write_text(hits, encoding="utf-8")
    run = RunDirectory(tmp_path)
    assert retrained(run).empty
    assert retraining_run(tmp_path, seeds=1).run({}, Resources(1), lambda *_: None) == []


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("confirmed.csv", "name\ntrial_1\n"),
        ("confirmed.csv", "\x00"),
        ("test_hits.json", "{"),
        ("test_hits.json", '{"runs": [{}]}'),
    ],
)
def test_damaged_results_are_told_with_what_to_do(tmp_path, file, text):
    row = ("trial_1", "front", 6, 0.9, 0.75, 4, 1.0, "r1")
    pd.DataFrame([row], columns=CONFIRMED_COLUMNS).to_csv(tmp_path / "confirmed.csv", index=False)
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(MixnasError, match=rf"{file} .*repair the file, or remove it to retrain"):
        retrained(RunDirectory(tmp_path))


def test_a_training_that_is_called_as_a_path_is_written_nowhere(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    row = ("trial_1", "front", 6, 0.9, 0.75, 4, 1.0, "x/../../outside")
    pd.DataFrame([row], columns=CONFIRMED_COLUMNS).to_csv(folder / "confirmed.csv", index=False)
    with pytest.raises(MixnasError, match="'training' must hold digests"):
        retraining_run(folder).run({("trial_1", "front"): TINY}, Resources(1), lambda *_: None)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
