import numpy as np
import pytest

from analysis.figures.kernels import kernel_colours, kernel_figure, staircase_figure
from analysis.read.architectures import parse_architecture
from analysis.statistics.kernel_use import kernel_use


@pytest.fixture
def use():
    """Six networks of two stages; the better half has 9x9 kernels in the second stage."""
    lines = [f"ir_k3_c8 | ir_k{late}_c16" for late in ("9", "9", "3.9", "3", "3", "3")]
    return kernel_use([parse_architecture(line) for line in lines], range(6), good=0.5)


def test_bars_are_the_shares_of_kernel_sizes(use):
    shares, kernel, _ = kernel_figure(use).axes
    heights = [bar.get_height() for bar in shares.patches]
    # For the best and for all others: the shares of 3x3 by stage, then those of 9x9.
    assert heights == pytest.approx([1, 1 / 6, 0, 5 / 6, 1, 1, 0, 0])
    assert [text.get_text() for text in shares.get_legend().texts] == ["3x3", "9x9"]
    assert "best 3" in shares.get_xlabel()
    assert [label.get_text() for label in shares.get_xticklabels()] == ["1", "2"]
    (bars,) = kernel.containers
    (others,) = [line for line in kernel.get_lines() if line.get_label() == "others"]
    best = bars[0]
    assert list(best.get_ydata()) == pytest.approx([3, 8])
    assert list(others.get_ydata()) == pytest.approx([3, 3])


def test_larger_kernels_are_darker():
    colors = kernel_colours([3, 5, 7])
    brightness = [float(np.sum(colors[size][:3])) for size in (3, 5, 7)]
    assert brightness == sorted(brightness, reverse=True)


def test_a_block_is_divided_into_its_kernel_groups():
    blocks = parse_architecture("ir_k3_s2_c8 | ir_k3.5.7_s1_c24")
    figure = staircase_figure([("one", blocks), ("two", blocks[:1]), ("three", blocks)])
    assert len(figure.axes) == 3  # the fourth panel is removed
    axes = figure.axes[2]
    bars = [(bar.get_y(), bar.get_height()) for bar in axes.patches]
    assert bars == [(0, 8), (0, 8), (8, 8), (16, 8)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", ""]
    (boundary,) = axes.get_lines()
    assert boundary.get_xdata()[0] == 0.5
    assert axes.get_title(loc="left") == "three"
