"""The container of an ncnn model, and what its text claims."""

import struct

import numpy as np
import pytest

from nas.errors import UnrunnableError
from nas.formats.ncnn_graph import NcnnGraph, NcnnModel


def graph():
    found = NcnnGraph()
    found.add("Input", "x", [], {0: 4, 1: 5, 2: 3})
    a, b = found.copies("x", 2, "both")
    found.add("BinaryOp", "sum", [a, b], {0: 0})
    return found


MODEL = NcnnModel("7767517\n1 1\nInput x 0 1 x 0=4 1=5 2=3\n", b"\x01\x02\x03")


def test_blobs_have_one_consumer_each():
    assert graph().model("sum", "out").param.splitlines() == [
        "7767517",
        "3 4",
        "Input x 0 1 x 0=4 1=5 2=3",
        "Split both 1 2 x both_0 both_1",
        "BinaryOp sum 2 1 both_0 both_1 out 0=0",
    ]
    assert graph().copies("x", 1, "one") == ["x"]


def test_weights_are_float32_with_and_without_their_flag():
    found = graph()
    assert found.weights(np.array([[1.5, -2]]), flagged=True) == 2
    assert found.weights(np.array([3]), flagged=False) == 1
    assert found.model("sum", "out").weights == struct.pack("<Ifff", 0, 1.5, -2, 3)


def test_a_container_holds_both_files():
    packed = MODEL.packed()
    assert packed[:24] == b"mixncnn1" + struct.pack("<QQ", len(MODEL.param), 3)
    assert NcnnModel.unpacked(packed) == MODEL
    assert MODEL.image_shape() == (3, 5, 4)


def packed(param, weights=b""):
    return NcnnModel(param, weights).packed()


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (b"mixncnn1", "no ncnn model: it is too short"),
        (b"other" * 9, "no ncnn model: it does not begin with b'mixncnn1'"),
        (MODEL.packed()[:-1], r"damaged: it has 64 bytes, not 65"),
        (MODEL.packed() + b"x", r"damaged: it has 66 bytes, not 65"),
        (b"mixncnn1" + struct.pack("<QQ", 2**63, 2**63), "damaged: it has 24 bytes, not 18446744"),
        (b"mixncnn1" + struct.pack("<QQ", 1, 0) + b"\xff", "its layers are not ASCII text"),
        (packed(""), "its text does not begin as ncnn's does"),
        (packed("7767517\n1\nInput x 0 1 x\n"), "its text does not begin as ncnn's does"),
        (packed("7767517\n-1 1\nInput x 0 1 x\n"), "its text does not begin as ncnn's does"),
        (packed("7767517\n1 1\nInput x 0 1 \0x\n"), "its layers are not ASCII text"),
        (packed("7767517\n9 1\nInput x 0 1 x\n"), "claims 9 layers and 1 blobs, but has 1 and 1"),
        (packed("7767517\n1 999999999\nInput x 0 1 x\n"), "999999999 blobs, but has 1 and 1"),
        (packed(f"7767517\n1 {'9' * 5000}\nInput x 0 1 x\n"), "does not begin as ncnn's does"),
        (packed("7767517\n1 0000000001000000000\nInput x 0 1 x\n"), "does not begin as"),
        (packed("7767517\n1 2\nInput x 0 2 x\n"), "more inputs and outputs than it names"),
        (packed("7767517\n1 1\nInput x 0\n"), "more inputs and outputs than it names"),
        (packed("7767517\n1 0\nInput x 0 1 x\n"), "and 0 blobs"),
    ],
)
def test_what_is_damaged_is_refused(container, message):
    with pytest.raises(UnrunnableError, match=message):
        NcnnModel.unpacked(container)


@pytest.mark.parametrize(
    "layers",
    ["", "Input x 0 1 x 0=4 1=5", "Input x 0 1 x 0=4 1=5 2=-3", "Input x 0 1 x 0=0 1=5 2=3",
     "Input x 0 1 x 0=4 1=5 2=3\nInput y 0 1 y 0=4 1=5 2=3"],
)  # fmt: skip
def test_images_of_no_fixed_size_are_refused(layers):
    model = NcnnModel(f"7767517\n1 1\n{layers}\n", b"")
    with pytest.raises(UnrunnableError, match="one input with fixed channels, height and width"):
        model.image_shape()
