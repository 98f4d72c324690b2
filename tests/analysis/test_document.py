"""YAML and JSON of others: small files that stand for much, nested ones, and what is not plain."""

import json
import os
import tracemalloc

import pytest

from analysis.document import (
    MOST_BYTES,
    check_regular,
    plain_data,
    read_json,
    read_text,
    read_yaml,
    reason,
)
from analysis.errors import AnalysisError

BILLION = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 10)}]}}\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "document"


@pytest.mark.parametrize("text", [BILLION, MERGES])
def test_aliases_that_stand_for_billions_are_refused_in_little_memory(file, text):
    file.write_text(text, encoding="utf-8")
    assert file.stat().st_size < 600
    tracemalloc.start()
    with pytest.raises(AnalysisError, match="more than 500,000 values"):
        read_yaml(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000_000


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (read_yaml, "[" * 5_000 + "]" * 5_000, "nested more than 50 levels deep"),
        (read_yaml, "[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        (read_json, "[" * 100_000 + "]" * 100_000, "nested more than 50 levels deep"),
        (read_json, "[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        (read_yaml, "a: [", "cannot be read: line 1: "),
        (read_yaml, "a: 2001-99-99", "month must be in 1..12"),
        (read_yaml, "a: \x00", "special characters are not allowed"),
        (read_yaml, "a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        (read_yaml, "a: &a [*a]", "nested more than 50 levels deep"),
        (read_yaml, f"a: 0x{'f' * 5_000}", "an integer of over 100 digits"),
        (read_yaml, f"a: {'9' * 5_000}", "cannot be read: an integer has thousands of digits"),
        (read_yaml, "? [a]\n: 1", "cannot be read: "),
        (read_json, "{", "not valid JSON"),
        (read_json, '{"a": 1' + "0" * 100 + "}", "an integer of over 100 digits"),
    ],
)
def test_what_cannot_be_read_is_one_line(file, read, text, said):
    file.write_text(text, encoding="utf-8")
    with pytest.raises(AnalysisError, match=said) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file} cannot be read: ")
    assert "\n" not in str(caught.value)


def test_plain_data_stay_as_they_are_and_anything_else_becomes_text(file):
    file.write_text("a: [1, 2.5, null, true, '\\x1b']\nb: 2020-01-02\n3: \"\\x1b[2J\"", "utf-8")
    assert read_yaml(file) == {
        "a": [1, 2.5, None, True, "\\x1b"],
        "b": "2020-01-02",
        "3": "\ufffd[2J",
    }
    file.write_text(json.dumps({"\x1b": ["\x1b[2J", "\ud800"]}), encoding="utf-8")
    assert read_json(file) == {"\ufffd": ["\ufffd[2J", "\ufffd"]}
    file.write_text("", encoding="utf-8")
    assert read_yaml(file) is None
    assert plain_data({"a": (1, {2})}, file) == {"a": [1, "{2}"]}


def test_files_are_read_up_to_a_size(file):
    file.write_bytes(b"x" * MOST_BYTES)
    assert len(read_text(file)) == 4_000_000
    file.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(AnalysisError, match="it has more than 4,000,000 bytes"):
        read_text(file)
    with pytest.raises(AnalysisError, match="it has more than 3 bytes"):
        read_json(file, 3)
    file.write_bytes(b"\xff")
    with pytest.raises(AnalysisError, match=r"cannot be read: .*utf-8"):
        read_text(file)


def test_only_regular_files_are_read(tmp_path):
    with pytest.raises(AnalysisError, match="is not a file"):
        read_yaml(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for read in (read_text, check_regular):
        with pytest.raises(AnalysisError, match="pipe cannot be read: it is not a file"):
            read(tmp_path / "pipe")
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "absent")


def test_a_reason_is_one_line():
    assert reason(ValueError("one\ntwo")) == "one"
    assert reason(ValueError()) == "ValueError"
    assert reason(OSError(28, "No space left on device", "file")) == "No space left on device"
    assert reason(ValueError("\x1b[2J")) == "\ufffd[2J"
