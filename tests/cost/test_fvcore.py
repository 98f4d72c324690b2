import pytest

pytest.importorskip("fvcore")

from torch import nn

from nas.blocks import ConvBlock
from nas.cost.fvcore import fvcore_madds, module_costs, module_madds, timm_costs
from nas.named import open_timm
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


def test_products_of_activations_are_no_layers(stand_in_for_timm):
    network = open_timm("timm:vit_small", classes=5)
    patches = 10 * 10
    embed, qkv = patches * 8 * 3 * 16 * 16, patches * 8 * 24
    assert timm_costs(network) == {
        "params": 8 * 3 * 256 + 8 + 8 * 24 + 24 + 8 * 5 + 5,
        "madds": embed + qkv + 8 * 5,
    }
    assert module_costs(network.build(0), (3, 160, 160)) == timm_costs(network)
