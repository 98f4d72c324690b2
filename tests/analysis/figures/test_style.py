import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.figures.style import (
    PALETTE,
    colours,
    entry,
    legend,
    legible,
    limit_lines,
    name_vertical,
    save,
    save_all,
    single,
    without_rest,
)


def test_a_figure_is_written_in_every_format(tmp_path):
    figure, axes = single(2.0, 3.0)
    axes.plot([0, 1], [0, 1])
    paths = save(figure, tmp_path / "a.b")
    assert paths == [tmp_path / "a.b.svg", tmp_path / "a.b.png"]
    assert matplotlib.image.imread(paths[1]).shape[:2] == (240, 360)  # 120 dots per inch
    assert "<dc:date>" not in paths[0].read_text(encoding="utf-8")


def test_files_are_the_same_every_time(tmp_path):
    def draw():
        figure, axes = single(2.0, 3.0)
        axes.plot([0, 1], [0, 1])
        (path,) = save(figure, tmp_path / "f", ("svg",))
        return path.read_bytes()

    assert draw() == draw()


def test_figures_are_written_to_a_new_folder(tmp_path):
    figures = {"one": Figure(), "two": Figure()}
    paths = save_all(figures, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == ["one.svg", "one.png", "two.svg", "two.png"]
    assert all(path.stat().st_size for path in paths)


def test_colors_repeat_after_the_palette():
    names = [f"n{i}" for i in range(len(PALETTE) + 1)]
    found = colours(names)
    assert found["n0"] == found[names[-1]] == PALETTE[0]
    assert len(set(found.values())) == len(PALETTE)


@pytest.mark.parametrize(
    ("bound", "places"), [(None, []), ((None, 8.0), [0.8]), ((3.0, 8.0), [0.3, 0.8])]
)
def test_every_end_of_a_limit_is_a_line(bound, places):
    for way in ("x", "y"):
        _, axes = single()
        limit_lines(axes, bound, 0.1, way)
        lines = [(line.get_xdata() if way == "x" else line.get_ydata()) for line in axes.lines]
        assert [line[0] for line in lines] == pytest.approx(places)
        assert axes.get_legend_handles_labels()[1] == ["limit"] * bool(places)
        assert np.ravel([line.get_xdata() for line in axes.lines]).size == 2 * len(places)


@pytest.mark.parametrize(
    ("places", "chosen"),
    [
        ([], []),
        ([[0, 0], [9, 0], [10, 0]], [0, 2]),  # the second overlaps the first
        ([[0, 0], [9, 0.5], [1, 0.4]], [0, 1]),  # overlap is in both directions
        ([[5, 5], [5, 5]], [0]),
    ],
)
def test_earlier_labels_take_precedence(places, chosen):
    array = np.array(places, dtype=float).reshape(-1, 2)
    assert legible(array, [100.0, 1.0], (0.1, 0.5)) == chosen


def test_a_dollar_begins_no_formula(tmp_path):
    name = r"a $\frac$ b $x_{$"
    figure, axes = single(2.0, 3.0)
    axes.plot([0, 1], [0, 1], label=entry(name))
    axes.set_xticks([0, 1], [name, name])
    axes.set_title(name)
    axes.annotate(name, (0, 0))
    legend(axes)
    svg, png = save(figure, tmp_path / "f")
    assert svg.read_text(encoding="utf-8").count(r"<!-- a $\frac$ b $x_{$ -->") >= 4
    assert png.stat().st_size


def test_names_that_begin_with_an_underscore_are_in_the_legend():
    _, axes = single()
    for name in ("_mine", "theirs"):
        axes.plot([0, 1], [0, 1], label=entry(name))
    legend(axes)
    assert [text.get_text().strip() for text in axes.get_legend().texts] == ["_mine", "theirs"]


def test_the_lowest_panel_of_each_column_is_numbered():
    figure = Figure()
    grid = figure.subplots(2, 3, sharex=True, squeeze=False)
    without_rest(grid, 4)
    assert figure.axes == list(grid.ravel()[:4])
    figure.draw_without_rendering()
    numbered = [any(t.label1.get_visible() for t in a.xaxis.get_major_ticks()) for a in figure.axes]
    assert numbered == [False, True, True, True]
    single = Figure().subplots(1, 1, squeeze=False)
    without_rest(single, 1)
    assert single.ravel()[0].get_figure() is not None


def test_a_name_too_long_for_a_low_panel_takes_two_lines():
    name = "accuracy with shared weights at 36 px (%)"
    _, low = single(height=3.2)
    name_vertical(low, name)
    assert low.get_ylabel().replace("\n", " ") == name
    assert low.get_ylabel().count("\n") == 1
    _, high = single(height=4.4)
    name_vertical(high, name)
    assert high.get_ylabel() == name
