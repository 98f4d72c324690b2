import io
import json
import sys
import time

import pytest
import typer
from rich.console import Console

from analysis.errors import AnalysisError
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
        (AnalysisError("a table is\ndamaged"), 2, "error: a table is damaged\n"),
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


def test_paragraphs_are_wrapped_at_words_on_a_terminal_alone(capsys, monkeypatch):
    words = "pretrained [weights] " * 12
    cli.print_paragraph(words.strip())
    assert capsys.readouterr().out == words.strip() + "\n"
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cli.print_paragraph(words.strip())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(" ".join(lines).split()) == words.strip()


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


def test_an_examination_that_takes_long_is_announced_where_there_is_no_terminal(monkeypatch):
    text = io.StringIO()
    with cli.examining(Console(file=text, force_terminal=False), "a:cpu") as step:
        step(0, 1)
        step(1, 1)
    assert text.getvalue() == ""  # the device was known
    monkeypatch.setattr(cli, "SOON", 0.01)
    with cli.examining(Console(file=text, force_terminal=False), "a:cpu"):
        deadline = time.monotonic() + 30
        while not text.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert text.getvalue() == "examining a:cpu\n"


NAME = "pets [final] [/] :smile: \x1b[2J\x9b\u202e\udcff"
SHOWN = "pets [final] [/] :smile: \\x1b[2J\\x9b\\u202e\\udcff"


def test_what_a_terminal_would_obey_is_written_out():
    assert cli.visible(NAME) == SHOWN
    assert cli.visible("a\tb\nc\r\x07") == "a\tb\nc\\r\\x07"
    assert cli.visible("Grüße, 日本語 ± 😀") == "Grüße, 日本語 ± 😀"


def test_names_are_shown_as_they_are_in_remarks_tables_and_bars(capsys):
    text = io.StringIO()
    console = cli.PlainConsole(file=text, width=200)
    console.print(f"stopped at {NAME}", soft_wrap=True)
    assert text.getvalue() == f"stopped at {SHOWN}\n"
    cli.print_table(NAME, [NAME, "ms"], [[NAME, "1.00"]], NAME)
    assert capsys.readouterr().out.count(SHOWN) == 4
    shown = io.StringIO()
    terminal = cli.PlainConsole(file=shown, force_terminal=True, width=200)
    with cli.progress_bar(terminal, f"reading {NAME}") as step:
        step(1, 2)
    assert f"reading {SHOWN}" in shown.getvalue()
    cli.print_text(NAME)
    cli.print_text(NAME, error=True)
    assert capsys.readouterr() == (f"{SHOWN}\n", f"{SHOWN}\n")


@pytest.mark.parametrize("end", ["[", "[/]", "[bold", "\\"])
def test_no_name_is_markup(capsys, end):
    cli.print_table(f"runs/a{end}", ["a wide column"], [[f"b{end}"]], f"c{end}")
    shown = capsys.readouterr().out
    assert all(f"{letter}{end}" in shown for letter in ("runs/a", "b", "c"))


def test_errors_hold_no_control_characters_and_one_line_each(capsys, monkeypatch):
    code, _, told = ended(raising(MixnasError(f"{NAME}\x0bmore\u2028still")), capsys, monkeypatch)
    assert (code, told) == (2, f"error: {SHOWN}\\x0bmore\\u2028still\n")
    _, _, told = ended(raising(None), capsys, monkeypatch, "--n", "x\ny\x1b")
    assert told.count("\n") == 1
    assert "\x1b" not in told


def test_a_terminal_without_a_character_shows_its_number(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", out)
    app = cli.new_app("A command.")

    @app.command()
    def command() -> None:
        """Print."""
        cli.print_text("5 ± 1")

    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(SystemExit, match="0"):
        cli.run(app)
    out.flush()
    assert out.buffer.getvalue() == b"5 \\xb1 1\n"
