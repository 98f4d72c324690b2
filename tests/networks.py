"""Small networks that tests train and judge."""

from types import SimpleNamespace

import torch

from nas.blocks import MBConv
from nas.data import load_data
from nas.spec import Head, Input, NetworkSpec, Stem, load_network
from nas.torch_model import build
from nas.train.batches import Batches
from nas.train.loop import Trainer

TINY = NetworkSpec(
    stem=Stem(channels=16),
    stages=((MBConv(channels=24, stride=2, kernels=(3, 5), expansion=3),),),
    head=Head(channels=64),
    num_classes=10,
    name="tiny",
)
# A reference network of every block family, and those that lowering and latency are told about. At
# low resolutions all of them are small.
FAMILIES = (
    "mixnet_s",
    "mixnet_m",
    "mixnet_l",
    "mobilenet_v1",
    "mobilenet_v2",
    "efficientnet_b0",
    "mobilenet_v3_small",
    "mobilenet_v4_conv_small",
    "efficientnet_v2_b0",
    "ghostnet_100",
    "rexnet_100",
    "shufflenet_v1_g3",
    "shufflenet_v2_x0_5",
    "resnet_18",
    "se_resnet_50",
    "regnet_y_200mf",
    "regnet_z_500mf",
    "res2net_50_26w_4s",
    "resnest_50",
    "darknet_53",
    "xception",
    "squeezenet_1_1",
    "nin",
    "alexnet",
    "googlenet",
    "densenet_121",
    "convnext_atto",
)
LOWERED, OTHERS = FAMILIES[:6], FAMILIES[6:]
DEEP = TINY.replace(
    stages=(
        (
            MBConv(channels=24, stride=2, kernels=(3, 5), expansion=3, se_ratio=0.25),
            MBConv(channels=24, kernels=(7,), expansion=6, expand_groups=2, project_groups=2),
        ),
        (MBConv(channels=40, stride=2, kernels=(3, 5, 7), expansion=3, activation="swish"),),
    ),
    name="deep",
)


def small(name):
    """Return a reference network for images of a size that all of them take."""
    return load_network(name).replace(input=Input(resolution=65))


def trainer(recipe, seed=0, **options):
    """A training of the tiny network on digits, on one thread."""
    torch.set_num_threads(1)
    source = Batches(load_data("digits").at(16), recipe.batch_size, seed)
    return Trainer(build(TINY, 0), source, recipe, seed, **options)


def train(model, data, recipe, seed):
    """Train to the end and judge: what came of it, under the names of its figures."""
    training = Trainer(model, Batches(data, recipe.batch_size, seed), recipe, seed)
    for _ in training.steps():
        pass
    found = training.evaluate("validation")
    return SimpleNamespace(
        losses=training.losses, accuracy=found.accuracy, loss=found.loss, steps=training.step
    )


def trained_like(spec):
    """Return a network with random weights, biases and normalization statistics."""
    model = build(spec, seed=1).eval()
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, torch.nn.Linear) or getattr(module, "bias", None) is not None:
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return model
