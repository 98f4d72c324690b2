"""Networks as timm builds them: its architecture strings, and a Python file that builds from them.

The strings are those that timm decodes for its own MixNet, MobileNet, MnasNet and EfficientNet
(timm/models/_efficientnet_builder.py). What they cannot say is refused with the reason.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from nas.blocks import Block, ConvBlock, DSConv, MBConv
from nas.blocks.parts import make_divisible, split_channels
from nas.errors import MixnasError
from nas.formats.python_files.classes import ACTIVATION_OPTIONS, ACTIVATIONS
from nas.formats.python_files.text import call, constants_text, lines
from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    MixConv,
    Node,
    Residual,
    Seq,
    SqueezeExcite,
    Sum,
)
from nas.spec import Head, NetworkSpec, Stem
from nas.units import number_of

_MOST_PROBLEMS = 3  # that a message lists
_NORMALIZED = (Conv, MixConv, BatchNorm, Activation)
_PARTS = {
    "expand": _NORMALIZED,
    "depthwise": _NORMALIZED,
    "se": (SqueezeExcite,),
    "project": _NORMALIZED,
}
_CONV_PARTS = dict.fromkeys(("conv", "norm", "act"), _NORMALIZED)
_KEYS = {"relu": "nre", "relu6": "nr6", "hard_swish": "nhs", "swish": "nsw", "mish": "nmi"}
_FILE = '''"""A convolutional network, written by mixnas; timm builds it.

`load` returns it with its weights, from the file of the same name that ends in .safetensors.
"""

from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
{imports}from timm.models._efficientnet_builder import decode_arch_def
from timm.models.efficientnet import EfficientNet
from torch import nn

WEIGHTS = Path(__file__).with_suffix(".safetensors")
{constants}


def build(**options) -> EfficientNet:
    """Return the network with random weights; options are those of timm, such as drop_rate."""
    return EfficientNet(
        decode_arch_def(ARCHITECTURE),
        num_classes={classes},
        num_features={features},
        in_chans={channels},
        stem_size={stem},
        stem_kernel_size={kernel},
        fix_stem=True,
        output_stride={stride},
        pad_type="{padding}",
        act_layer={activation},
{squeeze}        norm_layer=partial(nn.BatchNorm2d, eps={eps}, momentum={momentum}),
        round_chs_fn=int,  # the channels are given as they are
        **options,
    )


def load(weights: Path = WEIGHTS) -> EfficientNet:
    """Return the network with its weights, ready to classify images."""
    network = build()
    network.load_state_dict(load_file(weights))
    return network.eval()


if __name__ == "__main__":
    with torch.inference_mode():
        print(tuple(load()(torch.randn(1, *INPUT)).shape))
'''


class _UnsayableError(Exception):
    """Something of a block that an architecture string cannot say."""


class _Squeeze(NamedTuple):
    """A squeeze-and-excitation layer, the name of its block and the block's activation function."""

    block: str
    own: str
    layer: SqueezeExcite


def timm_architecture(spec: NetworkSpec) -> list[list[str]]:
    """Return the architecture strings of a network, a list for each of timm's stages.

    A stage of timm begins at every block of stride 2, and where ours do. Equal blocks that follow
    each other are one string with their number.

    Raises:
        MixnasError: If they cannot say everything; the message names the blocks and the reasons.
    """
    problems = [*_problems_of_ends(spec), *_problems_of_squeezes(_squeezes(spec))]
    stages: list[list[str]] = []
    channels = spec.stem.channels
    for i, stage in enumerate(spec.stages):
        for j, block in enumerate(stage):
            try:
                text = _block(spec, block, channels)
            except _UnsayableError as error:
                problems.append(f"stages.{i}.{j}: {error}")
                text = ""
            channels = block.channels
            if j == 0 or block.stride > 1:
                stages.append([])
            stages[-1].append(text)
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        listed = "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
        raise MixnasError(f"timm cannot build {spec.name or 'the network'}: {listed}")
    return [list(_counted(stage)) for stage in stages]


def timm_places(spec: NetworkSpec) -> dict[tuple[int, int], tuple[int, int]]:
    """Return where timm has each block, by stage and position in it, both from 0."""
    places, stage, position = {}, -1, 0
    for i, blocks in enumerate(spec.stages):
        for j, block in enumerate(blocks):
            if j == 0 or block.stride > 1:
                stage, position = stage + 1, 0
            places[i, j] = (stage, position)
            position += 1
    return places


