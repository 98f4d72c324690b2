import pytest

from nas.ir import BatchNorm, Conv, SplitAttention, SqueezeExcite

litert = pytest.importorskip("tests.formats.tflite.litert")


def squeeze_excite(gate, activation, bias=True):
    return SqueezeExcite(
        Conv(8, 3, bias=bias), Conv(3, 8, bias=bias), activation=activation, gate=gate
    )


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
@pytest.mark.parametrize("activation", ["relu", "swish", "leaky_relu"])
@pytest.mark.parametrize("bias", [False, True])
def test_squeeze_and_excitation(gate, activation, bias):
    assert litert.error(squeeze_excite(gate, activation, bias), (8, 4, 5), batch=3) < 1e-5


def test_a_hard_gate_is_part_of_the_convolution_before_it():
    names, model = litert.operators(squeeze_excite("hard_sigmoid", "relu"), (8, 4, 4))
    assert names == ["MEAN", "CONV_2D", "CONV_2D", "MUL", "MUL"]
    kinds = litert.schema.ActivationFunctionType
    found = [option.fusedActivationFunction for option in litert.options(model)[1:3]]
    assert found == [kinds.RELU, kinds.RELU6]


@pytest.mark.parametrize("radix", [1, 2, 3])
@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_split_attention(radix, activation):
    node = SplitAttention(
        channels=5,
        radix=radix,
        reduce=Conv(5, 4, bias=True),
        norm=BatchNorm(4),
        activation=activation,
        expand=Conv(4, 5 * radix, bias=True),
    )
    assert litert.error(node, (5 * radix, 4, 3), batch=3) < 1e-5
