"""Convolutions, activation functions and other simple leaves of layer trees as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from nas.formats.onnx.graph import OnnxGraph
from nas.ir import LEAKY_SLOPE, Conv, Pad, Shape, conv_pads

_SIMPLE = {"relu": "Relu", "hard_swish": "HardSwish", "mish": "Mish", "gelu": "Gelu"}


def write_conv(graph: OnnxGraph, conv: Conv, x: str, shape: Shape, path: str) -> str:
    """Add a convolution of the tensor `x`, whose images have the given shape."""
    inputs = [x, graph.weight(f"{path}.weight")]
    if conv.bias:
        inputs.append(graph.weight(f"{path}.bias"))
    return graph.add(
        "Conv",
        inputs,
        f"{path}.out",
        kernel_shape=list(conv.window),
        strides=[conv.stride] * 2,
        dilations=[conv.dilation] * 2,
        group=conv.groups,
        pads=list(conv_pads(conv, shape)),
    )


def write_pointwise(graph: OnnxGraph, conv: Conv, x: str, path: str) -> str:
    """Add a 1x1 convolution of maps of a single pixel, as gates have them."""
    return write_conv(graph, conv, x, (conv.in_channels, 1, 1), path)


def write_activation(graph: OnnxGraph, function: str, x: str, path: str) -> str:
    """Add an activation function, by its name; nothing for the identity."""
    match function:
        case "identity":
            return x
        case "swish":
            gate = graph.add("Sigmoid", [x], f"{path}.gate")
            return graph.add("Mul", [x, gate], f"{path}.out")
        case "relu6":
            bounds = [
                graph.constant(f"clip.{bound}", np.array(bound, dtype=np.float32))
                for bound in (0, 6)
            ]
            return graph.add("Clip", [x, *bounds], f"{path}.out")
        case "leaky_relu":
            return graph.add("LeakyRelu", [x], f"{path}.out", alpha=LEAKY_SLOPE)
    return graph.add(_SIMPLE[function], [x], f"{path}.out")


def write_pad(graph: OnnxGraph, pad: Pad, x: str, shape: Shape, path: str) -> str:
    """Add zero padding of the tensor `x`, whose images have the given shape."""
    if pad.channels:
        top, left, bottom, right = pad.pads
        sides = np.array([0, 0, top, left, 0, pad.channels, bottom, right], dtype=np.int64)
        return graph.add("Pad", [x, graph.constant(f"{path}.sides", sides)], f"{path}.out")
    # A depthwise 1x1 convolution with weights of 1 keeps ONNX Runtime's blocked channel layout;
    # the `Pad` operator does not.
    channels = shape[0]
    ones = graph.constant(f"{path}.ones", np.ones((channels, 1, 1, 1), dtype=np.float32))
    pads = list(pad.pads)
    return graph.add(
        "Conv", [x, ones], f"{path}.out", kernel_shape=[1, 1], group=channels, pads=pads
    )


def write_linear(graph: OnnxGraph, x: str, path: str) -> str:
    """Add a linear layer on flattened images; its output has two dimensions."""
    flat = graph.add("Flatten", [x], f"{path}.flat", axis=1)
    inputs = [flat, graph.weight(f"{path}.weight"), graph.weight(f"{path}.bias")]
    return graph.add("Gemm", inputs, f"{path}.out", transB=1)