def to_timm(spec: NetworkSpec, constants: Mapping[str, Any]) -> str:
    """Return the text of a Python file whose function ``load`` builds a network by timm.

    The weights are in the file of the same name that ends in ``.safetensors``, under timm's names.

    Args:
        spec: The network.
        constants: Plain data to write as constants of the file, by name.

    Raises:
        MixnasError: If timm cannot build the network.
    """
    architecture = timm_architecture(spec)
    strides = [block.stride for block in spec.blocks]
    squeeze = _squeeze_lines(_squeezes(spec))
    known = {"INPUT": spec.in_shape, "ARCHITECTURE": architecture, **constants}
    return _FILE.format(
        constants=constants_text(known),
        classes=spec.num_classes,
        features=spec.head.channels,
        channels=spec.input.channels,
        stem=spec.stem.channels,
        kernel=spec.stem.kernel,
        stride=max(32, spec.stem.stride * 2 ** strides.count(2)),
        padding="same" if spec.padding == "same" else "",
        activation=_class_of(spec.stem.activation),
        imports="from timm.models._efficientnet_blocks import SqueezeExcite\n" if squeeze else "",
        squeeze="".join(f"{line}\n" for line in squeeze),
        eps=spec.norm.eps,
        momentum=spec.norm.momentum,
    )


def _problems_of_ends(spec: NetworkSpec) -> Iterator[str]:
    stem, head = spec.stem, spec.head
    if stem != Stem(stem.channels, stem.kernel, stem.stride, stem.activation):
        yield "stem: timm's is one convolution without bias, padded as the others, and a BN"
    if head.canonical() != Head(head.channels, head.activation).canonical():
        yield "head: timm's is one convolution with BN, pooling and a linear classifier"
    if spec.stem.stride != 2:
        yield f"stem: its stride is {spec.stem.stride}, and timm's is always 2"
    if spec.stem.activation == "identity":
        yield "stem: timm has no stem without activation function"
    if spec.head.channels and spec.head.activation != spec.stem.activation:
        yield (
            f"head: its activation function {spec.head.activation} is another than the stem's "
            f"{spec.stem.activation}, and timm has one for both"
        )


def _foreign(
    parts: tuple[tuple[str, Node], ...], known: Mapping[str, tuple[type, ...]]
) -> Iterator[str]:
    """Yield what is no layer of timm, given the kinds of layers of each part that it has."""
    for name, part in parts:
        for path, layer in _layers(part, name):
            if not isinstance(layer, known.get(name, ())):
                yield f"timm has no {type(layer).__name__} there ('{path}')"


def _layers(node: Node, path: str) -> Iterator[tuple[str, Node]]:
    """Yield what runs in sequence, and its paths."""
    if not isinstance(node, Seq):
        yield path, node
        return
    for name, child in node.children:
        yield from _layers(child, f"{path}.{name}")


def _squeezes(spec: NetworkSpec) -> list[_Squeeze]:
    """Return the squeeze-and-excitation layers of all blocks that timm may have."""
    blocks, found = iter(spec.blocks), []
    for name, tree in spec.tree().children:
        if name.startswith("stages."):
            own = getattr(next(blocks), "activation", spec.stem.activation)
            parts = tree.children if isinstance(tree, (Seq, Residual)) else ()
            found += [_Squeeze(name, own, n) for _, n in parts if isinstance(n, SqueezeExcite)]
    return found


def _problems_of_squeezes(squeezes: list[_Squeeze]) -> Iterator[str]:
    """Yield how the layers differ, since timm has one kind of them in a network."""
    functions = {squeeze.layer.activation for squeeze in squeezes}
    for block, own, layer in squeezes:
        first = squeezes[0]
        if layer.gate != first.layer.gate:
            yield (
                f"{block}: its gate function {layer.gate} is another than that of {first.block}, "
                f"{first.layer.gate}, and timm has one for all blocks"
            )
        if layer.activation != own and len(functions) > 1:
            yield (
                f"{block}: its squeeze-and-excitation has the activation function "
                f"{layer.activation}, and timm has the block's own, or one for all blocks"
            )


def _squeeze_lines(squeezes: list[_Squeeze]) -> list[str]:
    """Return the argument that gives timm another squeeze-and-excitation than its usual one."""
    options = {}
    if any(layer.activation != own for _, own, layer in squeezes):
        options["force_act_layer"] = _class_of(squeezes[0].layer.activation)
    if any(layer.gate == "hard_sigmoid" for _, _, layer in squeezes):
        options["gate_layer"] = "nn.Hardsigmoid"
    if not options:
        return []
    return lines(call("partial", "SqueezeExcite", **options), " " * 8, "se_layer=", ",")


def _class_of(function: str) -> str:
    """Return what makes an activation function when it is called."""
    name = f"nn.{ACTIVATIONS[function]}"
    options = ACTIVATION_OPTIONS.get(function)
    return str(call("partial", name, **options)) if options else name


