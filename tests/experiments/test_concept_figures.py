"""Figures of the concepts show what was recorded."""

from experiments.benchmark_lines import recorded
from experiments.concept_figures import (
    BENCHMARK,
    ESTIMATORS,
    RUNTIMES,
    depthwise,
    estimators,
    samplers,
)


def test_a_line_for_each_runtime_has_its_times():
    (axes,) = depthwise().axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines == {
        runtime: list(recorded(name)["depthwise_ms"].values()) for runtime, name in RUNTIMES.items()
    }
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "11x11"


def test_every_sampler_is_shown_in_percent():
    (axes,) = samplers().axes
    shares = recorded("samplers")["problems"][BENCHMARK]["shares"]
    drawn = {bars.get_label(): bars.lines[0].get_ydata() for bars in axes.containers}
    assert set(drawn) == set(shares)
    assert list(drawn["random"]) == [100 * mean for mean in shares["random"]["mean"]]


def test_every_estimator_is_shown_with_both_of_its_intervals():
    (axes,) = estimators().axes
    cards = recorded("ranking")["cards"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    scores = {label: cards[name]["rankings"][0] for name, label in ESTIMATORS.items()}
    assert set(names) == set(scores)
    for bars, key in zip(axes.containers, ("tau", "band"), strict=True):
        assert list(bars.lines[0].get_xdata()) == [scores[name][key]["value"] for name in names]
    overall = [scores[name]["tau"]["value"] for name in names]
    assert overall == sorted(overall)
