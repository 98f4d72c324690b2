"""What is read of pytest's last line, and the command that is run."""

import pytest

from experiments.benchmarks.python_versions import command, counts
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("6884 passed, 61 skipped in 874.34s (0:14:34)", (6884, 61, 0, 0)),
        ("= 2 failed, 7 passed, 1 warning, 1 error in 3.21s =", (7, 0, 2, 1)),
        ("7 passed, 2 errors in 3.21s", (7, 0, 0, 2)),
    ],
)
def test_the_last_line_is_read(line, expected):
    found = counts(f"....\n3 passed in 1.00s\nmore\n{line}\nexit\n")
    assert tuple(found.values()) == expected


def test_tests_without_an_end_are_no_result():
    with pytest.raises(SystemExit, match=r"did not come to their end:\n\.\.\.\."):
        counts("....")


def test_the_command_is_the_readmes():
    made = command(ROOT, "python3.13")
    assert made.startswith("python3.13 -m venv .venv && ")
    assert "pip install -c constraints.txt -e '.[dev]' && python -m pytest " in made
    assert made.endswith(" -m 'not slow'")
