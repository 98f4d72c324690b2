"""The networks that a predictor is made from, and their measurement."""

import random

import numpy as np
import pytest

from nas.cost import count
from nas.errors import MixnasError, UnrunnableError
from nas.latency.prediction import fitting
from nas.latency.prediction.fitting import (
    EFFORT,
    check_predictor,
    design,
    draw,
    fit_predictor,
    measure_all,
)
from nas.latency.prediction.kept import KeptLatencies
from nas.limits import parse_limits
from nas.space import load_space, sample
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
    assert [spec.name for spec, _ in found] == names
    assert [measured for _, measured in found] == [noisy, quiet, quiet, noisy]
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
    assert (len(predictor.observations), predictor.card.n) == (10, 5)
    assert [one.trust for one in predictor.observations] == [1.0] * 10
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
    card = check_predictor(predictor, board, list(zip(specs, measured, strict=True)))
    assert card.errors == pytest.approx([0.02] * 6, abs=2e-4)


def test_designed_networks_are_spread_evenly():
    specs = design(SPACE, 9, random.Random(3))
    madds = np.array(sorted(count(spec).madds for spec in specs))
    steps = np.diff(madds) / (madds[-1] - madds[0]) * 8
    assert np.abs(steps - 1).max() < 0.3  # eight steps of the same size
    # They are the extremes of a pool eight times as large, and are measured in no order.
    pool = [sample(SPACE, rng).cost.madds for rng in [random.Random(3)] for _ in range(72)]
    assert (madds[0], madds[-1]) == (min(pool), max(pool))
    assert [count(spec).madds for spec in specs] != sorted(madds)
    tiny = load_space("mixnet")
    assert len(design(tiny, 1, random.Random(0))) == 1


def test_draws_end_where_there_is_nothing_new(monkeypatch):
    drawn = []

    def same(space, rng, number, bounds):
        drawn.append((number, bounds))
        return [sample(space, random.Random(0), bounds)] * number

    monkeypatch.setattr(fitting, "sample_many", same)
    limits = parse_limits(["madds=200M..400M"])
    (only,) = draw(SPACE, 3, random.Random(0), limits)
    assert drawn == [(24, limits)]
    assert draw(SPACE, 3, random.Random(0), without=[only.digest()]) != []
    assert draw(SPACE, 3, random.Random(0), limits, without=[only.digest()]) == []


def test_effort_of_a_fit():
    assert (EFFORT.rounds, EFFORT.seconds, EFFORT.precision) == (12, 0.9, 0.007)


# -- what a fit cannot use, and what it keeps ----------------------------------------------------


class Picky(Board):
    """A board that does not run some of the networks, or is interrupted after some."""

    def __init__(self, refuses=lambda number: False, stops_after=10**9):
        super().__init__()
        self.refuses, self.stops_after, self.asked = refuses, stops_after, []

    def measure(self, spec, effort=None):
        if len(self.asked) >= self.stops_after:
            raise KeyboardInterrupt
        self.asked.append(spec.digest())
        if self.refuses(len(self.asked)):
            raise UnrunnableError("an operator is missing")
        return super().measure(spec, effort)


def test_networks_that_do_not_run_are_left_out():
    board = Picky(lambda number: number in (2, 5, 14))
    predictor = fit_predictor(board, SPACE, 12, random.Random(0), checks=5)
    assert (len(predictor.observations), predictor.card.n) == (10, 4)
    with pytest.raises(MixnasError, match=r"board:cpu runs only 9 of 12 networks of 'mixnet', too"):
        fit_predictor(Picky(lambda number: number > 9), SPACE, 12, random.Random(0))


def test_a_limit_on_latency_is_refused():
    board = Picky()
    with pytest.raises(
        MixnasError, match=r"cannot keep the limit latency <= 4.*limit another cost"
    ):
        fit_predictor(board, SPACE, 12, random.Random(0), limits=parse_limits(["latency=4ms"]))
    assert board.asked == []


def test_an_interrupted_fit_continues(own_cache):
    stopped, continued, whole = Picky(stops_after=14), Picky(), Picky()
    with pytest.raises(KeyboardInterrupt):
        fit_predictor(
            stopped, SPACE, 12, random.Random(0), checks=5, kept=KeptLatencies(stopped, "space")
        )
    kept, steps = KeptLatencies(continued, "space"), []
    predictor = fit_predictor(
        continued,
        SPACE,
        12,
        random.Random(0),
        checks=5,
        kept=kept,
        step=lambda *step: steps.append(step),
    )
    fit_predictor(whole, SPACE, 12, random.Random(0), checks=5)
    assert (len(stopped.asked), len(continued.asked)) == (14, 3)
    assert stopped.asked + continued.asked == whole.asked
    assert steps == [(15, 17), (16, 17), (17, 17)]
    assert (len(predictor.observations), predictor.card.n) == (12, 5)
    kept.clear()
    assert KeptLatencies(continued, "space").get(design(SPACE, 12, random.Random(0))[0]) is None


def test_kept_measurements_that_were_noisy_are_repeated(own_cache):
    device, spec = Board(), load_network("mixnet_s")
    kept = KeptLatencies(device, "space")
    kept.put(spec, latency(noise=("a", "b")))
    again = Scripted(mixnet_s=[latency(noise=("a",)), latency(noise=("a", "b", "c")), latency()])
    ((_, found),) = measure_all(again, [spec], kept=kept)
    assert found == latency()
    assert KeptLatencies(device, "space").get(spec) == latency()


def test_a_network_that_does_not_run_is_not_tried_again_and_ends_nothing(own_cache):
    class Refusing(Scripted):
        def measure(self, spec, effort):
            if spec.name == "mixnet_m":
                self.calls.append(spec.name)
                raise UnrunnableError("no")
            return super().measure(spec, effort)

    device = Refusing(mixnet_s=[latency(noise=("a",))] * 3, mixnet_l=[latency()])
    names = ["mixnet_m", "mixnet_s", "mixnet_l"]
    found = measure_all(device, [load_network(name) for name in names])
    assert [spec.name for spec, _ in found] == ["mixnet_s", "mixnet_l"]
    assert device.calls == [*names, "mixnet_s", "mixnet_s"]
