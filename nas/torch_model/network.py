"""The layer tree as torch modules, and weights from other layouts.

Parameter names follow the tree: ``stages.2.0.depthwise.conv.1.weight`` is the second kernel group
of the first block of stage 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from nas.errors import MixnasError
from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    SqueezeExcite,
    nested,
)
from nas.spec import NetworkSpec

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "swish": lambda: nn.SiLU(inplace=True),
    "hard_swish": lambda: nn.Hardswish(inplace=True),
    "mish": lambda: nn.Mish(inplace=True),
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


class SymmetricConv2d(nn.Conv2d):
    """A convolution with (kernel - 1) / 2 pixels of padding on every side.

    In training, the outer part of a kernel that is larger than the image is left out: it only ever
    meets padding. Outputs and gradients stay what they are, and small images train faster.
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        outside = self.kernel_size[0] // 2 - max(x.shape[-2:]) + 1
        if not self.training or outside <= 0 or self.dilation[0] > 1:
            return super().forward(x)
        inner = self.weight[..., outside:-outside, outside:-outside]
        padding = self.kernel_size[0] // 2 - outside
        return F.conv2d(x, inner, self.bias, self.stride, padding, 1, self.groups)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's 'same' padding: the odd pixel goes to the bottom and right.

    Input (N, C, H, W), output (N, C', ceil(H / stride), ceil(W / stride)).
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        (kernel, _), (stride, _), (dilation, _) = self.kernel_size, self.stride, self.dilation
        pads: list[int] = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            pads += [total // 2, total - total // 2]
        padded = F.pad(x, pads)
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class MixConv2d(nn.ModuleList):
    """Convolutions on slices of the channels, concatenated: (N, C, H, W) -> (N, C', H', W')."""

    def __init__(self, convs: list[nn.Conv2d]) -> None:
        super().__init__(convs)
        self.sizes = [conv.in_channels for conv in convs]

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        slices = torch.split(x, self.sizes, dim=1)
        return torch.cat([conv(s) for conv, s in zip(self, slices, strict=True)], dim=1)


class SqueezeExcite2d(nn.Module):
    """x * sigmoid(expand(act(reduce(mean(x))))): (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, node: SqueezeExcite) -> None:
        super().__init__()
        self.reduce = _conv(node.reduce)
        self.act = _ACTIVATIONS[node.activation]()
        self.expand = _conv(node.expand)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        pooled = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(self.act(self.reduce(pooled))))


class Sequential(nn.Sequential):
    """Named children in a row. It is torch's own class, with a constructor from pairs."""

    def __init__(self, children: list[tuple[str, nn.Module]]) -> None:
        super().__init__()
        for name, child in children:
            self.add_module(name, child)


class ResidualSequential(Sequential):
    """Named children in a row, plus their input; in training a whole branch may be dropped.

    Stochastic depth (Huang et al. 2016): with probability `drop_path` a sample skips the branch.
    """

    def __init__(self, children: list[tuple[str, nn.Module]], drop_path: float = 0.0) -> None:
        super().__init__(children)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        branch: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        if self.training and self.drop_path > 0:
            keep = 1 - self.drop_path
            mask = torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) < keep
            branch = branch * mask / keep
        return x + branch


class Classifier(nn.Linear):
    """Flatten, dropout, linear: (N, C, 1, 1) -> (N, classes) logits."""

    def __init__(self, in_features: int, out_features: int, dropout: float) -> None:
        super().__init__(in_features, out_features)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return super().forward(F.dropout(x.flatten(1), self.dropout, self.training))


def _conv(node: Conv) -> nn.Conv2d:
    # At stride 1 both padding rules are the same for odd kernels.
    around = (node.kernel - 1) // 2 * node.dilation
    kind: type[nn.Conv2d] = SymmetricConv2d
    padding: int | tuple[int, int] = around
    if node.padding == "rows":
        kind, padding = nn.Conv2d, (around, 0)
    elif node.padding == "same" and node.stride > 1:
        kind, padding = SameConv2d, 0
    return kind(
        node.in_channels,
        node.out_channels,
        node.kernel,
        node.stride,
        padding=padding,
        dilation=node.dilation,
        groups=node.groups,
        bias=node.bias,
    )


def to_module(node: Node, dropout: float = 0.0, drop_path: float = 0.0) -> nn.Module:
    """Return a layer tree as a torch module.

    Args:
        node: the tree.
        dropout: probability of zeroing a feature before a linear layer, in training.
        drop_path: probability of dropping a residual branch, in training.
    """
    match node:
        case Seq() | Residual():
            children = [(n, to_module(c, dropout, drop_path)) for n, c in node.children]
            if isinstance(node, Seq):
                return Sequential(children)
            return ResidualSequential(children, drop_path)
        case Conv():
            return _conv(node)
        case MixConv():
            return MixConv2d([_conv(conv) for conv in node.convs])
        case BatchNorm():
            return nn.BatchNorm2d(node.channels, node.eps, node.momentum)
        case Activation():
            return _ACTIVATIONS[node.function]()
        case SqueezeExcite():
            return SqueezeExcite2d(node)
        case Pad():
            return nn.ZeroPad2d((node.columns, node.columns, 0, 0))
        case GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case Linear():
            return Classifier(node.in_features, node.out_features, dropout)


def to_loaded_module(tree: Node, weights: Mapping[str, np.ndarray]) -> nn.Module:
    """Return a layer tree as a torch module with weights, in evaluation mode.

    Args:
        tree: the network; names may hold dots.
        weights: by name, as `weights_of` gives them; BN's counters of batches may be left out.

    Raises:
        KeyError: when other weights are missing, or some have no place.
    """
    module = to_module(nested(tree))
    state = {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
    missing, left_over = module.load_state_dict(state, strict=False)
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + left_over
    if wrong:
        raise KeyError(f"weights missing or without a place: {', '.join(wrong)}")
    return module.eval()


def weights_of(module: nn.Module) -> dict[str, np.ndarray]:
    """Return a module's parameters and buffers by name, as arrays."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}


class Network(nn.Module):
    """A `NetworkSpec` as a torch module: images (N, C, H, W) -> logits (N, classes).

    Attributes:
        spec: what it was built from.
    """

    stem: nn.Module
    stages: nn.ModuleList
    head: nn.Module
    pool: nn.Module
    classifier: nn.Module

    def __init__(self, spec: NetworkSpec, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        """Build with random weights (drawn from torch's global generator).

        Args:
            spec: the network.
            dropout: before the classifier, in training.
            drop_path: of the last block's residual branch; earlier ones linearly less.
        """
        super().__init__()
        self.spec = spec
        done, total = 0, max(1, len(spec.blocks))
        for name, node in spec.tree().children:
            if not name.startswith("stages."):
                self.add_module(name, to_module(node, dropout))
                continue
            if done == 0:  # registered here, so that modules stand in the order they run
                self.stages = nn.ModuleList(nn.ModuleList() for _ in spec.stages)
            block = to_module(node, drop_path=drop_path * done / total)
            _, stage, index = name.split(".")
            self.stages.get_submodule(stage).add_module(index, block)
            done += 1
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.stem(x)
        for block in self.blocks():
            x = block(x)
        if self.spec.head.channels:
            x = self.head(x)
        logits: Tensor = self.classifier(self.pool(x))
        return logits

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the modules of all blocks, in order."""
        for stage in self.stages.children():
            yield from stage.children()


def _initialise(module: nn.Module) -> None:
    """Draw weights: convolutions by fan-out, as MixNet's published code, the classifier small."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] ** 2 * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        # MixNet's own rule (uniform up to 1/sqrt(classes)) saturates a softmax over few classes.
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)


def zero_residuals(model: nn.Module) -> None:
    """Let every residual branch start at zero: its last BN's scale (Goyal et al. 2017, 5.1).

    Deep networks then train as quickly as shallow ones from the first step on.
    """
    for branch in model.modules():
        if isinstance(branch, ResidualSequential):
            norms = [m for m in branch.modules() if isinstance(m, nn.BatchNorm2d)]
            nn.init.zeros_(norms[-1].weight)


def build(
    spec: NetworkSpec, seed: int | None = None, dropout: float = 0.0, drop_path: float = 0.0
) -> Network:
    """Build a network; with a seed its weights are the same every time.

    The global random state is left as it was when a seed is given.
    """
    if seed is None:
        return Network(spec, dropout, drop_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec, dropout, drop_path)


# timm's names of a block's parts (timm/models/_efficientnet_blocks.py), by our names. timm has
# classes of its own for blocks with and without an expansion.
_TIMM_EXPANDED = {
    "expand.conv": "conv_pw",
    "expand.norm": "bn1",
    "depthwise.conv": "conv_dw",
    "depthwise.norm": "bn2",
    "se.reduce": "se.conv_reduce",
    "se.expand": "se.conv_expand",
    "project.conv": "conv_pwl",
    "project.norm": "bn3",
}
_TIMM_SEPARABLE = {
    "depthwise.conv": "conv_dw",
    "depthwise.norm": "bn1",
    "se.reduce": "se.conv_reduce",
    "se.expand": "se.conv_expand",
    "project.conv": "conv_pw",
    "project.norm": "bn2",
}
_TIMM_CONV = {"conv": "conv", "norm": "bn1"}
_TIMM_ENDS = {
    "stem.conv": "conv_stem",
    "stem.norm": "bn1",
    "head.conv": "conv_head",
    "head.norm": "bn2",
    "classifier": "classifier",
}


def _timm_name(model: Network, name: str) -> str:
    """Return timm's name of one of our parameters or buffers."""
    prefix, parts = "", _TIMM_ENDS
    if name.startswith("stages."):
        _, stage, index, name = name.split(".", 3)
        prefix = f"blocks.{stage}.{index}."
        block = model.get_submodule(f"stages.{stage}.{index}")
        parts = _TIMM_CONV
        if hasattr(block, "depthwise"):
            parts = _TIMM_EXPANDED if hasattr(block, "expand") else _TIMM_SEPARABLE
    for ours, theirs in parts.items():
        if name.startswith(f"{ours}."):
            return f"{prefix}{theirs}{name[len(ours) :]}"
    raise MixnasError(f"timm has no counterpart of '{name}'")


def load_timm_state_dict(model: Network, state: Mapping[str, Tensor]) -> None:
    """Give a model the weights of timm's network of the same architecture.

    Covers what timm builds from arch strings of ir, ds and cn blocks (MixNet, MobileNetV1 and V2,
    MnasNet, EfficientNet). timm's ``mixnet_*`` go with symmetric padding and eps 1e-5,
    ``tf_mixnet_*`` with padding ``same`` and eps 1e-3.

    Args:
        model: takes the weights; unchanged on error.
        state: timm's state dict.

    Raises:
        MixnasError: when a weight is missing, left over or has another shape.
    """
    own = model.state_dict()
    names = {name: _timm_name(model, name) for name in own}
    wrong = [f"'{theirs}' is missing" for theirs in names.values() if theirs not in state]
    wrong += [f"'{name}' has no place" for name in sorted(set(state) - set(names.values()))]
    wrong += [
        f"'{theirs}' is {tuple(state[theirs].shape)}, expected {tuple(own[ours].shape)}"
        for ours, theirs in names.items()
        if theirs in state and state[theirs].shape != own[ours].shape
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise MixnasError(
            f"the weights do not fit '{model.spec.name or 'the network'}': "
            f"{'; '.join(wrong[:3])}{more}; is it the same architecture and number of classes?"
        )
    model.load_state_dict({ours: state[theirs] for ours, theirs in names.items()})


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file.

    Raises:
        MixnasError: when it cannot be read.
    """
    try:
        found: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise MixnasError(f"{path}: no such file; give a .safetensors file") from None
    except (OSError, SafetensorError) as error:
        raise MixnasError(f"{path}: no safetensors file ({error})") from None
    return found


def load_weights(model: Network, path: Path) -> None:
    """Give a model the weights of a safetensors file written from the same architecture.

    Raises:
        MixnasError: when the file cannot be read, or holds other weights; the model is unchanged.
    """
    state = read_weights(path)
    own = model.state_dict()
    wrong = sorted(
        name
        for name in {*own, *state}
        if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if wrong:
        raise MixnasError(
            f"{path}: the weights are of another network (first difference: '{wrong[0]}')"
        )
    model.load_state_dict(state)
