import pytest

from analysis.commands.fronts import figures, fronts, parse_reference
from analysis.errors import AnalysisError
from analysis.read.population import ReadOptions, read_populations
from analysis.statistics.comparison import compare
from tests.analysis.searches import searches


def test_a_reference_point_can_be_given(tmp_path):
    populations = read_populations(searches(tmp_path, 1))
    point = parse_reference("accuracy=0.4, latency_ms=12")
    assert compare(populations, point).reference == {"accuracy": 0.4, "latency_ms": 12}
    for text in ("accuracy", "accuracy=high"):
        with pytest.raises(AnalysisError, match="is not part of a reference point"):
            parse_reference(text)


def test_figures_are_drawn_for_what_is_there(tmp_path):
    paths = searches(tmp_path, 3)
    several = figures(fronts(read_populations(paths), "baselines", []))
    assert set(several) == {"fronts", "progress", "attainment", "published"}
    assert set(figures(fronts(read_populations(paths[:1]), None, []))) == {"fronts", "progress"}
    one = ReadOptions(costs=("latency_ms", "madds"))
    assert set(figures(fronts(read_populations(paths[:1], one), None, []))) == {"progress"}


def test_families_need_a_set_of_published_networks(tmp_path):
    with pytest.raises(AnalysisError, match="add --against baselines"):
        fronts(read_populations(searches(tmp_path, 1)), None, ["MixNet"])
