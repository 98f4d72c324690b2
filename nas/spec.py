"""NetworkSpec: one concrete network as data, which everything passes around.

A spec is explicit (every block with all its fields), has a versioned schema, a canonical hash and
an exact YAML round trip. It holds what a network computes, not how it is trained.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from functools import reduce
from importlib import resources
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from nas.blocks import BLOCKS, Block, Rules
from nas.blocks.base import CONFIG
from nas.blocks.fields import ActivationName, Channels, Kernel, Stride
from nas.blocks.parts import dense, pointwise
from nas.document import Document, digest, parse_document, read_document, validate
from nas.errors import DocumentError, MixnasError, unknown
from nas.files import write_atomic
from nas.ir import GlobalPool, Linear, Node, Padding, Seq, Shape, walk

SCHEMA = "mixnas.network/1"
if TYPE_CHECKING:
    AnyBlock = Block
else:
    AnyBlock = Annotated[reduce(or_, BLOCKS.values()), Field(discriminator="op")]
Stage = Annotated[tuple[AnyBlock, ...], Field(min_length=1)]


@dataclass(frozen=True, config=CONFIG)
class Input:
    """The images a network takes: channels and side length in pixels."""

    channels: Annotated[int, Field(ge=1, le=64)] = 3
    resolution: Annotated[int, Field(ge=8, le=2048)] = 224


@dataclass(frozen=True, config=CONFIG)
class Norm:
    """Batch normalisation's constants; `momentum` as torch defines it (1 - TensorFlow's)."""

    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


@dataclass(frozen=True, config=CONFIG)
class Stem:
    """The first dense convolution, with BN and activation."""

    channels: Channels
    kernel: Kernel = 3
    stride: Stride = 2
    activation: ActivationName = "relu"


@dataclass(frozen=True, config=CONFIG)
class Head:
    """The last 1x1 convolution with BN and activation; 0 channels for none."""

    channels: Annotated[int, Field(ge=0, le=16384)] = 1536
    activation: ActivationName = "relu"


def stem_part(stem: Stem, in_channels: int, rules: Rules) -> Seq:
    """Return the layer tree of the stem."""
    return dense(in_channels, stem.channels, stem.kernel, stem.stride, stem.activation, rules)


def tail_parts(
    head: Head, channels: int, num_classes: int, rules: Rules
) -> Iterator[tuple[str, Node]]:
    """Yield what follows the blocks: the head (if any), pooling and the classifier."""
    if head.channels:
        yield "head", pointwise(channels, head.channels, 1, head.activation, rules)
        channels = head.channels
    yield "pool", GlobalPool()
    yield "classifier", Linear(channels, num_classes)


@dataclass(frozen=True, config=CONFIG)
class NetworkSpec:
    """One network: stem, stages of blocks, head, pooling, classifier.

    Attributes:
        stem: the first convolution.
        stages: the blocks, by stage.
        head: the last convolution.
        input: channels and resolution of the images.
        num_classes: outputs of the classifier.
        padding: ``symmetric`` or ``same`` (TensorFlow's), for every convolution.
        norm: batch normalisation's constants.
        name: what people call it; no part of its identity.
    """

    stem: Stem
    stages: Annotated[tuple[Stage, ...], Field(min_length=1)]
    head: Head = Head()
    input: Input = Input()
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    padding: Padding = "symmetric"
    norm: Norm = Norm()
    name: str = dataclasses.field(default="", compare=False)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, in order."""
        return tuple(block for stage in self.stages for block in stage)

    @property
    def rules(self) -> Rules:
        """What holds for the whole network when blocks expand."""
        return Rules(self.padding, self.norm.eps, self.norm.momentum)

    @property
    def in_shape(self) -> Shape:
        """Channels, height and width of one image."""
        return (self.input.channels, self.input.resolution, self.input.resolution)

    def parts(self) -> Iterator[tuple[str, Block | Node]]:
        """Yield the network's parts by name: blocks as they are, all else as layer trees."""
        rules = self.rules
        yield "stem", stem_part(self.stem, self.input.channels, rules)
        channels = self.stem.channels
        for i, stage in enumerate(self.stages):
            for j, block in enumerate(stage):
                yield f"stages.{i}.{j}", block
                channels = block.channels
        yield from tail_parts(self.head, channels, self.num_classes, rules)

    def tree(self) -> Seq:
        """Return the whole network as one layer tree.

        Raises:
            MixnasError: when a block does not fit the channels it is given.
        """
        children: list[tuple[str, Node]] = []
        rules, channels = self.rules, self.stem.channels
        for name, part in self.parts():
            if isinstance(part, Block):
                try:
                    children.append((name, part.expand(channels, rules)))
                except ValueError as error:
                    where = f"{self.name or 'network'}: {name}"
                    raise MixnasError(f"{where}: {error}") from None
                channels = part.channels
            else:
                children.append((name, part))
        return Seq(tuple(children))

    def digest(self) -> str:
        """Return 16 hexadecimal digits that name what the network computes; its name is no part."""
        content = self.to_dict()
        del content["name"]
        return digest(content)

    def replace(self, **changes: Any) -> NetworkSpec:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def at(self, resolution: int | None) -> NetworkSpec:
        """Return the network for images of another size; itself if None."""
        if resolution is None:
            return self
        return self.replace(input=Input(self.input.channels, resolution))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, every field written out."""
        data = _ADAPTER.dump_python(self, mode="json")
        return {"schema": SCHEMA, "name": data.pop("name"), **data}

    def to_yaml(self) -> str:
        """Return the YAML document: one line a block."""
        data = self.to_dict()
        stages = data.pop("stages")
        order = ("schema", "name", "input", "num_classes", "padding", "norm", "stem")
        lines = [f"{key}: {_flow(data[key])}" for key in order]
        lines.append("stages:")
        for i, stage in enumerate(stages):
            lines.append(f"  - # stage {i}")
            lines += [f"    - {_flow({'op': block.pop('op'), **block})}" for block in stage]
        lines.append(f"head: {_flow(data['head'])}")
        return "\n".join(lines) + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the YAML document, whole or not at all."""
        write_atomic(path, self.to_yaml())

    @staticmethod
    def from_document(document: Document) -> NetworkSpec:
        """Read a spec from a parsed document.

        Raises:
            DocumentError: with one line for every problem.
        """
        data = document.data
        if not isinstance(data, dict):
            document.fail((), "a network is a mapping with the keys stem, stages, head, ...")
        data = dict(data)
        schema = data.pop("schema", SCHEMA)
        if schema != SCHEMA:
            document.fail(("schema",), f"'{schema}' is not '{SCHEMA}', which this version reads")
        if data.get("name") is None:
            data["name"] = ""
        spec: NetworkSpec = validate(NetworkSpec, Document(document.source, data, document.lines))
        try:
            for _ in walk(spec.tree(), spec.in_shape):
                pass
        except (MixnasError, ValueError) as error:
            raise DocumentError(f"{document.source}: {error}") from None
        return spec

    @staticmethod
    def from_yaml(text: str, source: str = "<text>") -> NetworkSpec:
        """Read a spec from YAML text; see `from_document`."""
        return NetworkSpec.from_document(parse_document(text, source))

    @staticmethod
    def from_dict(data: dict[str, Any]) -> NetworkSpec:
        """Read a spec from plain data; see `from_document`."""
        return NetworkSpec.from_document(Document("<data>", data))


_ADAPTER = TypeAdapter(NetworkSpec)


def _flow(value: Any) -> str:
    """Write a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


def reference_names() -> list[str]:
    """Return the names of the reference networks that come with the package."""
    folder = resources.files("search_spaces").joinpath("reference")
    return sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".yaml"))


def looks_like_path(name: str) -> bool:
    """Tell a file's path from the name of something that comes with the package."""
    return os.sep in name or "/" in name or name.endswith((".yaml", ".yml", ".json"))


def load_network(name: str) -> NetworkSpec:
    """Read a spec by the name of a reference network or by its file's path.

    Raises:
        DocumentError: when there is no such network, or its document is wrong.
    """
    if looks_like_path(name) or Path(name).is_file():
        spec = NetworkSpec.from_document(read_document(name))
        return spec if spec.name else spec.replace(name=Path(name).stem)
    names = reference_names()
    if name not in names:
        raise DocumentError(f"{unknown('network', name, names)}; or give the path of a YAML file")
    resource = resources.files("search_spaces").joinpath("reference", f"{name}.yaml")
    return NetworkSpec.from_yaml(resource.read_text(encoding="utf-8"), f"reference/{name}.yaml")
