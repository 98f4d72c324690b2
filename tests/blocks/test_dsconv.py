import pytest

from nas.blocks import DSConv, Rules
from nas.ir import MixConv, walk


def test_both_convolutions_have_a_norm_and_an_activation():
    tree = DSConv(channels=24, stride=2, activation="relu6").expand(16, Rules())
    layers = list(walk(tree, (16, 8, 8)))
    assert [layer.path for layer in layers] == [
        "depthwise.conv",
        "depthwise.norm",
        "depthwise.act",
        "project.conv",
        "project.norm",
        "project.act",
    ]
    assert [layer.out_shape for layer in layers[::3]] == [(16, 4, 4), (24, 4, 4)]
    assert layers[-1].leaf.function == "relu6"


def test_the_projection_can_have_groups():
    tree = DSConv(channels=24, project_groups=2).expand(16, Rules())
    (projection,) = [x.leaf for x in walk(tree, (16, 8, 8)) if x.path == "project.conv"]
    assert isinstance(projection, MixConv)
    assert [(c.in_channels, c.out_channels) for c in projection.convs] == [(8, 12), (8, 12)]


def test_the_group_width_must_divide_the_input():
    DSConv(channels=8, group_width=3).expand(9, Rules())
    with pytest.raises(ValueError, match="group_width 2 does not divide 9 input channels"):
        DSConv(channels=8, group_width=2).expand(9, Rules())
