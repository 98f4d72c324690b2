import pandas as pd
import pytest

from analysis.figures.training import MARKED, curves_figure


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
