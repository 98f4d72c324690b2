import numpy as np
import pytest

from analysis.figures.mixconv_paper import (
    PopulationOverlay,
    _large_share,
    _slope,
    published,
    published_figures,
)
from analysis.read.architectures import parse_architecture


def overlay(madds=None):
    lines = ["ir_k3_c8 | ir_k3_c16", "ir_k3_c8 | ir_k3.9_c16", "ir_k3_c8 | ir_k9_c16"]
    return PopulationOverlay(
        name="mine",
        networks=[parse_architecture(line) for line in lines],
        quality=np.array([70.0, 72.0, 74.0]),
        label="accuracy (%)",
        madds=madds,
    )


def test_the_points_are_the_papers():
    data = published()
    assert "1907.09595" in data["source"]
    figures = published_figures()
    assert sorted(figures) == [f"mixconv_figure_{number}" for number in (1, 4, 5, 6)]
    first, second = figures["mixconv_figure_1"].axes
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == (
        "MobileNetV1",
        "MobileNetV2",
    )
    (line,) = second.get_lines()
    assert list(line.get_xdata()) == data["figure_1"]["kernel"]
    assert max(line.get_ydata()) == 74.13


def test_curves_are_labeled_in_words():
    for name in ("mixconv_figure_4", "mixconv_figure_6"):
        axes = published_figures()[name].axes[0]
        labels = [text.get_text() for text in axes.get_legend().texts]
        assert labels
        assert set(labels) <= {"single kernel size", "MixConv", "exponential split", "dilated"}


def test_a_population_has_axes_of_its_own():
    figures = published_figures(overlay())
    own = figures["mixconv_figure_1"].axes[2]
    assert own.collections[0].get_offsets().tolist() == [[3, 70], [4.5, 72], [6, 74]]
    assert own.get_title(loc="left") == "mine"
    assert len(figures["mixconv_figure_4"].axes) == 2  # no MAdds are known
    madds = np.array([1e8, 2e8, 3e8])
    curve = published_figures(overlay(madds))["mixconv_figure_4"].axes[2]
    assert curve.collections[0].get_offsets().tolist() == [[100, 70], [200, 72], [300, 74]]
    assert list(curve.collections[0].get_array()) == [1, 1.5, 1]


def test_slopes_are_by_stage():
    axes = published_figures(overlay())["mixconv_figure_5"].axes[1]
    heights = [bar.get_height() for bar in axes.patches]
    assert np.isnan(heights[0])  # the first stage is the same in all networks
    assert heights[1] == pytest.approx(4.0)  # 70 without large kernels, 74 with nothing else


def test_shares_count_kernels_from_7x7():
    (network,) = [parse_architecture("ir_k3.5.7.9_c8 ir_k5_c8 | ir_k7_c8")]
    assert _large_share(network, 0) == pytest.approx(0.25)
    assert _large_share(network, 1) == 1
    assert np.isnan(_large_share(network, 2))


@pytest.mark.parametrize("x", [[1.0, 2.0], [1.0, 1.0, 1.0]])
def test_a_line_needs_three_points_that_differ(x):
    assert np.isnan(_slope(np.array(x), np.arange(float(len(x))))).all()
