"""Single layers as calls that make their modules: those of torch, or of the file's own classes."""

from __future__ import annotations

from typing import Any

from nas.formats.python_files.classes import ACTIVATION_OPTIONS, ACTIVATIONS
from nas.formats.python_files.text import Argument, Call, call
from nas.ir import (
    Activation,
    BatchNorm,
    ChannelShuffle,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Leaf,
    Linear,
    LocalResponseNorm,
    MixConv,
    Pad,
    Pads,
    Pool,
    Scale,
    SplitAttention,
    SqueezeExcite,
)

_TORCH_EPS = 1e-5  # the default of torch's normalizations


def layer(leaf: Leaf) -> Call:
    """Return a leaf of a layer tree as a call that makes its module.

    Raises:
        ValueError: If only one convolution of a squeeze-and-excitation has a bias.
    """
    match leaf:
        case Conv():
            return _conv(leaf)
        case MixConv():
            return Call("MixConv", tuple(Argument(_conv(conv)) for conv in leaf.convs))
        case Pool():
            return _pool(leaf)
        case SqueezeExcite():
            return _squeeze_excite(leaf)
        case SplitAttention():
            norm = "nn.Identity()" if leaf.norm is None else _norm(leaf.norm)
            inner = (norm, _activation(leaf.activation))
            return call("SplitAttention", leaf.channels, leaf.radix, *inner)
        case BatchNorm():
            return _norm(leaf)
        case LayerNorm():
            return call("LayerNorm2d", leaf.channels, **_other(_TORCH_EPS, eps=leaf.eps))
        case LocalResponseNorm():
            usual = LocalResponseNorm()
            options = {
                **_other(usual.alpha, alpha=leaf.alpha),
                **_other(usual.beta, beta=leaf.beta),
                **_other(usual.bias, k=leaf.bias),
            }
            return call("nn.LocalResponseNorm", leaf.size, **options)
        case Scale():
            usual_initial = Scale(leaf.channels).initial
            return call("Scale", leaf.channels, **_other(usual_initial, initial=leaf.initial))
        case Activation():
            return _activation(leaf.function)
        case ChannelShuffle():
            return call("nn.ChannelShuffle", leaf.groups)
        case Dropout():
            return call("nn.Dropout", leaf.rate)
        case Pad():
            if leaf.channels:
                return call("nn.ZeroPad3d", (*_sides(leaf.pads), 0, leaf.channels))
            return call("nn.ZeroPad2d", _sides(leaf.pads))
        case Flatten():
            return call("nn.Flatten")
        case GlobalPool():
            return call("nn.AdaptiveAvgPool2d", 1)
        case Linear():
            return call("FlatLinear", leaf.in_features, leaf.out_features)


def _other(usual: float, **given: float) -> dict[str, float]:
    """Return an option if it differs from its usual value."""
    return {name: value for name, value in given.items() if value != usual}


def _sides(pads: Pads) -> tuple[int, int, int, int]:
    """Return padding in torch's order: left, right, top, bottom."""
    top, left, bottom, right = pads
    return left, right, top, bottom


def _activation(function: str) -> Call:
    return call(f"nn.{ACTIVATIONS[function]}", **ACTIVATION_OPTIONS.get(function, {}))


def _norm(norm: BatchNorm) -> Call:
    usual = BatchNorm(norm.channels)
    options = {
        **_other(usual.eps, eps=norm.eps),
        **_other(usual.momentum, momentum=norm.momentum),
    }
    return call("nn.BatchNorm2d", norm.channels, **options)


def _squeeze_excite(squeeze: SqueezeExcite) -> Call:
    reduce, expand = squeeze.reduce, squeeze.expand
    if reduce.bias != expand.bias:
        raise ValueError("squeeze-and-excitation with a single bias cannot be written")
    gate = ["nn.Hardsigmoid()"] if squeeze.gate == "hard_sigmoid" else []
    named: dict[str, Any] = {} if reduce.bias else {"bias": False}
    if squeeze.norm is not None:
        named["norm"] = _norm(squeeze.norm)
    inner = (reduce.in_channels, reduce.out_channels, _activation(squeeze.activation))
    return call("SqueezeExcite", *inner, *gate, **named)


def _conv(conv: Conv) -> Call:
    rows, columns = conv.window
    options: dict[str, Any] = {"stride": conv.stride} if conv.stride > 1 else {}
    name, pads = "nn.Conv2d", (conv.margin,) * 4
    if conv.padding == "same" and conv.stride > 1:
        name, pads = "SameConv2d", (0,) * 4
    elif not isinstance(conv.padding, str):
        pads = conv.padding
    if pads[:2] != pads[2:]:
        name, options["pads"] = "PaddedConv2d", _sides(pads)
    else:
        options |= _padding(pads)
    if conv.dilation > 1:
        options["dilation"] = conv.dilation
    if conv.groups > 1:
        options["groups"] = conv.groups
    if not conv.bias:
        options["bias"] = False
    kernel = rows if rows == columns else (rows, columns)
    return call(name, conv.in_channels, conv.out_channels, kernel, **options)


def _padding(pads: Pads) -> dict[str, Any]:
    """Return torch's option for padding that is the same on opposite sides."""
    top, left = pads[:2]
    if not (top or left):
        return {}
    return {"padding": top if top == left else (top, left)}


def _pool_pads(pool: Pool) -> Pads | None:
    """Return the padding of a pooling; None if it depends on the size of the image."""
    if not isinstance(pool.padding, str):
        return pool.padding
    # At stride 1, both rules are the same for an odd window.
    fixed = pool.padding == "symmetric" or (pool.stride == 1 and pool.kernel % 2 == 1)
    return (pool.margin,) * 4 if fixed else None


def _pool(pool: Pool) -> Call:
    average, pads = pool.kind == "average", _pool_pads(pool)
    options: dict[str, Any] = {"stride": pool.stride}
    # torch pads opposite sides equally, by half a window at most.
    if pads is not None and pads[:2] == pads[2:] and max(pads) <= pool.kernel // 2:
        options |= _padding(pads)
        if pool.ceil:
            options["ceil_mode"] = True
        if average and any(pads) and not pool.count_padding:
            options["count_include_pad"] = False
        return call("nn.AvgPool2d" if average else "nn.MaxPool2d", pool.kernel, **options)
    options["pads"] = '"same"' if pads is None else _sides(pads)
    if pool.ceil and pads is not None:
        options["ceil"] = True
    if average and pool.count_padding:
        options["count_padding"] = True
    name = "PaddedAvgPool2d" if average else "PaddedMaxPool2d"
    return call(name, pool.kernel, **options)
