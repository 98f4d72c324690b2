import pytest

from nas.document import parse_document, read_document
from nas.errors import DocumentError

LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
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
        ("a: " + "[" * 200 + "]" * 200, "too large or too deeply nested|cannot be read"),
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
