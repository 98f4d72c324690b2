import pytest

from nas.ir import Activation, BatchNorm, Conv, LayerNorm, LocalResponseNorm, Residual, Scale, Seq

litert = pytest.importorskip("tests.formats.tflite.litert")


@pytest.mark.parametrize("channels", [1, 5])
def test_a_batch_normalization_of_its_own_is_one_operator(channels):
    norm = BatchNorm(channels)
    tree = Seq((("norm", norm), ("act", Activation("relu"))))
    assert litert.error(norm, (channels, 4, 3)) < 1e-5
    assert litert.error(tree, (channels, 4, 3)) < 1e-5
    names, model = litert.operators(tree, (channels, 4, 3))
    assert names == ["DEPTHWISE_CONV_2D" if channels > 1 else "CONV_2D"]
    kinds = litert.schema.ActivationFunctionType
    assert litert.options(model)[0].fusedActivationFunction == kinds.RELU


@pytest.mark.parametrize("eps", [1e-6, 1e-3])
@pytest.mark.parametrize("channels", [1, 2, 24])
def test_layer_normalization(channels, eps):
    assert litert.error(LayerNorm(channels, eps), (channels, 5, 3), batch=3) < 1e-5


@pytest.mark.parametrize("size", range(1, 6))
@pytest.mark.parametrize("beta", [0.5, 0.75, 1.0])
def test_response_normalization_of_odd_and_even_sizes(size, beta):
    norm = LocalResponseNorm(size, alpha=0.5, beta=beta, bias=2.0)
    for channels in (1, 3, 9):
        assert litert.error(norm, (channels, 4, 3), batch=3) < 1e-5


def test_a_scale_is_a_product_unless_a_convolution_can_do_it():
    scale = Scale(4)
    assert litert.operators(scale, (4, 3, 3))[0] == ["MUL"]
    assert litert.error(Residual((("scale", scale),)), (4, 3, 3)) < 1e-6
    after = Seq((("conv", Conv(4, 4)), ("scale", scale)))
    assert litert.operators(after, (4, 3, 3))[0] == ["CONV_2D"]
    assert litert.error(after, (4, 3, 3)) < 1e-5
