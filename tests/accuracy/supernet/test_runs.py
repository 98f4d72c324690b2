import dataclasses
import shutil

import numpy as np
import pytest
import yaml

from nas.accuracy.supernet import SUPERNET_FILE
from nas.accuracy.supernet.runs import open_run_supernet
from nas.data import load_data
from nas.errors import MixnasError
from nas.spec import Input
from nas.torch_model import build, load_weights, lower_module
from nas.train.loop import evaluate
from nas.train.recipe import Recipe
from tests.accuracy.supernet.running import SEED, change_yaml, write_run, write_yaml


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A run whose supernet is in its own folder only, with its estimator and its best network."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIXNAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        supernet, spec = write_run(folder, patch)
        accuracy = supernet.estimate(spec, SEED).accuracy
        supernet.path.unlink()
        yield folder, spec, accuracy


@pytest.fixture
def run(kept, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(kept[0], tmp_path / "run")


def test_a_slice_is_what_the_score_was_computed_with(kept):
    folder, spec, accuracy = kept
    opened = open_run_supernet(folder)
    found = opened.slice_of(spec)
    weights = opened.weights(spec)
    built = build(found.spec, seed=1)
    load_weights(built, weights)
    alone = found.placement.place(lower_module(built))  # as the score was computed
    measured = evaluate(alone, found.source, "validation", found.augmentation, found.placement)
    assert measured.accuracy == accuracy
    assert (found.spec.input.resolution, found.spec.num_classes) == (16, 10)
    judged = weights.judge()
    assert judged["validation"]["top1"] == judged["in_search"] == accuracy
    test = evaluate(alone, found.source, "test", found.augmentation, found.placement)
    assert judged["test"] == {"top1": test.accuracy, "top5": test.top5, "loss": test.loss}
    assert (judged["data"], judged["weights"]) == ("digits", f"supernet:{folder}")


def test_weights_tell_what_they_were_trained_as(kept):
    folder, spec, _ = kept
    weights = open_run_supernet(folder).weights(spec)
    digits = load_data("digits")
    metadata = weights.metadata
    assert metadata.classes == tuple(digits.classes)
    assert metadata.network() == spec.at(16)
    assert metadata.preprocessing.resolution == 16
    mean, _ = digits.at(16).statistics()
    assert metadata.preprocessing.mean == pytest.approx(mean.flatten().tolist())
    assert metadata.data_fingerprint == digits.fingerprint()
    assert metadata.command == "python -m nas.search"
    assert (weights.data, weights.images_per_class, weights.remarks) == ("digits", None, ())


def test_images_are_normalised_as_in_the_training(tmp_path, monkeypatch):
    """By given statistics, as of a pretrained network."""
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    given = (0.25, 0.5, 0.75), (0.125, 0.25, 0.5)
    _, spec = write_run(
        tmp_path / "run", monkeypatch, recipe=Recipe(batch_size=64, normalisation=given)
    )
    prepared = open_run_supernet(tmp_path / "run").weights(spec).metadata.preprocessing
    assert (prepared.mean, prepared.std) == given


def test_side_of_the_images_and_number_of_classes_make_no_other_network(kept):
    folder, spec, _ = kept
    opened = open_run_supernet(folder)
    other = spec.replace(input=Input(resolution=64), num_classes=3)
    assert opened.slice_of(other).spec == opened.slice_of(spec).spec


def test_a_network_of_another_space_is_refused_with_the_stage(kept):
    folder, spec, _ = kept
    (block, *rest), *others = spec.stages
    wide = spec.replace(stages=((dataclasses.replace(block, channels=40), *rest), *others))
    told = r"^supernet:.*run has no weights for it: 'small_trial_0' is not in 'small': stages\[0\]"
    with pytest.raises(MixnasError, match=told):
        open_run_supernet(folder).slice_of(wide)


def test_without_tables_nothing_was_found(run, kept):
    (run / "trials.csv").unlink()
    assert open_run_supernet(run).weights(kept[1]).judge()["in_search"] is None


def test_images_that_were_moved_are_found_by_their_name_now(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 255, (200, 16, 16), np.uint8)
    there, moved = tmp_path / "there.npz", tmp_path / "moved.npz"
    np.savez(there, images=pixels, labels=np.arange(200) % 10)
    _, spec = write_run(tmp_path / "run", monkeypatch, str(there), images=128)
    there.rename(moved)
    cannot = r"calibrated on images of the run's data set, which cannot be had: .*there\.npz"
    for other in (None, "digits"):
        with pytest.raises(MixnasError, match=rf"{cannot}.*; name the place .* with --data"):
            open_run_supernet(tmp_path / "run", other)
    weights = open_run_supernet(tmp_path / "run", str(moved)).weights(spec)
    assert (weights.data, weights.metadata.data) == (str(moved), str(moved))


def test_another_device_than_the_scores_is_told(run):
    change_yaml(run / "config.yaml", on="cuda:77")
    (remark,) = open_run_supernet(run).remarks
    assert "the run's scores were computed on cuda:77, which is not here; on the CPU" in remark


def truncate(run):
    path = run / SUPERNET_FILE
    path.write_bytes(path.read_bytes()[:-9])


def without_seed(run):
    write_yaml(run / "config.yaml", {"data": "digits", "estimator": "supernet"})


def at_half_the_width(run):
    scores = open_scores(run)
    change_yaml(run / "conditions.yaml", scores={**scores, "width": 0.5})


def of_other_images(run):
    scores = open_scores(run)
    change_yaml(run / "conditions.yaml", scores={**scores, "data_fingerprint": "another"})


def open_scores(run):
    return yaml.safe_load((run / "conditions.yaml").read_text(encoding="utf-8"))["scores"]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: (run / "config.yaml").unlink(), "there is no run directory of nas.search: it"),
        (
            lambda run: change_yaml(run / "config.yaml", estimator="short:images=900"),
            "has no supernet, since its estimator is 'short:images=900'; search with --estimator",
        ),
        (
            lambda run: (run / SUPERNET_FILE).unlink(),
            r"the run has no supernet\.safetensors; add it from .* --resume",
        ),
        (truncate, r"supernet\.safetensors is damaged, or of another run: its content is not"),
        (without_seed, r"config\.yaml.*seed"),
        (lambda run: write_yaml(run / "conditions.yaml", {}), "missing keys: scores"),
        (lambda run: write_yaml(run / "conditions.yaml", {"scores": 3}), "missing keys: data_fin"),
        (at_half_the_width, "has networks of 0.5 times the width, whose weights do not fit"),
        (of_other_images, "digits has other images, or another split, than the run had"),
    ],
)
def test_runs_without_a_whole_supernet_are_refused_in_a_line(run, damage, told):
    damage(run)
    with pytest.raises(MixnasError, match=told) as refused:
        open_run_supernet(run)
    assert "\n" not in str(refused.value)
