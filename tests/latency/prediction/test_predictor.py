"""Predictors, on a device whose latency is a known function of the network."""

import dataclasses
import json
import random
import re
from collections import Counter

import numpy as np
import pytest
from pydantic import TypeAdapter

from nas.errors import MixnasError, OtherVersionError, OutOfRangeError
from nas.latency.conditions import MeasurementSettings
from nas.latency.deployment import rule_named
from nas.latency.prediction import predictor as predictor_module
from nas.latency.prediction.fitting import draw, fit_predictor
from nas.latency.prediction.predictor import (
    Predictor,
    error_card,
    load_predictor,
    network_features,
    space_digest,
)
from nas.latency.profile import DeviceProfile
from nas.limits import parse_limits
from nas.lowering import MERGE_ALL
from nas.space import load_space
from nas.spec import load_network
from nas.testing.fakes import exact_latency
from tests.latency.prediction.board import CONDITIONS, SPACE, Board, predictor_of


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
    content = json.loads(path.read_text())
    assert content["conditions"].pop("interval_ms") == 0  # versions without pauses did not write it
    path.write_text(json.dumps(content))
    again = load_predictor(Board(), SPACE)
    spec = load_network("mixnet_s")
    first, second = (p.predict(spec, MERGE_ALL).median_ms for p in (predictor, again))
    assert first == second
    # Another number of classes is the same space.
    assert load_predictor(Board(), SPACE.with_classes(10)) == again
    for damaged in ("{", "[]", '{"schema": "mixnas.predictor/3"}', "[" * 100_000):
        path.write_text(damaged)
        with pytest.raises(MixnasError, match="there is no latency predictor for 'mixnet'"):
            load_predictor(Board(), SPACE)


def test_a_predictor_for_other_conditions_is_refused(fitted):
    _, predictor = fitted
    predictor.save()
    with pytest.raises(MixnasError, match=r"was made for threads 2, not 4\. Make one .*device fit"):
        load_predictor(Board(threads=4), SPACE)
    with pytest.raises(MixnasError, match="runtime runtime 1, not runtime 2"):
        load_predictor(Board(runtime="runtime 2"), SPACE)
    with pytest.raises(
        MixnasError, match=r"was made for interval_ms 0, not 200\. .* --interval 200ms$"
    ):
        load_predictor(
            Board(interval_ms=200.0), SPACE, settings=MeasurementSettings(interval_ms=200.0)
        )
    asked = MeasurementSettings(threads=1, batch=8, interval_ms=8.5)
    with pytest.raises(MixnasError, match=r" --threads 1 --batch 8 --interval 8\.5ms$"):
        load_predictor(Board(threads=1, batch=8, interval_ms=8.5), SPACE, settings=asked)
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


