import numpy as np

from analysis.figures.chain import chain_figure
from analysis.schema import ERROR
from analysis.statistics.distributions import edf


def curves(number):
    rng = np.random.default_rng(0)
    return {f"space {i}": edf(0.5 - 0.02 * i + 0.05 * rng.random(20)) for i in range(number)}


def test_every_space_is_drawn_beside_the_one_before():
    figure = chain_figure(curves(5), ERROR)
    panels = figure.axes
    assert len(panels) == 4
    for i, axes in enumerate(panels):
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [text.partition(":")[0] for text in texts] == [f"space {i}", f"space {i + 1}"]
        xs, ys = axes.lines[1].get_data()
        expected = curves(5)[f"space {i + 1}"]
        np.testing.assert_allclose(xs[1:], 100 * expected.errors)  # in percent
        np.testing.assert_allclose(ys[1:], expected.shares)


def test_one_space_is_no_chain():
    assert chain_figure(curves(1), ERROR) is None
