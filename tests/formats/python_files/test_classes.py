"""The classes of written files."""

import ast

import pytest

from nas.formats.python_files.classes import BASES, CLASSES, sources


def names(texts):
    return [node.name for text in texts for node in ast.parse(text).body]


@pytest.mark.parametrize(
    ("called", "written"),
    [
        ((), []),
        (("nn.Conv2d", "nn.ReLU"), []),
        (("Cascade", "nn.ReLU"), ["Sequence", "Slices", "Cascade"]),
        (("Sum", "Concat"), ["Sequence", "Sum", "Concat"]),
        (("PaddedAvgPool2d", "Scale"), ["PaddedPool2d", "PaddedAvgPool2d", "Scale"]),
    ],
)
def test_only_what_is_called_and_its_bases_are_written(called, written):
    assert names(sources(called)) == written


def test_every_class_has_its_name_and_follows_its_base():
    assert names(CLASSES.values()) == list(CLASSES)
    bases = {}
    for text in CLASSES.values():
        (kind,) = ast.parse(text).body
        bases[kind.name] = ast.unparse(kind.bases[0])
    assert {name: base for name, base in bases.items() if not base.startswith("nn.")} == BASES
    order = list(CLASSES)
    assert all(order.index(base) < order.index(name) for name, base in BASES.items())
