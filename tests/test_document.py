import datetime
from typing import Annotated

import pytest
from pydantic import Field

from nas import document
from nas.document import parse_document, read_document, validate
from nas.errors import DocumentError
from tests.fuzzing import mutants, outcomes

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("? [1, 2]\n: 3", "d.yaml:1: a key must be text"),
        ("? {a: 1}\n: 3", "d.yaml:1: a key must be text"),
        ("a: 2001-99-99", "a value cannot be read"),
        ("a: !!int abc", "a value cannot be read"),
        ("a: !!bool abc", "a value cannot be read"),
        ("a: !!timestamp abc", "a value cannot be read"),
        ("a: " + "9" * 5000, "a value cannot be read"),
        ("a: &x {b: *x}", "too large or too deeply nested once aliases are expanded"),
        ("a:\n  b: " + "[" * 5_000 + "]" * 5_000, "d.yaml:2: .*it is nested too deeply"),
        ("a:\n" + "".join(f"{' ' * i}b:\n" for i in range(1, 3_000)), "it is nested too deeply"),
        ("x: " + "[" * 200_000, "it is nested too deeply"),
        (MERGES, "too large or too deeply nested once aliases are expanded"),
        (LAUGHS, "too large or too deeply nested once aliases are expanded"),
        ("a: 1\na: 2", "d.yaml:2: key 'a' appears twice"),
        ("a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("", "the document is empty"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(text, words):
    with pytest.raises(DocumentError, match=words) as caught:
        parse_document(text, "d.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith("d.yaml")


def test_lines_are_known_below_aliases_and_merges():
    text = "a: &x\n  b: 1\nc:\n  - *x\n  - <<: *x\n    d: 2\n"
    document = parse_document(text, "d.yaml")
    assert document.data == {"a": {"b": 1}, "c": [{"b": 1}, {"b": 1, "d": 2}]}
    assert document.lines["a", "b"] == ("d.yaml", 2)
    assert document.lines["c", 0, "b"] == ("d.yaml", 2)
    assert document.problem(("c", 1, "d"), "no") == "d.yaml:6: c[1].d: no"
    assert document.problem(("c", 7, "q"), "no") == "d.yaml:3: c[7].q: no"


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "large.yaml").write_bytes(b"a" * 5_000_000)
    for name, words in (
        ("none.yaml", "no such file"),
        (".", "cannot be read"),
        ("binary.yaml", "cannot be read"),
        ("large.yaml", "larger than"),
    ):
        with pytest.raises(DocumentError, match=words):
            read_document(tmp_path / name)


def test_aliases_take_what_a_document_of_their_size_may_take():
    """A few hundred bytes of YAML took 4 GB."""

    def read(text):
        parse_document(text, "d.yaml")

    assert outcomes(read, [LAUGHS, MERGES, "a: &a [1]\nb: [" + "*a, " * 90 + "]"], 25) == (1, 2)


def test_the_number_of_values_is_bounded(monkeypatch):
    monkeypatch.setattr(document, "MAX_PATHS", 1_000)
    text = "a:\n" + "- 1\n" * 997
    assert len(parse_document(text, "d.yaml").data["a"]) == 997
    with pytest.raises(DocumentError, match=r"d\.yaml:999: .* it has more than 1,000 values"):
        parse_document(text + "- 1\n", "d.yaml")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_document(tmp_path / "a.yaml").data == {"a": 1}


def test_what_has_no_end_is_not_read_to_its_end():
    with pytest.raises(DocumentError, match=r"/dev/zero: the file is larger than"):
        read_document("/dev/zero")


def test_whatever_is_in_a_document_it_is_read_or_refused(tmp_path):
    text = "a: &x {b: [1, 2.5, yes], c: 2001-01-01}\nd:\n- *x\n- <<: *x\n  e: 'f'\n? g\n: {h: i}\n"
    path = tmp_path / "d.yaml"

    def read(raw):
        path.write_bytes(raw)
        read_document(path)

    counts = outcomes(read, [text.encode(), *mutants(text.encode(), 300)], megabytes=30)
    assert counts[0] >= 20
    assert counts[1] >= 50


def test_an_integer_that_python_does_not_write_out_is_told():
    document = parse_document(f"{{a: 0x{'f' * 5000}}}", "x.yaml")
    with pytest.raises(DocumentError, match="found an integer of thousands of digits"):
        validate(dict[str, Annotated[int, Field(le=10)]], document)


def test_plain_data_are_what_json_has():
    found = document.plain_document({1: (2, 3), "when": datetime.date(2026, 1, 2)})
    assert found == {"1": [2, 3], "when": "2026-01-02"}
