"""Networks compute what timm's and torchvision's do with the same weights, one of each kind.

`experiments.benchmarks.published_outputs` compares all of them.
"""

import pytest
import torch
from torch import nn

from experiments.benchmarks import published_outputs
from experiments.benchmarks.published_outputs import (
    TOLERANCE,
    compare,
    copy_weights,
    counterpart,
    difference,
    layers_as_run,
)
from nas.errors import MixnasError
from nas.spec import load_network, reference_names
from nas.torch_model import build

TIMM = (
    "convnext_atto",
    "darknet_53",
    "densenet_121",
    "efficientnet_b0",
    "efficientnet_lite0",
    "efficientnet_v2_b0",
    "efficientnet_v2_s",
    "fbnet_c",
    "ghostnet_100",
    "mixnet_s",
    "mnasnet_a1",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v4_conv_small",
    "regnet_x_200mf",
    "regnet_y_200mf",
    "regnet_z_4gf",
    "regnet_z_500mf",
    "res2net_50_26w_4s",
    "resnest_50",
    "resnet_18",
    "resnet_50",
    "resnext_50_32x4d",
    "rexnet_100",
    "se_resnet_50",
    "xception",
)
TORCHVISION = ("alexnet", "googlenet", "shufflenet_v2_x0_5", "squeezenet_1_0")
IMAGE = torch.zeros(1, 3, 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMM + TORCHVISION)
def test_outputs_equal_the_published_networks(timm, name):
    if name in TORCHVISION:
        pytest.importorskip("torchvision", reason="torchvision is not installed")
    found = compare(name)
    assert found["before_copying"] > 0.1
    assert found["difference"] <= TOLERANCE


def test_another_epsilon_is_a_difference(timm):
    torch.manual_seed(0)
    images = [torch.randn(2, 3, 64, 64, dtype=torch.double)]
    ours = build(load_network("mobilenet_v3_small")).double().eval()
    theirs = counterpart("timm mobilenetv3_small_100")
    copy_weights(ours, theirs, images[0][:1])
    assert difference(ours, theirs, images)[0] <= TOLERANCE
    last = [module for module in ours.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    last.eps *= 10
    assert difference(ours, theirs, images)[0] > 100 * TOLERANCE


def test_every_counterpart_is_that_of_a_reference():
    found = published_outputs.counterparts()
    assert set(found) < set(reference_names())
    assert {which.split()[0] for which in found.values()} == {"timm", "torchvision"}
    assert found["efficientnet_v2_s"] == "timm tf_efficientnetv2_s"


def pair(**options):
    """Two networks of a convolution and BN with other names, of which one has some options."""
    ours = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)).eval()
    conv = nn.Conv2d(3, 6, **{"kernel_size": 3, "padding": 1, **options})
    return ours, nn.Sequential(nn.Sequential(conv), nn.BatchNorm2d(6)).eval()


def test_weights_are_copied_by_the_order_of_running():
    ours, theirs = pair()
    published_outputs.randomize(theirs)
    images = [torch.randn(2, 3, 8, 8)]
    assert difference(ours, theirs, images)[0] > 0.1
    copy_weights(ours, theirs, IMAGE)
    assert difference(ours, theirs, images)[0] == 0
    assert torch.equal(ours[1].running_var, theirs[1].running_var)
    assert ours[0].weight.data_ptr() != theirs[0][0].weight.data_ptr()


def test_a_linear_layer_stands_for_the_convolution_of_the_whole_map():
    ours = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
    theirs = nn.Sequential(nn.Conv2d(3, 5, 4), nn.Flatten())
    images = torch.randn(2, 3, 4, 4)
    copy_weights(ours, theirs, images[:1])
    assert difference(ours, theirs, [images])[0] < 1e-5


@pytest.mark.parametrize(
    "options", [{"kernel_size": 5, "padding": 2}, {"groups": 3}, {"stride": 2}, {"bias": False}]
)
def test_layers_that_differ_are_refused_and_nothing_is_copied(options):
    ours, theirs = pair(**options)
    before = ours[0].weight.clone()
    with pytest.raises(MixnasError, match=r"our '0' .* differs from their '0\.0'"):
        copy_weights(ours, theirs, IMAGE)
    assert torch.equal(ours[0].weight, before)


def test_layers_without_a_counterpart_are_refused():
    ours, theirs = pair()
    with pytest.raises(MixnasError, match="2 layers of ours, but 1 of theirs"):
        copy_weights(ours, theirs[0], IMAGE)


def test_layers_that_do_not_run_once_are_refused():
    twice = nn.Conv2d(3, 3, 1)
    with pytest.raises(MixnasError, match="do not run exactly once: 0"):
        layers_as_run(nn.Sequential(twice, twice), IMAGE)
    idle = nn.Sequential(nn.Identity())
    idle[0].add_module("idle", nn.Conv2d(3, 3, 1))
    with pytest.raises(MixnasError, match=r"do not run exactly once: 0\.idle"):
        layers_as_run(idle, IMAGE)


def test_outputs_that_are_no_numbers_are_refused():
    ours, theirs = pair()
    nn.init.constant_(theirs[0][0].bias, torch.nan)
    with pytest.raises(MixnasError, match="are not finite"):
        difference(ours, theirs, [torch.zeros(2, 3, 8, 8)])
