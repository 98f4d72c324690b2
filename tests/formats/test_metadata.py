import dataclasses
import json

import pytest

from nas.errors import DocumentError
from nas.formats.metadata import CENTRAL_SQUARE, ModelMetadata, Preprocessing
from tests.networks import TINY

METADATA = ModelMetadata(
    classes=("bee", "ant"),
    preprocessing=Preprocessing(32, (0.5, 0.25, 0.125), (0.25, 0.2, 0.1)),
    data="pets",
    command="python -m nas.train tiny.yaml --data pets",
    spec=TINY.to_dict(),
    version="0.1.0",
)


def test_properties_are_texts_that_anybody_can_read():
    properties = METADATA.to_properties()
    assert json.loads(properties["classes"]) == ["bee", "ant"]
    assert json.loads(properties["preprocessing"]) == {
        "resolution": 32,
        "mean": [0.5, 0.25, 0.125],
        "std": [0.25, 0.2, 0.1],
        "crop": "central square of the upright image",
        "interpolation": "bilinear, antialiased",
        "pixels": "RGB, (value / 255 - mean) / std, in the order (batch, channel, row, column)",
    }
    assert properties["command"] == "python -m nas.train tiny.yaml --data pets"
    assert json.loads(properties["spec"])["stem"]["channels"] == 16
    assert all(isinstance(value, str) for value in properties.values())


def test_properties_give_the_same_metadata_again():
    assert ModelMetadata.from_properties(METADATA.to_properties(), "w") == METADATA
    assert METADATA.network() == TINY
    other = dataclasses.replace(METADATA, spec=None)
    assert ModelMetadata.from_properties(other.to_properties(), "w") == other
    assert other.network() is None
    assert json.loads(json.dumps(METADATA.to_dict()))["classes"] == ["bee", "ant"]


def test_metadata_of_others_are_none_of_ours():
    for properties in ({}, {"format": "pt"}, {"classes": "3"}):
        assert ModelMetadata.from_properties(properties, "w") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": "[1, 2"}, "w: 'classes' in its metadata is damaged"),
        ({"classes": "[" * 100_000}, "w: 'classes' in its metadata is damaged"),
        ({"classes": "[1]"}, "metadata of w: classes.0.: input should be a valid string; found 1"),
        ({"preprocessing": "{}"}, "metadata of w: preprocessing: 'resolution' is missing"),
        (
            {"preprocessing": '{"resolution": 8, "mean": [NaN, 0, 0], "std": [1, 1, 1]}'},
            "mean.0.: input should be a finite number",
        ),
    ],
)
def test_damaged_metadata_are_refused(changes, message):
    with pytest.raises(DocumentError, match=message):
        ModelMetadata.from_properties({**METADATA.to_properties(), **changes}, "w")


def test_differences_are_told():
    own = METADATA.preprocessing
    assert own.differences(own) == []
    close = dataclasses.replace(own, mean=(0.51, 0.25, 0.125))
    assert own.differences(close) == []
    other = dataclasses.replace(own, resolution=96, std=(0.5, 0.2, 0.1), crop="whole image")
    assert own.differences(other) == [
        "resolution 96 instead of 32",
        "std (0.500, 0.200, 0.100) instead of (0.250, 0.200, 0.100)",
        f"crop whole image instead of {CENTRAL_SQUARE}",
    ]


def test_names_that_are_not_utf8_are_escaped():
    """Files of weights and of ONNX hold no other texts; their writers would fail after training."""
    given = dataclasses.replace(
        METADATA, data="pets\udcff", command="nas.train --data 'pets\udcff'"
    )
    properties = given.to_properties()
    assert properties["data"] == "pets\\xff"
    assert properties["command"] == "nas.train --data 'pets\\xff'"
    for text in properties.values():
        text.encode("utf-8")


def test_a_file_with_channels_last_says_so():
    last = METADATA.channels_last()
    assert last.preprocessing.pixels.endswith("in the order (batch, row, column, channel)")
    assert METADATA.preprocessing.pixels.endswith("in the order (batch, channel, row, column)")
