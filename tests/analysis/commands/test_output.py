import io
import sys

import pytest
from matplotlib.figure import Figure
from rich.table import Table

from analysis.commands.output import emit


@pytest.fixture
def result():
    """A result, and the record of what was asked of it."""
    asked = []

    def as_json():
        asked.append("json")
        return '{"a": 1}'

    def show(console):
        asked.append("show")
        console.print("[red]table[/red]")

    def figures():
        asked.append("figures")
        return {"one": Figure()}

    return {"as_json": as_json, "show": show, "figures": figures}, asked


def test_tables_are_printed_without_markup_and_figures_not_drawn(result, capsys):
    functions, asked = result
    emit(**functions)
    assert capsys.readouterr().out == "[red]table[/red]\nfigures: add --out FOLDER\n"
    assert asked == ["show"]


def test_figures_are_written_to_a_folder(result, capsys, tmp_path):
    functions, _ = result
    emit(**functions, out=tmp_path / "f")
    assert capsys.readouterr().out.endswith(f"figures: 2 files in {tmp_path / 'f'}\n")
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["one.png", "one.svg"]


def test_json_is_printed_alone(result, capsys, tmp_path):
    functions, asked = result
    emit(**functions, out=tmp_path, json=True)
    assert capsys.readouterr().out == '{"a": 1}\n'
    assert asked == ["figures", "json"]


def test_tables_fit_an_ascii_terminal(monkeypatch):
    buffer = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(buffer, encoding="ascii"))

    def show(console):
        table = Table("R²", "café :smile:")
        table.add_row("0.5 ± 0.1", "[red]x")
        console.print(table)

    emit(as_json=str, show=show, figures=dict, out=None)
    sys.stdout.flush()
    text = buffer.getvalue().decode("ascii")
    assert "0.5 +- 0.1" in text
    assert "R^2" in text
    assert "caf? :smile:" in text
    assert "[red]x" in text
    assert text.splitlines()[0].startswith("+-")  # borders of ASCII
