"""Predictors, on a device whose latency is a known function of the network."""

import dataclasses
import json
import random

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.latency.prediction.fitting import fit_predictor
from nas.latency.prediction.predictor import (
    error_card,
    load_predictor,
    network_features,
    space_digest,
    trust,
)
from nas.lowering import MERGE_ALL
from nas.space import load_space
from nas.spec import load_network
from tests.latency.prediction.board import CONDITIONS, SPACE, Board
from tests.latency.records import latency


@pytest.fixture(scope="module")
def fitted():
    board = Board()
    return board, fit_predictor(board, SPACE, 60, random.Random(0), checks=40)


pytestmark = pytest.mark.usefixtures("own_cache")


def test_fresh_networks_are_predicted(fitted):
    board, predictor = fitted
    assert board.measured == 100
    assert predictor.card.n == 40
    assert predictor.card.within_10 >= 0.95
    assert predictor.card.within_5 >= 0.8
    assert predictor.card.spearman >= 0.97


def test_a_prediction_says_so_and_carries_its_error(fitted):
    board, predictor = fitted
    spec = load_network("mixnet_m")
    predicted = predictor.predict(spec, MERGE_ALL)
    assert (predicted.source, predicted.n) == ("predicted", 0)
    assert predicted.low_ms <= predicted.p10_ms <= predicted.p90_ms <= predicted.high_ms
    assert predicted.high_ms > predicted.low_ms
    assert predicted.median_ms == pytest.approx(board.milliseconds(spec), rel=0.15)


def test_a_predictor_is_kept_and_says_the_same(fitted):
    _, predictor = fitted
    path = predictor.save()
    again = load_predictor(Board(), SPACE)
    spec = load_network("mixnet_s")
    first, second = (p.predict(spec, MERGE_ALL).median_ms for p in (predictor, again))
    assert first == second
    # Another number of classes is the same space.
    assert load_predictor(Board(), SPACE.with_classes(10)) == again
    path.write_text("{")
    with pytest.raises(MixnasError, match="there is no latency predictor for 'mixnet'"):
        load_predictor(Board(), SPACE)


def test_a_predictor_for_other_conditions_is_refused(fitted):
    _, predictor = fitted
    predictor.save()
    with pytest.raises(MixnasError, match=r"was made for threads 2, not 4\. Make one .*device fit"):
        load_predictor(Board(threads=4), SPACE)
    with pytest.raises(MixnasError, match="runtime runtime 1, not runtime 2"):
        load_predictor(Board(runtime="runtime 2"), SPACE)
    with pytest.raises(MixnasError, match="there is no latency predictor for 'mnasnet'"):
        load_predictor(Board(), load_space("mnasnet"))


def test_a_device_that_lowers_otherwise_needs_another_one(fitted):
    _, predictor = fitted
    path = predictor.save()
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "profile_digest": "0" * 16}))
    with pytest.raises(
        MixnasError, match="was examined again since its latency predictor was made"
    ):
        load_predictor(Board(), SPACE)


def test_values_all_alike_have_no_rank():
    card = error_card(np.ones(9), np.linspace(1, 2, 9), np.ones(9))
    assert card.spearman is None
    assert json.dumps(dataclasses.asdict(card), allow_nan=False)


def test_error_cards():
    measured = np.array([10.0, 20.0, 30.0, 40.0])
    predicted = measured * np.array([1.04, 0.92, 1.2, 1.0])
    card = error_card(predicted, measured, np.array([100, 101, 200, 300]))
    assert (card.within_5, card.within_10) == (0.5, 0.75)
    assert card.spearman == 1.0
    assert card.errors == (-0.08, 0.0, 0.04, 0.2)
    assert card.spearman_in_band is None  # too few for a rank correlation
    assert card.mean_error == 0.08


def test_spaces_are_told_apart_by_what_they_hold():
    digests = {space_digest(load_space(name)) for name in ("mixnet", "mixnet_ladder", "mnasnet")}
    assert len(digests) == 3
    assert space_digest(load_space("mixnet")) in digests


def test_the_band_holds_the_networks_within_5_percent_of_the_median():
    madds = np.array([95.1, 96.0, 100.0, 104.0, 104.9, 94.9, 105.1])
    measured = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    predicted = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 60.0, 0.7])
    card = error_card(predicted, measured, madds)
    assert (card.n, card.n_in_band, card.spearman_in_band) == (7, 5, 1.0)
    assert card.spearman < 0.5


def test_noisy_latencies_are_trusted_less():
    assert (trust(latency()), trust(latency(noise=("a",)))) == (1.0, 0.1)


def test_features_are_those_of_the_form_that_runs():
    spec = load_network("mixnet_s")
    trained = dataclasses.replace(CONDITIONS, lowered=False)
    assert "normalised elements" in network_features(spec, MERGE_ALL, trained)
    lowered = network_features(spec, MERGE_ALL, CONDITIONS)
    assert "normalised elements" not in lowered
    batch = network_features(spec, MERGE_ALL, dataclasses.replace(CONDITIONS, batch=3))
    assert batch["skip elements"] == 3 * lowered["skip elements"]


def test_error_bars_are_those_of_the_error_card(fitted):
    _, predictor = fitted
    card = dataclasses.replace(predictor.card, errors=(0.25,) * 9)
    spec = load_network("mixnet_s")
    predicted = dataclasses.replace(predictor, card=card).predict(spec, MERGE_ALL)
    # Predictions that are a quarter too high belong to latencies of four fifths.
    for bound in (predicted.low_ms, predicted.p10_ms, predicted.p90_ms, predicted.high_ms):
        assert bound == pytest.approx(0.8 * predicted.median_ms, abs=1e-4)
    unchecked = dataclasses.replace(predictor, card=None).predict(spec, MERGE_ALL)
    assert unchecked.low_ms == unchecked.high_ms == unchecked.median_ms


def test_the_command_that_makes_a_predictor_names_the_space_as_the_user_does():
    with pytest.raises(MixnasError, match=r"fit --space my\.yaml --device board:cpu$"):
        load_predictor(Board(), SPACE, "my.yaml")
