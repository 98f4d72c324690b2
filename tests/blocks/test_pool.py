import pytest

from nas.blocks import MBConv, PoolBlock, Rules
from nas.errors import DocumentError
from nas.ir import Pool, end_shape, walk
from nas.space import space_from_yaml
from nas.spec import NetworkSpec, Stem


@pytest.mark.parametrize(
    ("fields", "side", "out"),
    [
        ({"kernel": 3, "stride": 2}, 112, 56),  # ResNet: padding 1
        ({"kernel": 3, "stride": 2, "padding": 0}, 55, 27),  # AlexNet
        ({"kernel": 3, "stride": 2, "padding": 0, "ceil": True}, 109, 54),  # SqueezeNet 1.0
        ({"kernel": 3, "stride": 2, "padding": 0, "ceil": True}, 54, 27),
        ({"kernel": 2, "stride": 2}, 224, 112),  # VGG
        ({"kernel": 2, "stride": 2, "kind": "average"}, 7, 3),  # DenseNet
    ],
)
def test_poolings_of_known_networks(fields, side, out):
    block = PoolBlock(channels=8, **fields)
    (layer,) = walk(block.expand(8, Rules()), (8, side, side))
    assert layer.path == "pool"
    assert isinstance(layer.leaf, Pool)
    assert layer.leaf.kind == fields.get("kind", "max")
    assert layer.out_shape == (8, out, out)


def test_the_padding_is_the_networks_unless_given():
    block = PoolBlock(channels=8, stride=2)
    assert end_shape(block.expand(8, Rules("same")), (8, 9, 9)) == (8, 5, 5)
    (pool,) = walk(block.expand(8, Rules("same")), (8, 9, 9))
    assert pool.leaf.padding == "same"
    (pool,) = walk(PoolBlock(channels=8, padding=1).expand(8, Rules("same")), (8, 9, 9))
    assert pool.leaf.padding == (1, 1, 1, 1)


def test_channels_are_those_of_the_input():
    with pytest.raises(ValueError, match="pooling keeps its 16 channels; found 8"):
        PoolBlock(channels=8).expand(16, Rules())
    spec = NetworkSpec(stem=Stem(16), stages=((PoolBlock(channels=8),),), name="odd")
    with pytest.raises(DocumentError, match=r"odd: stages\.0\.0: pooling keeps its 16 channels"):
        NetworkSpec.from_dict(spec.to_dict())


def test_a_window_has_pixels_of_the_image():
    with pytest.raises(ValueError, match="a padding of 3 pixels is not smaller than the window of"):
        PoolBlock(channels=8, padding=3).expand(8, Rules())


def test_spaces_have_stages_of_pooling():
    space = space_from_yaml(
        """
        variables: {w: {choice: [8, 16]}}
        stem: {channels: $w, kernel: 7}
        input: {resolution: 32}
        stages:
          pool: {op: pool, channels: $w, stride: 2, kernel: {choice: [2, 3]}, padding: 0}
          s: {channels: {choice: [16, 24]}, kernels: {choice: [3, 5]}}
        """
    )
    first = space.decode(space.from_params({"w": 16, "pool.kernel": 2, "s.channels": 24,
                                            "s.kernels": "3"}))  # fmt: skip
    assert first.stages == (
        (PoolBlock(channels=16, stride=2, kernel=2, padding=0),),
        (MBConv(channels=24),),
    )
    assert space.encode_spec(first) == space.from_params(
        {"w": 16, "pool.kernel": 2, "s.channels": 24, "s.kernels": "3"}
    )
    assert first.map_shape() == (24, 8, 8)


def test_a_stage_whose_channels_cannot_fit_is_told():
    text = "{stem: {channels: 8}, stages: {p: {op: pool, channels: {choice: [8, 16]}}}}"
    space = space_from_yaml(text)
    assert space.broken((0,)) == []
    assert space.broken((1,)) == ["stage p: pooling keeps its 8 channels; found 16"]
