"""The networks that a predictor is made from, and their measurement."""

import random

import pytest

from nas.cost import count
from nas.errors import MixnasError
from nas.latency.prediction.fitting import (
    EFFORT,
    check_predictor,
    design,
    draw,
    fit_predictor,
    measure_all,
)
from nas.limits import parse_limits
from nas.spec import load_network
from tests.latency.prediction.board import SPACE, Board
from tests.latency.records import latency


def test_designed_networks_span_the_costs_within_limits():
    limits = parse_limits(["madds=200M..400M"])
    rng = random.Random(0)
    specs = design(SPACE, 20, rng, limits)
    madds = sorted(count(spec).madds for spec in specs)
    assert madds[0] >= 200e6
    assert madds[-1] <= 400e6
    assert madds[-1] - madds[0] > 150e6
    assert len({spec.digest() for spec in specs}) == 20
    assert [s.digest() for s in design(SPACE, 20, random.Random(0), limits)] == [
        s.digest() for s in specs
    ]
    assert len(draw(SPACE, 3, rng)) == 3


def test_fresh_networks_are_fresh():
    specs = design(SPACE, 10, random.Random(0))
    known = [spec.digest() for spec in specs]
    fresh = draw(SPACE, 20, random.Random(0), without=known)
    assert len({spec.digest() for spec in fresh} - set(known)) == 20


class Scripted:
    """A device that gives the next of several latencies for each network."""

    def __init__(self, **latencies):
        self.latencies = {name: list(values) for name, values in latencies.items()}
        self.calls = []

    def measure(self, spec, effort):
        assert effort is EFFORT
        self.calls.append(spec.name)
        return self.latencies[spec.name].pop(0)


def test_noisy_measurements_are_repeated_last_and_the_quietest_is_kept():
    quiet, noisy, loud = latency(), latency(noise=("a",)), latency(noise=("a", "b"))
    device = Scripted(
        mixnet_s=[noisy, loud, loud],
        mixnet_m=[quiet],
        mixnet_l=[loud, quiet],
        mobilenet_v1=[noisy] * 3,
    )
    names = ["mixnet_s", "mixnet_m", "mixnet_l", "mobilenet_v1"]
    steps = []
    found = measure_all(
        device,
        [load_network(name) for name in names],
        lambda *step: steps.append(step),
        done=5,
        of=9,
    )
    assert found == [noisy, quiet, quiet, noisy]
    assert device.calls == [
        *names,
        "mixnet_s",
        "mixnet_l",
        "mobilenet_v1",
        "mixnet_s",
        "mobilenet_v1",
    ]
    assert steps == [(6, 9), (7, 9), (8, 9), *[(9, 9)] * 6]


def test_progress_counts_training_networks_and_checks():
    board, steps = Board(), []
    predictor = fit_predictor(
        board, SPACE, 10, random.Random(0), step=lambda *step: steps.append(step), checks=5
    )
    assert steps == [(done, 15) for done in range(1, 16)]
    assert (len(predictor.features), predictor.card.n) == (10, 5)
    assert predictor.trust == (1.0,) * 10
    assert predictor.profile_digest == board.profile.digest()
    assert fit_predictor(Board(), SPACE, 10, random.Random(0)).card is None


def test_a_space_without_further_networks_cannot_be_checked(monkeypatch):
    monkeypatch.setattr("nas.latency.prediction.fitting.draw", lambda *_, **__: [])
    with pytest.raises(MixnasError, match="'mixnet' has no networks within the limits besides the"):
        fit_predictor(Board(), SPACE, 10, random.Random(0), checks=5)


def test_a_check_compares_with_latencies_at_the_usual_speed():
    board = Board(noise=0)
    predictor = fit_predictor(board, SPACE, 20, random.Random(0))
    specs = draw(SPACE, 6, random.Random(1))
    features = [predictor.predict(spec, board.form_choice()).median_ms for spec in specs]
    measured = [latency(steady_ms=ms / 1.02, median_ms=99.0) for ms in features]
    card = check_predictor(predictor, board, specs, measured)
    assert card.errors == pytest.approx([0.02] * 6, abs=2e-4)
