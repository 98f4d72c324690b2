from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from nas.blocks.fields import (
    KERNEL_SIZES,
    ActivationName,
    Channels,
    Groups,
    GroupWidth,
    Kernel,
    Kernels,
    Ratio,
    SERatio,
    Stride,
    later,
)


def read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("written", "kernels"),
    [
        (5, (5,)),
        ([3, 5], (3, 5)),
        ("3.5.7", (3, 5, 7)),
        ("9", (9,)),
        ([3, 3, 3], (3,)),  # groups of one size are one kernel
        ([3, 3, 5], (3, 3, 5)),
        ([5, 3], (5, 3)),  # the order is kept
    ],
)
def test_forms_of_kernels(written, kernels):
    assert read(Kernels, written) == kernels


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (4, "kernel size 4 is not supported; allowed: 1, 3, 5, 7, 9, 11, 13"),
        ([], "0 kernel groups; allowed: 1 to 5 groups"),
        ([3, 5, 7, 9, 11, 13], "6 kernel groups; allowed: 1 to 5 groups"),
        (True, "valid tuple"),
        ([True], "valid integer"),
        ("3.x", "'3.x' is not a mix of kernels; write one such as"),
        (3.4, "kernel size 4 is not supported"),
    ],
)
def test_other_kernels_are_refused(written, words):
    with pytest.raises(ValidationError, match=words):
        read(Kernels, written)


@pytest.mark.parametrize(
    ("kind", "lowest", "highest"),
    [(Channels, 1, 16384), (Stride, 1, 2), (Groups, 1, 8), (GroupWidth, 1, 1024)],
)
def test_whole_numbers_have_bounds(kind, lowest, highest):
    assert (read(kind, lowest), read(kind, highest)) == (lowest, highest)
    for value in (lowest - 1, highest + 1, 1.5, True, "1"):
        with pytest.raises(ValidationError):
            read(kind, value)


def test_whole_ratios_are_integers():
    assert type(read(Ratio, 6.0)) is int
    assert type(read(Ratio, 2.5)) is float
    assert type(read(SERatio, 0.0)) is int
    assert TypeAdapter(Ratio).dump_json(6) == b"6"


@pytest.mark.parametrize(
    ("kind", "value"), [(Ratio, 0), (Ratio, 16.5), (SERatio, -0.1), (SERatio, 1.01)]
)
def test_ratios_outside_their_bounds_are_refused(kind, value):
    with pytest.raises(ValidationError):
        read(kind, value)
    assert read(Ratio, 16) == 16
    assert read(SERatio, 1) == 1


def test_kernels_and_activations_are_those_that_are_known():
    assert [read(Kernel, size) for size in KERNEL_SIZES] == [1, 3, 5, 7, 9, 11, 13]
    assert read(ActivationName, "mish") == "mish"
    with pytest.raises(ValidationError, match="'relu', 'relu6', 'swish'"):
        read(ActivationName, "tanh")


def test_fields_that_came_later_are_written_only_where_they_are_not_at_their_default():
    @dataclass
    class Record:
        old: int = 1
        new: Annotated[tuple[int, ...], later(())] = ()

    adapter = TypeAdapter(Record)
    assert adapter.dump_python(Record(), mode="json") == {"old": 1}
    assert adapter.dump_python(Record(new=(2,)), mode="json") == {"old": 1, "new": [2]}
    assert adapter.validate_python({"new": []}) == Record()
