"""Other published networks of the families, made from the references.

Parameters and multiply-adds at 224 pixels are counted from the modules of timm (1.0.31) and
torchvision.
"""

import dataclasses

import pytest

from nas.cost import count
from nas.spec import load_network


def repeated(spec, depths, **fields):
    """Return a network whose stages have other numbers of blocks, without their pools."""
    stages = []
    for stage, depth in zip(spec.stages, depths, strict=True):
        pools = [block for block in stage if block.family == "pool"]
        first, *others = (block for block in stage if block.family != "pool")
        blocks = [first, *[(others or [first])[-1]] * (depth - 1)]
        stages.append((*(dataclasses.replace(b, **fields) for b in blocks), *pools))
    return spec.replace(stages=tuple(stages))


def convnext(width, depths=(2, 2, 6, 2)):
    spec = repeated(load_network("convnext_atto"), depths)
    stages = tuple(
        tuple(dataclasses.replace(block, channels=width << i) for block in stage)
        for i, stage in enumerate(spec.stages)
    )
    return spec.replace(stages=stages, stem=dataclasses.replace(spec.stem, channels=width))


def resnext(depths, **fields):
    spec = load_network("resnext_50_32x4d")
    pool, *stages = spec.stages
    other = repeated(spec.replace(stages=tuple(stages)), depths)
    stages = tuple(
        tuple(
            dataclasses.replace(b, **{n: v(b) if callable(v) else v for n, v in fields.items()})
            for b in stage
        )
        for stage in other.stages
    )
    return spec.replace(stages=(pool, *stages))


def vgg(depths):
    """Return VGG; its first convolution is the stem."""
    spec = load_network("vgg_16")
    stages = repeated(spec, [max(1, depth) for depth in depths]).stages
    if depths[0] == 0:
        stages = (stages[0][1:], *stages[1:])
    return spec.replace(stages=stages)


def densenet(depths, growth=32):
    spec = load_network("densenet_121")
    channels, stages = spec.stem.channels, []
    for i, depth in enumerate(depths):
        blocks = []
        for block in spec.stages[i]:
            if block.family != "dense":
                channels = channels if block.family == "pool" else channels // 2
                blocks.append(dataclasses.replace(block, channels=channels))
        dense = next(block for block in spec.stages[i] if block.family == "dense")
        for _ in range(depth):
            channels += growth
            blocks.append(dataclasses.replace(dense, channels=channels))
        stages.append(tuple(blocks))
    return spec.replace(stages=tuple(stages))


RELATIVES = {
    "convnext_femto": (lambda: convnext(48), 5_217_784, 779_629_824),
    "convnext_pico": (lambda: convnext(64), 9_045_672, 1_367_055_360),
    "convnext_tiny": (lambda: convnext(96, (3, 3, 9, 3)), 28_589_128, 4_455_531_264),
    "seresnext50_32x4d": (
        lambda: resnext((3, 4, 6, 3), se_ratio=1 / 16, se_place="end"), 27_559_896, 4_232_994_816,
    ),
    "resnext101_32x8d": (
        lambda: resnext(
            (3, 4, 23, 3), bottleneck_ratio=1, group_width=lambda block: block.channels // 32
        ),
        88_791_336,
        16_414_015_488,
    ),
    "vgg11": (lambda: vgg((0, 1, 2, 2, 2)), 132_863_336, 7_609_090_048),
    "vgg19": (lambda: vgg((1, 2, 4, 4, 4)), 143_667_240, 19_632_062_464),
    "densenet201": (lambda: densenet((6, 12, 48, 32)), 20_013_928, 4_291_365_888),
}  # fmt: skip


@pytest.mark.parametrize("name", RELATIVES)
def test_costs_of_relatives(name):
    make, params, madds = RELATIVES[name]
    found = count(make().at(224))
    assert (found.params, found.madds) == (params, madds)
