"""The layer tree: the intermediate representation of a network.

A network is written once, as a tree of leaves (layers) and containers (`Seq`, `Residual`, `Sum`
and `Slices`), and everything else walks that tree: counting costs (`nas.cost`), building torch
modules (`nas.torch_model`), lowering and exporting. Sums, slices and explicit padding are of
lowered networks only. The tree holds hyper-parameters only, no weights. Nodes compare by identity,
so that a part shared by several trees (see `nas.blocks.parts`) is counted only once.

Shapes are ``(channels, height, width)`` of a single image.
"""

from nas.ir.nodes import (
    Activation,
    BatchNorm,
    Container,
    Conv,
    GlobalPool,
    Leaf,
    Linear,
    MixConv,
    Node,
    Pad,
    Padding,
    Pads,
    Residual,
    Seq,
    Shape,
    Slices,
    SqueezeExcite,
    Sum,
)
from nas.ir.shapes import (
    conv_channels,
    conv_pads,
    elements,
    end_shape,
    input_channels,
    out_shape,
    same_pads,
)
from nas.ir.tree import Layer, nested, residual_ends, walk

__all__ = [
    "Activation",
    "BatchNorm",
    "Container",
    "Conv",
    "GlobalPool",
    "Layer",
    "Leaf",
    "Linear",
    "MixConv",
    "Node",
    "Pad",
    "Padding",
    "Pads",
    "Residual",
    "Seq",
    "Shape",
    "Slices",
    "SqueezeExcite",
    "Sum",
    "conv_channels",
    "conv_pads",
    "elements",
    "end_shape",
    "input_channels",
    "nested",
    "out_shape",
    "residual_ends",
    "same_pads",
    "walk",
]
