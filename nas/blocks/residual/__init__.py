"""Families of residual blocks with a shortcut that adapts to other shapes: ResNet and its heirs."""

from nas.blocks.residual.basic import BasicBlock
from nas.blocks.residual.bottleneck import Bottleneck
from nas.blocks.residual.linear import LinearBottleneck
from nas.blocks.residual.res2net import Res2Net
from nas.blocks.residual.split_attention import SplitAttentionBlock

__all__ = ["BasicBlock", "Bottleneck", "LinearBottleneck", "Res2Net", "SplitAttentionBlock"]