def rewritten(path, **changes):
    """Change a saved predictor; None removes what it says."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: value for k, value in content.items() if value is not None}))


@pytest.mark.parametrize("schema", ["mixnas.predictor/2", "mixnas.predictor/4"])
def test_a_predictor_of_another_version_must_be_made_again(fitted, schema):
    _, predictor = fitted
    path = predictor.save()
    rewritten(path, schema=schema)
    with pytest.raises(OtherVersionError) as caught:
        load_predictor(Board(), SPACE, "my space.yaml")
    assert str(caught.value) == (
        "the latency predictor for 'mixnet' on board:cpu was made by another version of mixnas, "
        f"which counted the work of networks differently ({schema}; this version reads "
        "mixnas.predictor/3); make the predictor again: "
        "python -m nas.device fit --space 'my space.yaml' --device board:cpu"
    )
    # Other fields of another version do not hide it.
    rewritten(path, schema=schema, observations=None, kernel="rbf")
    with pytest.raises(OtherVersionError, match="make the predictor again"):
        load_predictor(Board(), SPACE)
    # For other conditions it is none at all, and the one that is made takes its place.
    with pytest.raises(MixnasError, match="there is no latency predictor for 'mixnet'"):
        load_predictor(Board(threads=4), SPACE)
    predictor.save()
    assert load_predictor(Board(), SPACE) == predictor


@pytest.mark.parametrize("schema", [None, 2, "mixnas.device/2", ""])
def test_features_of_an_unknown_version_are_not_fitted(fitted, schema):
    _, predictor = fitted
    rewritten(predictor.save(), schema=schema)
    with pytest.raises(MixnasError, match="there is no latency predictor for 'mixnet'"):
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


# -- the range that was learned ------------------------------------------------------------------


def test_networks_beyond_the_range_that_was_learned_are_refused():
    board = Board(noise=0)
    small = fit_predictor(board, SPACE, 30, random.Random(0), parse_limits(["madds=..150M"]))
    low, high = small.range_ms
    latencies = [one.latency_ms for one in small.observations]
    assert (low, high) == (min(latencies), max(latencies))
    large = load_network("mixnet_l")
    assert board.milliseconds(large) > 1.2 * high
    with pytest.raises(OutOfRangeError) as caught:
        small.predict(large, MERGE_ALL)
    message = str(caught.value)
    assert message.startswith("the latency of 'mixnet_l' on board:cpu cannot be predicted: ")
    assert f"networks of 'mixnet' between {low:.2f} and {high:.2f} ms, but this" in message
    assert message.endswith("; measure it, or fit a predictor to such networks")
    # Others of the kind that it learned are predicted.
    for spec in draw(SPACE, 10, random.Random(1), parse_limits(["madds=..145M"])):
        assert small.predict(spec, MERGE_ALL).steady_ms == pytest.approx(
            board.milliseconds(spec), rel=0.1
        )


LINEAR = predictor_of(  # nearly: latency = a + b
    [{"a": float(a), "b": float(b)} for a in range(1, 5) for b in (0, 1)],
    [a + b for a in range(1, 5) for b in (0, 1)],
)


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ({"a": 4.7, "b": 1.0}, None),  # 5.7 of at most 6 ms, of which 12% beyond
        ({"a": 5.2, "b": 1.0}, "this network would take 6.19 ms"),
        ({"a": 0.86}, None),  # at least 1 / 1.2 ms
        ({"a": 0.81}, "this network would take 0.8"),
        ({"a": 2.0, "b": 1.5}, None),  # 14% beyond
        ({"a": 2.0, "b": 1.6}, "17% of this network's work exceeds the most that one of those has"),
        ({"a": 2.0, "c": 0.0}, None),
        ({"a": 2.0, "c": 1.0}, "this network has c, which none of those has"),
    ],
)
def test_what_a_prediction_rests_on(monkeypatch, features, reason):
    monkeypatch.setattr(predictor_module, "network_features", lambda *_: features)
    spec = load_network("mixnet_s")
    assert LINEAR.range_ms == (1.0, 5.0)
    if reason is None:
        total = features["a"] + features.get("b", 0.0)
        assert LINEAR.predict(spec, MERGE_ALL).median_ms == pytest.approx(total, rel=0.03)
    else:
        with pytest.raises(OutOfRangeError, match=re.escape(reason)):
            LINEAR.predict(spec, MERGE_ALL)


# -- forms ---------------------------------------------------------------------------------------


class TwoForms(Board):
    """Runs networks merged or with large kernels as sums, whichever is faster there.

    A tap costs it nearly three times as much in a kernel of more than 25.
    """

    def times_ms(self, spec):
        times = {}
        for name in ("merged", "phases"):
            work = network_features(spec, rule_named(name, MERGE_ALL), self.conditions)
            large = work.get("depthwise taps of kernels over 25", 0.0)
            taps = work["depthwise taps"] + 1.86 * large
            times[name] = 1 + 1e-8 * taps + 4e-7 * work["skip elements"] + 2e-8 * work["elements"]
        return times

    def measure(self, spec, effort=None):
        times = self.times_ms(spec)
        best = min(times, key=times.get)
        return exact_latency(self.conditions, spec, times[best]).chosen_among(best, times)


def test_a_network_is_predicted_in_the_form_that_is_fastest_for_it():
    board = TwoForms()
    predictor = fit_predictor(board, SPACE, 40, random.Random(0))
    assert predictor.forms == ["merged", "phases"]
    fresh = draw(SPACE, 40, random.Random(1))
    best = Counter()
    for spec in fresh:
        times = board.times_ms(spec)
        predicted = predictor.predict(spec, MERGE_ALL).median_ms
        assert predicted == pytest.approx(min(times.values()), rel=0.1)
        features, _ = predictor.fastest(spec, MERGE_ALL)
        form = min(times, key=times.get)
        rule = rule_named(form, MERGE_ALL)
        best[form] += features == network_features(spec, rule, board.conditions)
    assert best["phases"] > 5
    assert best["merged"] > 5
    assert best.total() > 35
    saved = TypeAdapter(Predictor).validate_json(predictor.save().read_bytes())
    assert saved == predictor


# -- fixed numbers -------------------------------------------------------------------------------


def predicting(ms, errors):
    """Return what a predictor says that predicts so many milliseconds and has such errors."""
    card = error_card(np.ones(4), np.ones(4), np.ones(4))

    class Fixed(Predictor):
        def fastest(self, spec, choice):
            return {}, ms

        def _beyond(self, features, predicted_ms):
            return None

    values = {field.name: getattr(LINEAR, field.name) for field in dataclasses.fields(LINEAR)}
    fixed = Fixed(**{**values, "card": dataclasses.replace(card, errors=errors)})
    return fixed.predict(load_network("mixnet_s"), MERGE_ALL)


def test_errors_of_a_quarter_bound_a_prediction_of_10_at_8():
    found = predicting(10.0, (0.25,) * 9)
    assert (found.low_ms, found.p10_ms, found.p90_ms, found.high_ms) == (8.0,) * 4
    assert (found.median_ms, found.steady_ms) == (10.0, 10.0)
    assert (found.n, found.reference_ms, found.noise, found.resolution) == (0, 0.0, (), 224)
    assert found.conditions == CONDITIONS


def test_error_bars_are_quantiles_of_the_errors():
    # 41 true latencies, 8.0 to 12.0: the 2.5% quantile is the second, the 10% one the fifth.
    true = [8 + 0.1 * n for n in range(41)]
    found = predicting(10.0, tuple(10 / ms - 1 for ms in true))
    bars = (found.low_ms, found.p10_ms, found.p90_ms, found.high_ms)
    assert bars == pytest.approx((8.1, 8.4, 11.6, 11.9), abs=1e-4)


def test_low_predictions_are_errors_as_well():
    measured = np.array([10.0, 10.0, 10.0, 10.0])
    card = error_card(np.array([7.0, 9.2, 10.4, 10.8]), measured, np.arange(1.0, 5.0))
    assert (card.within_5, card.within_10) == (0.25, 0.75)
    assert card.errors == (-0.3, -0.08, 0.04, 0.08)
    assert card.mean_error == 0.125
    assert card.spearman is None  # the measurements are all alike


@pytest.mark.parametrize(("n", "spearman"), [(3, None), (4, 0.8), (5, 0.9)])
def test_rank_correlations_need_four_networks(n, spearman):
    predicted = np.array([1.0, 3.0, 2.0, 4.0, 5.0])[:n]
    card = error_card(predicted, np.arange(1.0, n + 1), np.full(n, 100.0))
    assert (card.spearman, card.spearman_in_band, card.n_in_band) == (spearman, spearman, n)


def test_a_device_with_another_usual_speed_needs_another_predictor(fitted):
    _, predictor = fitted
    predictor.save()

    class Slower(Board):
        @property
        def profile(self):
            return DeviceProfile(self.conditions, 1.01)

    with pytest.raises(MixnasError, match="was examined again since its latency predictor"):
        load_predictor(Slower(), SPACE)


def test_predictors_of_other_devices_are_not_mentioned(fitted):
    _, predictor = fitted
    predictor.save()

    class Other(Board):
        name = "other:cpu"

    with pytest.raises(
        MixnasError, match="there is no latency predictor for 'mixnet' on other:cpu"
    ):
        load_predictor(Other(device="other:cpu"), SPACE)
