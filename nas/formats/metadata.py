"""What travels with a trained network: all that is needed to use it elsewhere.

Whoever has only the weights, or only an ONNX file, learns from it which output stands for which
class, and how images must be prepared. The same facts are in the metadata of weights and of ONNX
files, in the card of a training, and in a JSON file beside an export.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.document import Document, validate
from nas.errors import DocumentError
from nas.files import printable
from nas.spec import NetworkSpec

CENTRAL_SQUARE = "central square of the upright image"
WHOLE_IMAGE = "whole image"
INTERPOLATION = "bilinear, antialiased"
PIXELS = "RGB, (value / 255 - mean) / std, in the order (batch, channel, row, column)"
PIXELS_CHANNELS_LAST = PIXELS.replace(
    "(batch, channel, row, column)", "(batch, row, column, channel)"
)
_JSON = ("classes", "preprocessing", "spec")
_TEXTS = ("data", "data_fingerprint", "test_fingerprint", "command", "version")
_ALIKE = 0.02  # difference of means or deviations that makes none to a network
Channel = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True, config=CONFIG)
class Preprocessing:
    """How images are turned into the input of a network.

    Attributes:
        resolution: Height and width of the input, in pixels.
        mean: Mean that is subtracted, by channel (red, green, blue), of values from 0 to 1.
        std: Standard deviation to divide by, by channel.
        crop: Which part of an image is used.
        interpolation: How it is resized.
        pixels: How its values are arranged and scaled.
    """

    resolution: Annotated[int, Field(ge=1)]
    mean: tuple[Channel, Channel, Channel]
    std: tuple[Channel, Channel, Channel]
    crop: str = CENTRAL_SQUARE
    interpolation: str = INTERPOLATION
    pixels: str = PIXELS

    def differences(self, other: Preprocessing) -> list[str]:
        """Return how another one differs, a phrase each (``resolution 96 instead of 224``).

        Tiny differences of means and deviations do not count.
        """
        names = [field.name for field in dataclasses.fields(self)]
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return [
            f"{name} {_short(b)} instead of {_short(a)}" for name, a, b in pairs if _differ(a, b)
        ]


@dataclass(frozen=True, config=CONFIG)
class ModelMetadata:
    """What a network was trained as.

    Attributes:
        classes: Names of the classes, in the order of the outputs.
        preprocessing: How images are prepared.
        data: Name or path of the data set, as given on the command line.
        data_fingerprint: Fingerprint of its images and their split.
        test_fingerprint: Fingerprint of the images of its test split, which stays when the set is
            moved or others are added to the training; empty if it is not known.
        command: Command line of the training.
        spec: The network as plain data; None if it is not one of ours.
        version: Version of mixnas.
    """

    classes: tuple[str, ...]
    preprocessing: Preprocessing
    data: str = ""
    data_fingerprint: str = ""
    test_fingerprint: str = ""
    command: str = ""
    spec: dict[str, Any] | None = None
    version: str = ""

    def channels_last(self) -> ModelMetadata:
        """Return it for a file that takes images with the channels last."""
        last = dataclasses.replace(self.preprocessing, pixels=PIXELS_CHANNELS_LAST)
        return dataclasses.replace(self, preprocessing=last)

    def network(self) -> NetworkSpec | None:
        """Return the network, if it is one of ours.

        Raises:
            DocumentError: If its description is damaged.
        """
        return None if self.spec is None else NetworkSpec.from_dict(self.spec)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        data: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return data

    def to_properties(self) -> dict[str, str]:
        """Return it as texts by name, for the metadata of files; all but plain texts are JSON."""
        data = self.to_dict()
        found = {name: json.dumps(data[name]) for name in _JSON if data[name] is not None}
        return found | {name: printable(data[name]) for name in _TEXTS}

    @staticmethod
    def from_properties(properties: Mapping[str, str], source: str) -> ModelMetadata | None:
        """Return what the metadata of a file tell; None if they are not ours.

        Args:
            properties: Texts by name.
            source: Name of the file, for messages.

        Raises:
            DocumentError: If they are damaged.
        """
        if not {"classes", "preprocessing"} <= properties.keys():
            return None
        data: dict[str, Any] = {n: properties[n] for n in _TEXTS if n in properties}
        for name in _JSON:
            if name in properties:
                try:
                    data[name] = json.loads(properties[name])
                except (ValueError, RecursionError):
                    raise DocumentError(
                        f"{source}: '{name}' in its metadata is damaged; train the network again, "
                        "or use weights without metadata"
                    ) from None
        found: ModelMetadata = validate(ModelMetadata, Document(f"metadata of {source}", data))
        return found


_ADAPTER = TypeAdapter(ModelMetadata)


def _differ(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return any(abs(x - y) > _ALIKE for x, y in zip(a, b, strict=True))
    return bool(a != b)


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(f'{number:.3f}' for number in value)})"
    return str(value)
