import pandas as pd
import pytest

from analysis.figures.style import PALETTE
from analysis.figures.training import MARKED, comparison_figure, curves_figure


def log(epochs):
    return pd.DataFrame(
        {
            "epoch": range(1, epochs + 1),
            "train_loss": 2.0,
            "validation_loss": 1.5,
            "train_accuracy": 0.25,
            "validation_accuracy": 0.5,
        }
    )


def test_curves_are_loss_and_accuracy_in_percent():
    figure = curves_figure(log(3), "mixnet_s")
    loss, accuracy = figure.axes
    assert [line.get_ydata()[0] for line in loss.get_lines()] == [2.0, 1.5]
    assert [line.get_ydata()[0] for line in accuracy.get_lines()] == [25, 50]
    assert [line.get_label() for line in loss.get_lines()] == ["training (augmented)", "validation"]
    assert accuracy.get_ylabel() == "accuracy (%)"
    assert figure.get_suptitle() == "mixnet_s"


@pytest.mark.parametrize(("epochs", "marker"), [(MARKED - 1, "o"), (MARKED, "None")])
def test_long_curves_have_no_markers(epochs, marker):
    line = curves_figure(log(epochs), "n").axes[0].get_lines()[0]
    assert line.get_marker() == marker


def compared(count, epochs=3):
    names = [f"net_{number}" for number in range(count)]
    table = pd.DataFrame(
        {"network": names, "madds": [3e6 * 2**number for number in range(count)], "top1": 0.75}
    )
    return comparison_figure(table, {name: log(epochs) for name in names})


def test_networks_are_compared_by_madds_and_over_the_epochs():
    figure = compared(3)
    points, curves = figure.axes
    assert [line.get_xydata().tolist() for line in points.get_lines()] == [
        [[3, 75]],
        [[6, 75]],
        [[12, 75]],
    ]
    assert points.get_xscale() == "log"
    assert (points.get_xlabel(), points.get_ylabel()) == ("MAdds (M)", "test accuracy (%)")
    assert [line.get_xydata().tolist() for line in curves.get_lines()] == [
        [[1, 50], [2, 50], [3, 50]]
    ] * 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["net_0", "net_1", "net_2"]


def test_ticks_of_a_logarithmic_axis_are_numbers():
    figure = compared(3)
    figure.draw_without_rendering()
    shown = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert {"5", "10"} <= set(shown)
    assert all(text.isdecimal() for text in shown if "." not in text)


def test_no_two_of_twenty_networks_look_alike():
    figure = compared(20, epochs=MARKED)
    looks = [
        [(line.get_color(), line.get_marker()) for line in axes.get_lines()] for axes in figure.axes
    ]
    assert looks[0] == looks[1]
    assert len(set(looks[0])) == 20 > len(PALETTE)
    assert {tuple(line.get_markevery()) for line in figure.axes[1].get_lines()} == {(-1,)}


def test_a_single_network_is_drawn():
    assert len(compared(1).axes[0].get_lines()) == 1


def test_a_single_epoch_has_a_whole_number():
    single = {"net_0": log(1)}
    table = pd.DataFrame({"network": ["net_0"], "madds": [3e6], "top1": 0.75})
    for figure in (curves_figure(log(1), "n"), comparison_figure(table, single)):
        figure.draw_without_rendering()
        axes = figure.axes[1]
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