def _block(spec: NetworkSpec, block: Block, in_channels: int) -> str:
    """Return a block as a string, without the number of repetitions.

    Raises:
        _UnsayableError: If it cannot be said.
    """
    tree = block.expand(in_channels, spec.rules)
    if getattr(block, "skip", False) == "pool" and isinstance(tree, Sum):
        raise _UnsayableError("timm has no pooling in a skip connection")
    if not isinstance(block, (ConvBlock, MBConv, DSConv)) or not isinstance(tree, (Seq, Residual)):
        raise _UnsayableError(f"timm has no block like {block.family}")
    known = _CONV_PARTS if isinstance(block, ConvBlock) else _PARTS
    if problem := next(_foreign(tree.children, known), ""):
        raise _UnsayableError(problem)
    residual, parts = isinstance(tree, Residual), dict(tree.children)
    possible = block.stride == 1 and in_channels == block.channels
    ends = [f"c{block.channels}", *_activation(spec, block)]
    if isinstance(block, ConvBlock):
        words = ["cn", f"k{block.kernels[0]}", f"s{block.stride}"]
        return "_".join([*words, *ends, *(["skip"] if residual else [])])
    middle = block.middle_channels(in_channels)
    words, ratio = ["ds"], 1.0
    if isinstance(block, DSConv):
        words = ["dsa"]
        if residual:
            raise _UnsayableError("timm has no skip connection around a last activation function")
    elif "expand" in parts:
        ratio = _expansion(block, in_channels, middle)
        words = ["ir", *_groups("a", parts["expand"])]
    words += [*_groups("p", parts["project"]), *_depthwise(parts["depthwise"])]
    words += [f"s{block.stride}", f"e{ratio:g}" if ratio == int(ratio) else f"e{ratio!r}"]
    if "se" in parts:
        words.append(_squeeze(block, parts["se"], ratio))
    if possible and not residual and words[0] != "dsa":
        ends.append("noskip")
    return "_".join([*words, *ends])


def _activation(spec: NetworkSpec, block: Block) -> list[str]:
    function = getattr(block, "activation", spec.stem.activation)
    if function == spec.stem.activation:
        return []  # the network's own
    if function not in _KEYS:
        raise _UnsayableError(f"strings have no activation function {function}")
    return [_KEYS[function]]


def _convs(node: Node) -> tuple[Conv, ...]:
    """Return the convolutions of a part of a block, which is followed by a normalization."""
    assert isinstance(node, Seq)
    conv = node.children[0][1]
    assert isinstance(conv, (Conv, MixConv))
    return conv.convs if isinstance(conv, MixConv) else (conv,)


def _groups(key: str, node: Node) -> list[str]:
    """Return the word for 1x1 convolutions on slices; none for a single one."""
    count = len(_convs(node))
    return [key + ".".join(["1"] * count)] if count > 1 else []


def _depthwise(node: Node) -> list[str]:
    convs = _convs(node)
    sizes = tuple(conv.in_channels for conv in convs)
    width = convs[0].in_channels // convs[0].groups
    if any(conv.dilation > 1 for conv in convs):
        raise _UnsayableError("strings have no dilated kernels")
    if sizes != split_channels(sum(sizes), len(sizes)):
        raise _UnsayableError(
            f"strings have kernel groups of equal size, but these are {', '.join(map(str, sizes))}"
        )
    if width > 1 and len(convs) > 1:
        raise _UnsayableError(f"strings have no mix of kernels in groups of {width} channels")
    kernels = "k" + ".".join(str(conv.kernel) for conv in convs)
    return [kernels, f"gs{width}"] if width > 1 else [kernels]


def _expansion(block: MBConv, in_channels: int, middle: int) -> float:
    """Return the ratio from which timm gets the expanded channels."""
    for ratio in (float(block.expansion), middle / in_channels):
        if make_divisible(in_channels * ratio) == middle:
            return ratio
    raise _UnsayableError(
        f"timm rounds expanded channels to multiples of 8, and these are {middle}"
    )


def _squeeze(block: MBConv | DSConv, node: Node, expansion: float) -> str:
    """Return the word for squeeze-and-excitation, whose ratio is one of the block's input."""
    assert isinstance(node, SqueezeExcite)
    if node.norm is not None:
        raise _UnsayableError("timm has no normalization inside squeeze-and-excitation")
    middle, reduced = node.reduce.in_channels, node.reduce.out_channels
    for ratio in (float(block.se_ratio), reduced * expansion / middle):
        if round(middle * (ratio / expansion)) == reduced:
            return f"se{ratio!r}"
    raise _UnsayableError(
        f"timm cannot squeeze {number_of(middle, 'channel')} to exactly {reduced}"
    )


def _counted(stage: list[str]) -> Iterator[str]:
    """Yield the strings of a stage, with the number of equal ones that follow each other.

    timm takes the stride of a repeated block for the first one only.
    """
    for _, group in itertools.groupby(stage, lambda text: text.replace("_s2_", "_s1_")):
        first, *others = group
        kind, _, rest = first.partition("_")
        yield f"{kind}_r{1 + len(others)}_{rest}"
