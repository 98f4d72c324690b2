import io
import json

import pytest
import typer
from rich.console import Console

from nas import cli
from nas.errors import MixnasError


def ended(app, capsys, monkeypatch, *words):
    """Run an application; return its exit code and what it wrote."""
    monkeypatch.setattr("sys.argv", ["command", *words])
    with pytest.raises(SystemExit) as exit_:
        cli.run(app)
    written = capsys.readouterr()
    return exit_.value.code, written.out, written.err


def raising(error):
    app = cli.new_app("A command.")

    @app.command()
    def command(n: int = 3) -> None:
        """Do something."""
        if error is not None:
            raise error
        print(n)

    return app


def test_results_go_to_standard_output(capsys, monkeypatch):
    assert ended(raising(None), capsys, monkeypatch, "--n", "7") == (0, "7\n", "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MixnasError("one\ntwo"), 2, "error: one\nerror: two\n"),
        (KeyboardInterrupt(), 130, ""),
        (OSError(28, "No space left on device"), 2, "error: [Errno 28] No space left on device\n"),
        (typer.Exit(130), 130, ""),
    ],
)
def test_a_users_mistake_ends_with_one_line_and_a_code(capsys, monkeypatch, error, code, message):
    assert ended(raising(error), capsys, monkeypatch) == (code, "", message)


def test_a_wrong_option_is_one_line(capsys, monkeypatch):
    code, out, err = ended(raising(None), capsys, monkeypatch, "--n", "x")
    assert (code, out) == (2, "")
    assert err.startswith("error: Invalid value for '--n'")
    assert err.count("\n") == 1


def test_json_has_no_numbers_that_json_lacks(capsys):
    cli.print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}
    with pytest.raises(ValueError, match="JSON compliant"):
        cli.print_json({"a": float("nan")})


def test_tables_align_numbers_and_read_no_markup(capsys):
    cli.print_table(
        "Title", ["name", "ms"], [["[red]a", "1.00"], ["b", "12.00"], ["c", "-"]], "[b] caption"
    )
    shown = capsys.readouterr().out
    assert "[red]a" in shown
    lines = [line for line in shown.splitlines() if "00" in line]
    assert [line.rstrip(" │").endswith("00") for line in lines] == [True, True]


def test_a_bar_shows_nothing_where_there_is_no_terminal():
    text = io.StringIO()
    with cli.progress_bar(Console(file=text, force_terminal=False), "working") as step:
        step(1, 2)
    assert text.getvalue() == ""


def test_a_bar_appears_with_the_first_step_on_a_terminal():
    text = io.StringIO()
    with cli.progress_bar(Console(file=text, force_terminal=True, width=80), "working") as step:
        assert "working" not in text.getvalue()
        step(1, 2)
        assert "working" in text.getvalue()
        assert "1/2" in text.getvalue()
