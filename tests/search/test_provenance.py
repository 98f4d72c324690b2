import dataclasses
from importlib import metadata

import numpy as np

from analysis.read.runs import CLIFF, DEPTHWISE, GUESSED, SCALE
from nas.accuracy.short import ShortTraining
from nas.data import load_data
from nas.latency.prediction.observations import Observation
from nas.latency.prediction.predictor import ErrorCard, Predictor
from nas.search.devices import SearchDevice
from nas.search.provenance import provenance
from nas.testing.fakes import CONDITIONS, Instant, InstantDevice

CARD = ErrorCard(
    n=4,
    within_5=0.5,
    within_10=1.0,
    spearman=0.9,
    spearman_in_band=None,
    n_in_band=1,
    mean_error=0.04,
    errors=(-0.05, 0.01, 0.02, 0.08),
)


def devices(predictor=None):
    return [SearchDevice("fake", InstantDevice(), (), predictor)]


def predictor(card):
    return Predictor(
        conditions=CONDITIONS,
        space="small",
        space_digest="0",
        profile_digest="1",
        observations=(Observation(1.0, 1.0, "", {"": {"layers": 1.0}}, {"": 1.0}),),
        card=card,
    )


def test_the_time_of_kernels_on_the_device_is_told(monkeypatch):
    assert DEPTHWISE not in provenance(Instant(), devices())
    profile = dataclasses.replace(InstantDevice().profile, depthwise_ms={3: 0.01, 5: 0.04})
    monkeypatch.setattr(InstantDevice, "profile", profile)
    found = provenance(Instant(), devices())
    assert found[DEPTHWISE] == {"3x3": 0.01, "5x5": 0.04}
    assert CLIFF not in found
    steep = dataclasses.replace(profile, depthwise_ms={3: 0.01, 5: 0.04, 7: 1.1})
    monkeypatch.setattr(InstantDevice, "profile", steep)
    assert provenance(Instant(), devices())[CLIFF] == 7


def test_what_figures_rest_on_is_plain_data():
    found = provenance(Instant(), devices())
    assert found["scores"] == {"estimator": "Instant"}
    # Without an interval, these are the conditions that earlier versions recorded.
    assert {**found["latencies"], "interval_ms": 0.0} == dataclasses.asdict(CONDITIONS)
    assert "interval_ms" not in found["latencies"]
    assert found["versions"]["optuna"] == metadata.version("optuna")
    assert found["cores"] >= 1
    assert found["machine"]
    assert "predictor" not in found
    assert "retraining" not in found
    with_retraining = provenance(Instant(), devices(), Instant())
    assert with_retraining["retraining"] == {"estimator": "Instant"}


def test_a_predictor_brings_its_errors_without_every_single_one():
    found = provenance(Instant(), devices(predictor(CARD)))
    assert found["predictor"]["within_10"] == 1.0
    assert "errors" not in found["predictor"]
    assert "predictor" not in provenance(Instant(), devices(predictor(None)))


def test_what_scores_are_is_recorded_as_the_estimator_declares_it():
    found = provenance(Instant(), devices())
    assert found[SCALE] == {"label": "validation accuracy", "is_accuracy": True}
    named = type("Named", (Instant,), {"label": "speed"})()
    assert provenance(named, devices())[SCALE] == {
        "label": "speed",
        "is_accuracy": False,
    }


def test_what_guessing_would_reach_is_told_with_accuracies():
    assert GUESSED not in provenance(Instant(), devices())[SCALE]
    found = provenance(ShortTraining(score="accuracy"), devices())[SCALE]
    labels = load_data("digits").labels_of("validation")
    assert found[GUESSED] == {"right": np.bincount(labels).max(), "images": len(labels)}
    assert GUESSED not in provenance(ShortTraining(score="loss"), devices())[SCALE]
    few = provenance(ShortTraining(score="accuracy", validation=50), devices())[SCALE][GUESSED]
    assert few["images"] == 50
    assert 5 <= few["right"] < 20


def test_what_was_recorded_of_scores_stays_where_their_images_are_gone():
    gone = ShortTraining(data="gone", score="accuracy")
    found = provenance(gone, devices(), recorded={"scores": {}, SCALE: None})
    assert found["scores"] == {}
    assert GUESSED not in found[SCALE]
    before = provenance(ShortTraining(score="accuracy"), devices())
    kept = provenance(gone, devices(), recorded=before)
    assert (kept["scores"], kept[SCALE]) == (before["scores"], before[SCALE])
    assert GUESSED in kept[SCALE]
