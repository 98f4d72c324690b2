import math

import pandas as pd
import pytest

from analysis.read.devices import table_on
from analysis.statistics.devices import (
    LOSS_TITLES,
    OBJECTIVES,
    device_losses,
    loss_rows,
    loss_sentence,
)
from analysis.statistics.fronts import pareto_front

TABLE = pd.DataFrame(
    {
        "number": [0, 1, 2, 3],
        "score": [0.9, 0.8, 0.7, 0.6],
        "latency_ms@a": [4.0, 3.0, 2.0, 1.0],
        "latency_ms@b": [8.0, 2.0, 3.0, 4.0],
    }
)


def losses(limits=None, winners=None, table=TABLE):
    """The losses of two devices with upper limits on latency."""
    limits = {"a": math.inf, "b": math.inf, **(limits or {})}
    seen = {device: table_on(table, device) for device in limits}
    admitted = {d: t[t["latency_ms"] <= limits[d]] for d, t in seen.items()}
    fronts = {d: pareto_front(t, OBJECTIVES) for d, t in admitted.items()}
    best = {d: int(t["number"].iloc[0]) for d, t in admitted.items() if len(t)}
    return device_losses(table, fronts, admitted, winners or best)


def test_the_most_accurate_network_loses_nothing_where_there_is_no_limit():
    one, two = losses()
    assert (one.device, one.other, two.device, two.other) == ("a", "b", "b", "a")
    assert (one.number, one.latency_ms, one.within) == (0, 8.0, True)
    assert (one.slowdown, one.score_loss, one.faster, one.better) == (1.0, 0.0, 0, 0)
    assert "no network for it is as good and faster" in loss_sentence(one, True)


def test_fronts_lose_where_devices_rank_networks_differently():
    one, two = losses()
    # All four are on a's front, and b's front has the two that are as fast as any of their score.
    assert (one.kept, one.shared) == (1.0, 2)
    assert two.shared == 2
    assert 0 < two.kept < 1
    area = (0.9 - 0.57) * (4.3 - 4) + (0.8 - 0.57) * (4 - 3)
    whole = area + (0.7 - 0.57) * (3 - 2) + (0.6 - 0.57) * (2 - 1)
    assert two.kept == pytest.approx(area / whole)


def test_a_network_that_breaks_the_limit_of_the_other_device():
    (one, _) = losses(limits={"b": 5.0})
    assert (one.number, one.within, one.latency_ms) == (0, False, 8.0)
    assert math.isnan(one.slowdown)
    assert (one.better, one.score_loss) == (1, pytest.approx(-0.1))
    assert loss_sentence(one, True).startswith(
        "trial_0, the best for a, takes 8.00 ms on b, which breaks the limit there; the best "
        "network within it, trial_1, scores 10.0 points lower. The front of a reaches 100%"
    )


def test_a_network_that_another_one_beats_on_the_other_device():
    one = losses(winners={"a": 2})[0]
    assert (one.slowdown, one.faster) == (1.5, 1)
    assert (one.better, one.score_loss) == (1, pytest.approx(0.1))
    words = loss_sentence(one, True)
    assert "takes 3.00 ms on b; 1.50 times as long as trial_1, as good; 10.0 points below" in words
    assert "0.1 below trial_1, as fast" in loss_sentence(one, False)
    (row,) = loss_rows([one], True)
    assert len(row) == len(LOSS_TITLES)
    assert row[:7] == [
        "a",
        "b",
        "trial_2",
        "3.00",
        "yes",
        "1.50 (trial_1)",
        "10.0 points (trial_1)",
    ]


def test_a_network_without_a_latency_there():
    table = TABLE.assign(**{"latency_ms@b": [float("nan"), 2.0, 3.0, 4.0]})
    one = losses(table=table, winners={"a": 0})[0]
    assert loss_sentence(one, True) == "trial_0, the best for a, has no latency on b."
    assert loss_rows([one], True)[0][3:7] == ["-", "no", "-", "-"]


def test_a_device_that_admits_nothing_has_no_front_to_reach():
    one = losses(limits={"b": 0.0}, winners={"a": 0})[0]
    assert (one.faster, one.better, one.shared, one.within) == (None, None, 0, False)
    assert math.isnan(one.kept)
    assert loss_sentence(one, True).endswith("8.00 ms on b, which breaks the limit there.")
