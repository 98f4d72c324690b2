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
from nas.blocks.base import CONFIG
from nas.blocks.canonical import canonical_block
from nas.blocks.fields import ActivationName, Channels, Kernel, Stride
from nas.blocks.parts import dense, global_pool, linear, pointwise
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
from nas.ir import Node, Padding, Seq, Shape, walk

SCHEMA = "mixnas.network/1"
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
class Stem:
    """The first, dense convolution, with BN and an activation."""

    channels: Channels
    kernel: Kernel = 3
    stride: Stride = 2
    activation: ActivationName = "relu"


@dataclass(frozen=True, config=CONFIG)
class Head:
    """The last 1x1 convolution, with BN and an activation; 0 channels for none."""

    channels: Annotated[int, Field(ge=0, le=16384)] = 1536
    activation: ActivationName = "relu"

    def canonical(self) -> Head:
        """Return the head that stands for all heads with the same layers."""
        return self if self.channels else Head(channels=0)


def stem_part(stem: Stem, in_channels: int, rules: Rules) -> Seq:
    """Return the layer tree of the stem."""
    return dense(
        in_channels,
        stem.channels,
        kernel=stem.kernel,
        stride=stem.stride,
        activation=stem.activation,
        rules=rules,
    )


def tail_parts(
    head: Head, channels: int, num_classes: int, rules: Rules
) -> Iterator[tuple[str, Node]]:
    """Yield the named parts that follow the blocks: head (if any), pooling and classifier."""
    if head.channels:
        head_part = pointwise(
            channels, head.channels, groups=1, activation=head.activation, rules=rules
        )
        yield "head", head_part
        channels = head.channels
    yield "pool", global_pool()
    yield "classifier", linear(channels, num_classes)


@dataclass(frozen=True, config=CONFIG)
class NetworkSpec:
    """A network: stem, stages of blocks, head, pooling, classifier.

    Attributes:
        stem: The first convolution.
        stages: The blocks of every stage.
        head: The last convolution.
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
        """Yield the network's named parts in order: blocks as they are, the rest as layer trees."""
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
            MixnasError: If a block is not compatible with its input channels.
        """
        children: list[tuple[str, Node]] = []
        problems: list[str] = []
        rules, channels = self.rules, self.stem.channels
        for name, part in self.parts():
            if isinstance(part, Block):
                try:
                    children.append((name, part.expand(channels, rules)))
                except ValueError as error:
                    problems.append(f"{self.name or 'network'}: {name}: {error}")
                channels = part.channels
            else:
                children.append((name, part))
        if problems:
            raise MixnasError("\n".join(problems))
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

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as plain data, with every field written out."""
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

    Raises:
        DocumentError: If there is no such network, or its document is not valid.
    """
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
