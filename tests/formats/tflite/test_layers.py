import numpy as np
import pytest

from nas.formats.tflite.layers import fusable, tensorflow_pads
from nas.ir import Activation, ChannelShuffle, Conv, Linear, Pad, Residual, Seq
from tests.formats.outputs import ACTIVATIONS

litert = pytest.importorskip("tests.formats.tflite.litert")


@pytest.mark.parametrize("function", sorted({*ACTIVATIONS, "leaky_relu"}))
def test_activations(function):
    tree = Seq((("conv", Conv(3, 8, 3, bias=True)), ("act", Activation(function))))
    assert litert.error(tree, (3, 9, 7)) < 1e-5
    assert litert.error(Activation(function), (3, 9, 7)) < 1e-5


def test_relu_and_relu6_can_be_part_of_another_operator():
    assert [fusable(function) for function in ("relu", "relu6", "swish")] == ["relu", "relu6", ""]


def test_leaky_relu_is_one_operator_with_a_slope_of_a_tenth():
    names, model = litert.operators(Activation("leaky_relu"), (3, 4, 4))
    assert names == ["LEAKY_RELU"]
    assert litert.options(model)[0].alpha == np.float32(0.1)


@pytest.mark.parametrize(("groups", "channels"), [(1, 4), (2, 6), (3, 12), (5, 5)])
def test_shuffled_channels(groups, channels):
    assert litert.error(ChannelShuffle(groups), (channels, 3, 4), batch=3) < 1e-7
    names, _ = litert.operators(ChannelShuffle(groups), (channels, 3, 4))
    assert names == ["RESHAPE", "TRANSPOSE", "RESHAPE"]


def test_a_linear_layer_takes_whole_maps_channel_by_channel():
    assert litert.error(Linear(3 * 4 * 5, 7), (3, 4, 5), batch=3) < 1e-5
    layers = [Linear(60, 8), Activation("relu6"), Linear(8, 8), Activation("mish"), Linear(8, 3)]
    tree = Seq(tuple((f"n{i}", layer) for i, layer in enumerate(layers)))
    assert litert.error(tree, (3, 4, 5), batch=3) < 1e-5
    assert litert.operators(tree, (3, 4, 5))[0][:3] == ["FULLY_CONNECTED"] * 2 + ["ABS"]


def test_padding_that_is_not_tensorflows_is_a_layer_of_its_own():
    conv = Conv(4, 4, 3, stride=2)
    names, model = litert.operators(conv, (4, 8, 8))
    assert names == ["PAD", "CONV_2D"]
    assert litert.options(model)[1].padding == litert.schema.Padding.VALID
    assert litert.operators(Conv(4, 4, 3, padding="same"), (4, 8, 8))[0] == ["CONV_2D"]
    pad = Residual((("pad", Pad((0, 0, 0, 0))),))
    assert litert.operators(pad, (4, 8, 8))[0] == ["PAD", "ADD"]


def test_tensorflows_padding():
    assert tensorflow_pads((4, 8, 9), (3, 5), 2) == (0, 2, 1, 2)


def test_a_depthwise_convolution_may_have_several_outputs_for_a_channel():
    conv = Conv(3, 6, 3, groups=3)
    assert litert.operators(conv, (3, 5, 5))[0] == ["DEPTHWISE_CONV_2D"]
    assert litert.error(conv, (3, 5, 5)) < 1e-5
