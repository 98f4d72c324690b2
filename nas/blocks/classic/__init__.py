"""Families of dense networks from AlexNet's heirs to ConvNeXt."""

from nas.blocks.classic.convnext import ConvNeXtBlock
from nas.blocks.classic.darknet import DarknetBlock
from nas.blocks.classic.densenet import DenseLayer, Transition
from nas.blocks.classic.fire import Fire
from nas.blocks.classic.inception import Inception
from nas.blocks.classic.xception import SeparableConv, XceptionBlock

__all__ = [
    "ConvNeXtBlock",
    "DarknetBlock",
    "DenseLayer",
    "Fire",
    "Inception",
    "SeparableConv",
    "Transition",
    "XceptionBlock",
]
