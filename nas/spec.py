"""NetworkSpec: a concrete network as data.

A spec is explicit (it lists every block with all its fields) and has a versioned schema, a
canonical hash and an exact YAML round trip. It describes what a network computes, not how it is
trained.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from nas.blocks import BLOCKS, Block, Rules
from nas.blocks.base import CONFIG, shape_after
from nas.blocks.canonical import canonical_block
from nas.blocks.ends import Head, Stem, stem_part, tail_parts
from nas.blocks.fields import ActivationName
from nas.document import (
    Document,
    digest,
    document_name,
    parse_document,
    read_document,
    validate,
)
from nas.errors import DocumentError, MixnasError, unknown
from nas.files import is_built_in, packaged, write_atomic
from nas.ir import Node, Padding, Seq, Shape, end_shape, walk

__all__ = [
    "SCHEMA",
    "Head",
    "Input",
    "NetworkSpec",
    "Norm",
    "Stem",
    "load_network",
    "looks_like_path",
    "reference_names",
]
SCHEMA = "mixnas.network/1"
"""Version of the form of a spec's document, which every document names."""
if TYPE_CHECKING:
    AnyBlock = Block
else:
    AnyBlock = Annotated[reduce(or_, BLOCKS.values()), Field(discriminator="op")]
Stage = Annotated[tuple[AnyBlock, ...], Field(min_length=1)]


@dataclass(frozen=True, config=CONFIG)
class Input:
    """The network's input images: channels, and side length in pixels."""

    channels: Annotated[int, Field(ge=1, le=64)] = 3
    resolution: Annotated[int, Field(ge=8, le=2048)] = 224


@dataclass(frozen=True, config=CONFIG)
class Norm:
    """Batch normalization constants; `momentum` as torch defines it (1 - TensorFlow's)."""

    eps: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    momentum: Annotated[float, Field(gt=0, le=1)] = 0.1


@dataclass(frozen=True, config=CONFIG)
class Published:
    """What is published about a trained network; documents hold it under ``published``.

    Attributes:
        top1: Top-1 accuracy on ImageNet's validation images, in percent.
        resolution: Side length of the images that it holds for, in pixels.
        source: Where the accuracy is published.
        weights: Where trained weights are published; empty for nowhere.
        licence: Licence of the weights; empty if it is not known.
    """

    top1: Annotated[float, Field(gt=0, le=100)]
    resolution: Annotated[int, Field(ge=8, le=2048)]
    source: str
    weights: str = ""
    licence: str = ""


