from nas.blocks import MBConv, Rules
from nas.ir import walk


def layers(block, channels=16, size=8):
    return [layer.path for layer in walk(block.expand(channels, Rules()), (channels, size, size))]


def test_mbconv_layers():
    assert layers(MBConv(channels=24, expansion=1)) == [
        "depthwise.conv",
        "depthwise.norm",
        "depthwise.act",
        "project.conv",
        "project.norm",
    ]
    assert layers(MBConv(channels=24, se_ratio=0.25))[3:7] == [
        "depthwise.conv",
        "depthwise.norm",
        "depthwise.act",
        "se",
    ]


def test_the_expansion_is_left_out_at_ratio_one_only():
    tree = MBConv(channels=24, expansion=3, expand_groups=2).expand(16, Rules())
    convs = [layer for layer in walk(tree, (16, 8, 8)) if layer.path.endswith("conv")]
    assert [layer.path for layer in convs] == ["expand.conv", "depthwise.conv", "project.conv"]
    assert [layer.out_shape[0] for layer in convs] == [48, 48, 24]
    assert [(one.in_channels, one.out_channels) for one in convs[0].leaf.convs] == [(8, 24)] * 2
    # 12 channels are rounded up to whole groups of 8, which takes a 1x1 convolution at ratio 1.
    assert layers(MBConv(channels=24, expansion=1, group_width=8), 12)[0] == "expand.conv"


def test_widths_rounded_to_whole_groups_need_an_expansion_at_ratio_one():
    block = MBConv(channels=24, expansion=1, group_width=16)
    assert block.middle_channels(24) == 32
    names = [name for name, _ in block.expand(24, Rules()).children]
    assert names == ["expand", "depthwise", "project"]
    assert not block.expands(32)


def test_the_projection_is_linear():
    assert layers(MBConv(channels=24))[-2:] == ["project.conv", "project.norm"]
