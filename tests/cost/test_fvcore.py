import pytest

pytest.importorskip("fvcore")

from torch import nn

from nas.blocks import ConvBlock
from nas.cost.fvcore import fvcore_madds, module_madds
from nas.spec import Head, Input, NetworkSpec, Stem


def test_only_convolution_and_linear_layers_count():
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    assert module_madds(module, (3, 8, 6)) == 3 * 8 * 9 * 4 * 3 + 8 * 10
    assert not module.training


def test_a_spec_by_hand():
    spec = NetworkSpec(
        stem=Stem(channels=4),
        stages=((ConvBlock(channels=8, kernels=(5,)),),),
        head=Head(channels=0),
        input=Input(resolution=16),
        num_classes=3,
    )
    assert fvcore_madds(spec) == (3 * 4 * 9 + 4 * 8 * 25) * 8 * 8 + 8 * 3
