import os
import pickle
import pickletools

import numpy as np
import pytest

from nas.data.pickles import plain_content
from nas.errors import MixnasError
from nas.files import parsing
from tests.fuzzing import mutants, outcomes

CONTENT = {
    b"data": np.arange(12, dtype=np.uint8).reshape(3, 4),
    b"labels": [0, 1, 2, 300, 70_000, -1, 1 << 70],
    b"names": [b"ant", b"", "bee", "Käfer"],
    b"other": (1.5, None, True, False, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {"a": [[]]}),
}


@pytest.mark.parametrize("protocol", [1, 2, 3, 4])
def test_arrays_and_plain_values_are_read_as_pickle_reads_them(protocol):
    found = plain_content(pickle.dumps(CONTENT, protocol=protocol))
    assert list(found) == list(CONTENT)
    assert found[b"data"].dtype == np.uint8
    assert found.pop(b"data").tolist() == CONTENT[b"data"].tolist()
    assert found == {key: value for key, value in CONTENT.items() if key != b"data"}


@pytest.mark.parametrize("kind", ["<i8", ">i4", "|b1", "<f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_all_numbers_are_read(kind, order):
    array = np.arange(6).reshape(2, 3).astype(kind, order=order)
    found = plain_content(pickle.dumps({"a": array}, protocol=2))["a"]
    assert (found == array).all()
    assert found.dtype == array.dtype


def test_texts_of_python_2_are_bytes():
    """As in the files that CIFAR is published in."""
    raw = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x06K\x09eT\x04\x00\x00\x00dataU\x02\xff\x00u."
    assert plain_content(raw) == {b"labels": [6, 9], b"data": b"\xff\x00"}


def attack(*instructions):
    return b"\x80\x02}(U\x01a" + b"".join(instructions) + b"u."


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (attack(b"cposix\nsystem\n", b"U\x02ls", b"\x85R"), r"it needs posix\.system"),
        (attack(b"cnumpy\nndarray\n", b"\x8a\x05\0\0\0\0\x40\x85R"), "calls what is no function"),
        (attack(b"(i__main__\nf\n"), "INST"),
        (attack(b"cnumpy\ndtype\n", b"U\x02O8", b"\x85R"), "an array of type 'O8'"),
        (attack(b"cnumpy\ndtype\n", b"(K\x01e", b"\x85R"), "more values than there are|cannot"),
        (attack(b"r\xff\xff\xff\xffK\x01"), None),  # a memo for four billion values
        (attack(b"\x96\0\0\0\0\0\1\0\0"), "BYTEARRAY8|bytearray8|cannot be read"),
        (attack(b"\x8b\xff\xff\xff\x7f"), "cannot be read"),
        (b"\x80\x02" + b"]" * 99 + b"\x85" * 50_000 + b"K\x01s.", "key that is neither"),
        (b"\x80\x02" + b"}" * 200_000 + b".", "has more than 103125 instructions for 200003 bytes"),
        (b"\x80\x02].", "does not contain a dictionary"),
        (b"\x80\x02}", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_what_is_no_array_is_not_let_in(raw, told):
    def read(_):
        with parsing("batch"):
            plain_content(raw)

    if told is None:
        assert outcomes(read, [None], megabytes=1) == (1, 0)
        return
    with pytest.raises(MixnasError, match=told):
        read(None)
    assert outcomes(read, [None], megabytes=15) == (0, 1)


def test_bytes_are_not_made_of_one_text_over_and_over():
    text = "x" * 100_000
    once = pickle.dumps({"a": text.encode()}, protocol=2)
    assert len(plain_content(once)["a"]) == 100_000
    again = (
        b"\x80\x02}(U\x01a]("
        + b"c_codecs\nencode\nq\x00X" + len(text).to_bytes(4, "little") + text.encode() + b"q\x01"
        + b"X\x06\x00\x00\x00latin1q\x02\x86q\x03R"
        + b"h\x00h\x03R" * 50 + b"eu."
    )  # fmt: skip
    assert len(pickle.loads(again)["a"]) == 51  # noqa: S301
    with pytest.raises(pickle.UnpicklingError, match="it makes more bytes than it has"):
        plain_content(again)


def array_of(shape, raw):
    """The pickle of an array, whose shape and bytes may disagree."""
    whole = pickle.dumps({b"a": np.zeros((2, 3), np.uint8)}, protocol=2)
    return whole.replace(b"K\x02K\x03\x86", shape).replace(b"X\x06\0\0\0" + bytes(6), raw)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", "a side that 6 bytes cannot have"),
        (b"K\x02K\x04\x86", r"an array of shape \(2, 4\) in 6 bytes"),
        (b"J\xff\xff\xff\xffJ\xfa\xff\xff\xff\x86", "a side that 6 bytes cannot have"),
        (b"J\x00\xe1\xf5\x05U\x02ab\x86", "a side that 6 bytes cannot have"),
    ],
)
def test_shapes_are_not_believed(shape, told):
    with pytest.raises(pickle.UnpicklingError, match=told):
        plain_content(array_of(shape, b"X\x06\0\0\0" + bytes(6)))


class Command:
    def __reduce__(self):
        return os.mkdir, ("made",)


def test_no_code_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in ({"a": Command()}, {"a": np.array([Command()], object)}):
        for protocol in (2, 4):
            with pytest.raises(pickle.UnpicklingError, match="only arrays of numbers"):
                plain_content(pickle.dumps(content, protocol=protocol))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", [2, 4])
def test_whatever_is_in_a_pickle_it_is_read_or_refused(protocol):
    whole = pickletools.optimize(pickle.dumps(CONTENT, protocol=protocol))

    def read(raw):
        with parsing("batch"):
            plain_content(raw)

    counts = outcomes(read, [whole, *mutants(whole, 300)], megabytes=20)
    assert counts[0] >= 1
    assert counts[1] > 100
