"""Figures of the concepts show what was recorded."""

from experiments.benchmark_lines import recorded
from experiments.concept_figures import BENCHMARK, RUNTIMES, depthwise, samplers


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