@dataclass(frozen=True, config=CONFIG)
class NetworkSpec:
    """A network: stem, stages of blocks, head.

    Attributes:
        stem: The first convolutions.
        stages: The blocks of every stage.
        head: What follows the blocks, up to the classifier.
        input: Channels and resolution of the input images.
        num_classes: Number of outputs of the classifier.
        padding: Padding rule of every convolution, ``symmetric`` or ``same`` (TensorFlow's).
        norm: Constants of every batch normalization.
        name: Display name, which is not part of the network's identity.
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
        """The settings that all blocks expand with."""
        return Rules(self.padding, self.norm.eps, self.norm.momentum)

    @property
    def in_shape(self) -> Shape:
        """Shape of one input image: channels, height and width."""
        return (self.input.channels, self.input.resolution, self.input.resolution)

    def parts(self) -> Iterator[tuple[str, Block | Node]]:
        """Yield the network's named parts in order: blocks as they are, the rest as layer trees.

        Raises:
            ValueError: After the blocks, if the layers that follow depend on the size of the map
                there, and a block does not fit its input.
        """
        yield "stem", self._stem_part()
        for i, stage in enumerate(self.stages):
            for j, block in enumerate(stage):
                yield f"stages.{i}.{j}", block
        yield from self._tail_parts()

    def _stem_part(self) -> Seq:
        return stem_part(self.stem, self.input.channels, self.rules)

    def _tail_parts(self) -> Iterator[tuple[str, Node]]:
        any_size = self.head.any_size
        shape = (self.stages[-1][-1].channels, 1, 1) if any_size else self.map_shape()
        yield from tail_parts(self.head, shape, self.num_classes, self.rules)

    def map_shape(self) -> Shape:
        """Return the shape of the map at the end of the blocks.

        Raises:
            ValueError: If a block does not fit its input.
        """
        rules = self.rules
        shape = end_shape(self._stem_part(), self.in_shape)
        for block in self.blocks:
            shape = shape_after(block, shape, rules)
        return shape

    def tree(self) -> Seq:
        """Return the whole network as one layer tree.

        Raises:
            MixnasError: If a block is not compatible with its input channels, or the layers after
                the blocks depend on the size of the map there, and a block does not fit its input.
        """
        children: list[tuple[str, Node]] = [("stem", self._stem_part())]
        problems: list[str] = []
        rules, channels = self.rules, self.stem.channels
        for i, stage in enumerate(self.stages):
            for j, block in enumerate(stage):
                name = f"stages.{i}.{j}"
                try:
                    children.append((name, block.expand(channels, rules)))
                except ValueError as error:
                    problems.append(f"{self.name or 'network'}: {name}: {error}")
                channels = block.channels
        if problems:
            raise MixnasError("\n".join(problems))
        try:
            children += self._tail_parts()
        except ValueError as error:
            raise MixnasError(f"{self.name or 'network'}: {error}") from None
        return Seq(tuple(children))

    def canonical(self) -> NetworkSpec:
        """Return the spec that stands for all specs with the same layer tree.

        Fields without effect have their defaults, and of several values with the same effect, the
        simplest one is chosen. A block that cannot be built stays as it is.
        """
        channels, stages = self.stem.channels, []
        for stage in self.stages:
            blocks = []
            for block in stage:
                try:
                    blocks.append(canonical_block(block, channels))
                except ValueError:
                    blocks.append(block)
                channels = block.channels
            stages.append(tuple(blocks))
        return self.replace(stages=tuple(stages), head=self.head.canonical())

    def digest(self) -> str:
        """Return 16 hexadecimal digits, equal for two networks exactly if their layer trees are.

        The display name and fields without effect do not enter them.
        """
        content = self.canonical().to_dict()
        del content["name"]
        return digest(content)

    def replace(self, **changes: Any) -> NetworkSpec:
        """Return a copy with some fields replaced."""
        return dataclasses.replace(self, **changes)

    def at(self, resolution: int | None) -> NetworkSpec:
        """Return the network for images of `resolution` pixels a side; itself if None."""
        if resolution is None:
            return self
        return self.replace(input=Input(self.input.channels, resolution))

    def with_activation(self, activation: ActivationName) -> NetworkSpec:
        """Return the network with one activation function in place of all its own.

        Where there is none, there is none still, and the gates of squeeze-and-excitation stay. The
        function inside squeeze-and-excitation is replaced where it is a field of the block.
        """

        def changed(part: Any) -> Any:
            fields = [f.name for f in dataclasses.fields(part) if f.name.endswith("activation")]
            values = {name: getattr(part, name) for name in fields}
            own = [
                n for n, value in values.items() if isinstance(value, str) and value != "identity"
            ]
            return dataclasses.replace(part, **dict.fromkeys(own, activation))

        stages = tuple(tuple(map(changed, stage)) for stage in self.stages)
        return self.replace(stem=changed(self.stem), stages=stages, head=changed(self.head))

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data.

        Every field is written out, except for those that came later and have their defaults (see
        `nas.blocks.fields.later`).
        """
        data = _ADAPTER.dump_python(self, mode="json")
        return {"schema": SCHEMA, "name": data.pop("name"), **data}

    def to_yaml(self) -> str:
        """Return the spec as a YAML document, with one line per block."""
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
        """Write the YAML document atomically."""
        write_atomic(path, self.to_yaml())

    @staticmethod
    def from_document(document: Document) -> NetworkSpec:
        """Return the spec that a parsed document describes.

        Raises:
            DocumentError: If the document is not a valid network; one line per problem.
        """
        data = document.data
        if not isinstance(data, dict):
            document.fail((), "a network must be a mapping with the keys stem, stages, head, ...")
        data = dict(data)
        schema = data.pop("schema", SCHEMA)
        if schema != SCHEMA:
            document.fail(
                ("schema",), f"unsupported schema '{schema}'; this version reads '{SCHEMA}'"
            )
        if data.get("name") is None:
            data["name"] = ""
        if "published" in data:  # known of these weights, not of the architecture
            published_of(document)
            del data["published"]
        spec: NetworkSpec = validate(NetworkSpec, Document(document.source, data, document.lines))
        try:
            for _ in walk(spec.tree(), spec.in_shape):
                pass
        except (MixnasError, ValueError) as error:
            lines = [f"{document.source}: {line}" for line in str(error).splitlines()]
            raise DocumentError("\n".join(lines)) from None
        return spec

    @staticmethod
    def from_yaml(text: str, source: str = "<text>") -> NetworkSpec:
        """Return the spec that YAML text describes; see `from_document`."""
        return NetworkSpec.from_document(parse_document(text, source))

    @staticmethod
    def from_dict(data: dict[str, Any]) -> NetworkSpec:
        """Return the spec that plain data describes; see `from_document`."""
        return NetworkSpec.from_document(Document("<data>", data))


_ADAPTER = TypeAdapter(NetworkSpec)
TIMM = "timm:"
"""What the names of timm's networks begin with, which have no spec (see `nas.named`)."""


def published_of(document: Document) -> Published | None:
    """Return what a network's document says about trained weights; None for nothing.

    Raises:
        DocumentError: If it is not valid.
    """
    data = document.data
    if not isinstance(data, dict) or "published" not in data:
        return None
    lines = {path[1:]: line for path, line in document.lines.items() if path[:1] == ("published",)}
    found: Published = validate(Published, Document(document.source, data["published"], lines))
    return found


def _flow(value: Any) -> str:
    """Return a value as YAML on a single line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


def reference_names() -> list[str]:
    """Return the names of the reference networks that come with the package."""
    return sorted(path.stem for path in packaged("reference").glob("*.yaml"))


def looks_like_path(name: str) -> bool:
    """Return whether `name` is a file path rather than the name of a packaged document."""
    return os.sep in name or "/" in name or name.endswith((".yaml", ".yml", ".json"))


def load_network(name: str) -> NetworkSpec:
    """Return a spec, given the name of a reference network or the path of a YAML file.

    A file in the working directory does not take the place of a reference network of its name.

    Examples:
        >>> spec = load_network("mixnet_s")
        >>> spec.input.resolution, len(spec.stages)
        (224, 6)
        >>> spec.stages[1][0].kernels
        (3,)

    Raises:
        DocumentError: If there is no such network, or its document is not valid.
    """
    if name.startswith(TIMM):
        raise DocumentError(
            f"{name} is a network of timm and has no spec, which is needed here; give the name of "
            "a reference network or the path of a YAML file"
        )
    names = reference_names()
    if not is_built_in(name, names, "network"):
        if not looks_like_path(name) and not Path(name).is_file():
            raise DocumentError(
                f"{unknown('network', name, names)}; or give the path of a YAML file"
            )
        spec = NetworkSpec.from_document(read_document(name))
        return spec if spec.name else spec.replace(name=document_name(name))
    text = packaged("reference", f"{name}.yaml").read_text(encoding="utf-8")
    return NetworkSpec.from_yaml(text, f"reference/{name}.yaml")
