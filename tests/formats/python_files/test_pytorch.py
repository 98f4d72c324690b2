"""Python files that need torch only: their text, and the networks that they make."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from nas.blocks import MBConv
from nas.formats.python_files.pytorch import to_pytorch
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    nested,
)
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL, candidates, lower
from nas.spec import Head, Input, NetworkSpec, Stem
from nas.torch_model import build, to_loaded_module, to_module, weights_of
from tests.networks import DEEP, TINY, trained_like
from tests.random_trees import trees
from tests.test_spec import specs

SMALL = NetworkSpec(
    stem=Stem(channels=8),
    stages=((MBConv(channels=8, kernels=(3, 5), expansion=2, se_ratio=0.5, activation="swish"),),),
    head=Head(channels=0),
    input=Input(resolution=32),
    num_classes=2,
)
TEXT = '''class Network(nn.Module):
    """The network: images (batch, 3, 32, 32) -> logits (batch, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Sequence(
            conv=nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
            norm=nn.BatchNorm2d(8),
            act=nn.ReLU(),
        )
        self.stages = Sequence(
            Sequence(
                # 8 channels, 16 x 16
                Residual(
                    expand=Sequence(
                        conv=nn.Conv2d(8, 16, 1, bias=False),
                        norm=nn.BatchNorm2d(16),
                        act=nn.SiLU(),
                    ),
                    depthwise=Sequence(
                        conv=MixConv(
                            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
                            nn.Conv2d(8, 8, 5, padding=2, groups=8, bias=False),
                        ),
                        norm=nn.BatchNorm2d(16),
                        act=nn.SiLU(),
                    ),
                    se=SqueezeExcite(16, 4, nn.SiLU()),
                    project=Sequence(conv=nn.Conv2d(16, 8, 1, bias=False), norm=nn.BatchNorm2d(8)),
                ),
            ),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.stages(x)
        x = self.pool(x)
        x = self.classifier(torch.flatten(x, 1))
        return x
'''


SAME = Seq(())  # the identity
CONV = Seq((("conv", Conv(8, 8, 3)), ("norm", BatchNorm(8)), ("act", Activation("leaky_relu"))))
GATE = SqueezeExcite(Conv(8, 2, bias=True), Conv(2, 8, bias=True), "relu", gate="hard_sigmoid")
ATTENTION = SplitAttention(
    8, 2, Conv(8, 4, bias=True), BatchNorm(4), "relu", Conv(4, 16, bias=True)
)
EVERY = Seq(
    (
        ("stem", Conv(3, 8, 3, 2, bias=True)),
        ("norm", LocalResponseNorm(3, alpha=0.1)),
        ("pool", Pool("max", 3, 2, "same")),
        ("mean", Pool("average", 2, 1, (0, 0, 1, 1), count_padding=True)),
        ("stages.0.0", Sum((("shortcut", SAME), ("branch", CONV)), "branch")),
        ("stages.0.1", Residual((("norm", LayerNorm(8)), ("conv", CONV), ("scale", Scale(8))))),
        ("stages.1.0", Concat((("0", SAME), ("1", Pool("average", 3))))),
        ("stages.1.1", ChannelShuffle(2)),
        ("stages.1.2", Slices((("same", SAME), ("gate", GATE)), (8, 8))),
        ("stages.1.3", Cascade((("0", CONV), ("1", SAME)), (8, 8))),
        ("stages.1.4", ATTENTION),
        ("fc.hidden", Linear(8 * 4 * 4, 16)),
        ("fc.act", Activation("relu")),
        ("fc.dropout", Dropout(0.2)),
        ("classifier", Linear(16, 5)),
    )
)
EVERY_TEXT = """
        self.stages = Sequence(
            Sequence(
                # 8 channels, 4 x 4
                Sum(
                    shortcut=nn.Identity(),
                    branch=Sequence(
                        conv=nn.Conv2d(8, 8, 3, padding=1, bias=False),
                        norm=nn.BatchNorm2d(8),
                        act=nn.LeakyReLU(negative_slope=0.1),
                    ),
                ),
                # 8 channels, 4 x 4
                Residual(
                    norm=LayerNorm2d(8, eps=1e-06),
                    conv=Sequence(
                        conv=nn.Conv2d(8, 8, 3, padding=1, bias=False),
                        norm=nn.BatchNorm2d(8),
                        act=nn.LeakyReLU(negative_slope=0.1),
                    ),
                    scale=Scale(8),
                ),
            ),
            Sequence(
                # 16 channels, 4 x 4
                Concat(
                    nn.Identity(),
                    nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
                ),
                # 16 channels, 4 x 4
                nn.ChannelShuffle(2),
                # 16 channels, 4 x 4
                Slices(
                    same=nn.Identity(),
                    gate=SqueezeExcite(8, 2, nn.ReLU(), nn.Hardsigmoid()),
                    sizes=(8, 8),
                ),
"""


class Phases:
    def form(self, mix, shape):
        forms = candidates(mix)
        return forms.get("split phases", forms.get("phases", MERGE_ALL.form(mix, shape)))

    def wide_gate(self, se, shape):
        return True


def run(tree, shape, weights, folder):
    """Return what the written file gives for three images."""
    return run_with(tree, shape, to_loaded_module(tree, weights).state_dict(), folder)


def run_with(tree, shape, state, folder):
    """Return what the written file gives for three images, with the weights of a state dict."""
    path = folder / "network.py"
    path.write_text(to_pytorch(tree, shape, {}))
    torch.save(state, folder / "network.pt")
    network = runpy.run_path(str(path))["load"]()
    return network(images_of(shape)).detach().numpy()


def images_of(shape):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((3, *shape), np.float32))


def random_module(tree):
    """Return a layer tree as our torch module, with random weights and statistics."""
    module = to_module(nested(tree)).eval()
    rng = np.random.default_rng(1)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, tensor.shape)))
        elif tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(rng.standard_normal(tensor.shape) / 2))
    return module


def difference(spec, folder, choice=None):
    """Return the largest difference to torch's outputs, relative to the largest."""
    model = trained_like(spec)
    expected = model(images_of(spec.in_shape)).detach().numpy()
    tree, weights = spec.tree(), weights_of(model)
    if choice is not None:
        tree, weights = lower(tree, spec.in_shape, weights, choice)
    found = run(tree, spec.in_shape, weights, folder)
    return np.abs(found - expected).max() / np.abs(expected).max()


def test_the_network_is_written_as_an_engineer_would_write_it():
    text = to_pytorch(SMALL.tree(), SMALL.in_shape, {})
    assert TEXT in text
    assert [line for line in text.splitlines() if line.startswith("class ")] == [
        "class Sequence(nn.Sequential):",
        "class Residual(Sequence):",
        "class MixConv(nn.ModuleList):",
        "class SqueezeExcite(nn.Module):",
        "class Network(nn.Module):",
    ]
    assert "import torch.nn.functional" not in text


def test_layers_of_all_families_are_written():
    text = to_pytorch(EVERY, (3, 15, 15), {})
    assert EVERY_TEXT.strip("\n") in text
    assert "self.fc = Sequence(hidden=FlatLinear(128, 16), act=nn.ReLU(), dropout=nn.Drop" in text
    assert "x = self.fc(x)\n        x = self.classifier(torch.flatten(x, 1))" in text


@pytest.mark.parametrize("choice", [None, MERGE_ALL, Phases()])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_a_file_makes_the_network_that_torch_has(tmp_path, padding, choice):
    spec = DEEP.replace(padding=padding, input=Input(resolution=32))
    assert difference(spec, tmp_path, choice) < 1e-5


@settings(max_examples=6)
@given(spec=specs)
def test_any_network_can_be_written(spec, tmp_path_factory):
    spec = spec.at(16)
    assert difference(spec, tmp_path_factory.mktemp("any")) < 1e-4


def assert_equal_to_torch(tree, shape, folder):
    module = random_module(tree)
    expected = module(images_of(shape)).detach().numpy()
    found = run_with(tree, shape, module.state_dict(), folder)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-6 * max(1.0, np.abs(expected).max())


@settings(max_examples=60)
@given(drawn=trees())
def test_any_layer_tree_can_be_written(drawn, tmp_path_factory):
    assert_equal_to_torch(*drawn, tmp_path_factory.mktemp("any"))


def test_layers_of_all_families_have_the_outputs_of_torch(tmp_path):
    assert_equal_to_torch(EVERY, (3, 15, 15), tmp_path)


def test_every_kind_of_layer_can_be_written(tmp_path):
    branches = (("0", Conv(2, 2, 3, bias=True)), ("1", Conv(2, 4, 2, padding=(0, 1, 1, 0))))
    parts = {
        "pad": Pad((1, 2, 3, 4)),
        "sum": Sum((("a", Conv(6, 4)), ("b", Conv(6, 4, 3, columns=1, padding=(1, 0, 1, 0))))),
        "slices": Slices(branches),
        "act": Activation("gelu"),
    }
    tree, shape = Seq(tuple(parts.items())), (6, 9, 8)
    weights = realistic_weights(tree)
    expected = to_loaded_module(tree, weights)(images_of(shape)).detach().numpy()
    assert expected.shape == (3, 6, 13, 14)
    assert np.allclose(run(tree, shape, weights, tmp_path), expected, atol=1e-5)


def test_children_are_numbered_from_the_first_on():
    layers = [Conv(2, 2), Conv(2, 2), Activation("relu")]
    tree = Seq((("body", Seq(tuple(zip(["0", "1", "act"], layers, strict=True)))),))
    text = to_pytorch(tree, (2, 1, 1), {})
    assert "act=nn.ReLU()" in text
    assert "0=" not in text
    for names in (["0", "2", "act"], ["a", "1", "act"]):
        tree = Seq((("body", Seq(tuple(zip(names, layers, strict=True)))),))
        with pytest.raises(ValueError, match=f"'{names[1]}' cannot be a name in Python"):
            to_pytorch(tree, (2, 1, 1), {})


@pytest.mark.parametrize("inner", [("3x3",), ("a", "class"), ("0",)])
def test_what_is_not_a_name_is_refused(inner):
    tree = Linear(2, 2)
    for name in reversed(inner):
        tree = Seq(((name, tree),))
    with pytest.raises(ValueError, match=f"'{inner[-1]}' cannot be a name in Python"):
        to_pytorch(tree, (2, 1, 1), {})


def test_texts_of_others_are_literals():
    hostile = ('"""\nimport os\n"""', "it's", 'b"', "\\", "\u202ereversed", "\ud800", "{images}")
    data = {"mean": (0.5,), "x": {'"': None}, "none": ()}
    constants = {"CLASSES": hostile * 4, "PREPROCESSING": data}
    spec = SMALL.replace(name='"""\nimport os')
    parsed = ast.parse(to_pytorch(spec.tree(), spec.in_shape, constants))
    found = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in parsed.body
        if isinstance(node, ast.Assign) and node.targets[0].id != "WEIGHTS"
    }
    assert found == {"INPUT": (3, 32, 32), **constants}
    imports = [node for node in ast.walk(parsed) if isinstance(node, ast.Import)]
    assert [alias.name for node in imports for alias in node.names] == ["torch"]


@pytest.mark.parametrize("kind", ["trained", "lowered", "every", "plain"])
def test_a_formatter_has_nothing_to_change(tmp_path, kind):
    spec = TINY.replace(padding="same")
    tree, shape = spec.tree(), spec.in_shape
    if kind == "lowered":
        tree, _ = lower(tree, shape, weights_of(build(spec, 0)), Phases())
    if kind == "every":
        tree, shape = EVERY, (3, 15, 15)
    if kind == "plain":  # without classes of its own
        tree, shape = Seq((("act", Activation("relu")),)), (2, 3, 3)
    path = tmp_path / "network.py"
    path.write_text(to_pytorch(tree, shape, {"CLASSES": ("it's", "b") * 20}))
    ruff = Path(sys.executable).with_name("ruff")
    for words in (
        ["format", "--diff"],
        ["check", "--select=E,F,W,I"],
    ):
        done = subprocess.run(
            [ruff, *words, "--isolated", "--line-length=100", path], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
