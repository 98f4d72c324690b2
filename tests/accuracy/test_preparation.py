import io

import pytest

from nas.accuracy.preparation import prepare_estimator
from nas.cli import PlainConsole
from nas.progress import ProgressLines
from nas.testing.fakes import Instant


class Prepared(Instant):
    def __init__(self, error=None):
        super().__init__()
        self.error = error

    def prepare(self, step=None):
        for done in (1, 2, 3):
            step(done, 3)
        if self.error is not None:
            raise self.error
        return ["one remark with [brackets]", "another"]


def output(estimator, terminal=False):
    console = PlainConsole(file=io.StringIO(), force_terminal=terminal, color_system=None)
    prepare_estimator(estimator, "reading [16] images", console)
    return console.file.getvalue()


def test_without_a_terminal_the_work_is_announced_once():
    assert output(Prepared()).splitlines() == [
        "reading [16] images",
        "one remark with [brackets]",
        "another",
    ]


def test_on_a_terminal_the_remarks_follow_the_bar():
    shown = output(Prepared(), terminal=True)
    assert "3/3" in shown
    assert shown.endswith("one remark with [brackets]\nanother\n")


def test_an_estimator_with_nothing_to_prepare_is_left_alone():
    assert output(Instant()) == ""


def test_an_interruption_says_how_to_continue():
    console = PlainConsole(file=io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        prepare_estimator(Prepared(KeyboardInterrupt()), "reading images", console)
    assert "stopped reading images; repeat the command to continue" in console.file.getvalue()


def test_long_work_is_told_of_now_and_then_without_a_terminal(monkeypatch):
    """A line at its beginning, then one for each half minute."""
    now = iter(range(0, 10_000, 20))  # each look at the clock is 20 seconds later
    monkeypatch.setattr("nas.cli.ProgressLines", lambda *a: ProgressLines(*a, lambda: next(now)))
    shown = output(Prepared()).splitlines()
    assert shown[0] == "reading [16] images"
    assert shown[1] == "reading [16] images: 2 of 3, about 0:00:20 left"
    assert shown[2:] == ["one remark with [brackets]", "another"]
