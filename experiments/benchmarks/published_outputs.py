"""Outputs of the reference networks and of timm's and torchvision's networks with equal weights.

    PYTHONPATH=FOLDER python -m experiments.benchmarks.published_outputs [NETWORK ...] [--record]

FOLDER is where timm and torchvision are, unless the environment has them: ``pip install --no-deps
--target FOLDER timm==1.0.31 torchvision huggingface_hub safetensors``. The counterpart of a
reference network is the one that its costs in tests/cost/goldens.csv were counted from.

All parameters and statistics of the counterpart are drawn at random, so that no zero and no small
scale hides a layer, and copied into ours, layer by layer in the order in which the layers run. Then
both compute the logits of random images, at an even size and at an odd, oblong one, whose sides
strides and pooling windows do not divide; at the network's own resolution where its classifier sees
every pixel. They do so in double precision, because a part that differs a little, such as an
epsilon, may change the logits by less than single precision rounds them.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.benchmarks.common import record
from nas.errors import MixnasError
from nas.spec import load_network, reference_names
from nas.torch_model import build

GOLDENS = Path(__file__).parents[2] / "tests" / "cost" / "goldens.csv"
SIZES = ((96, 96), (97, 75))
TOLERANCE = 1e-9  # of the largest logit
LEAST_SPREAD = 1e-3  # between the logits of two images; with less, equal outputs would say little
LEAKY_SLOPES = {"darknet_53": 0.1}
"""Slopes that leaky ReLUs of the counterpart are set to.

timm's darknet53 has torch's default of 0.01, Darknet itself 0.1 (its `leaky_activate`), as have we.
The difference with the slope left as it is is recorded, too.
"""

Layer = tuple[str, nn.Module]
"""Path of a module with parameters of its own, and the module."""


def counterparts() -> dict[str, str]:
    """Return the networks that the references are compared with: ``timm NAME``, by reference."""
    found = {}
    with GOLDENS.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            library, _, name = row["counted_from"].split()
            found[row["network"]] = f"{library} {name}"
    return found


def declare_operators() -> torch.library.Library:
    """Declare the operators that torchvision registers shapes for when it is imported.

    Its wheels are compiled for torch with CUDA, and lack them beside torch without. The networks
    use none. They are declared for as long as the returned object lives.
    """
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):  # a whole torchvision has them already
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def counterpart(which: str) -> nn.Module:
    """Return a network with random weights, in double precision and evaluation mode.

    Args:
        which: Library and name, such as ``timm resnet18`` or ``torchvision alexnet``.
    """
    library, name = which.split()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about their own future
        if library == "timm":
            import timm

            model: nn.Module = timm.create_model(name)
        else:
            from torchvision import models

            options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
            model = models.get_model(name, weights=None, **options)
    randomize(model)
    return model.double().eval()


def own_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module without its children's, but for counters."""
    found = dict(module.named_parameters(recurse=False)) | dict(module.named_buffers(recurse=False))
    return {name: tensor for name, tensor in found.items() if tensor.ndim}


def randomize(model: nn.Module) -> None:
    """Draw all parameters and statistics: kernels by fan-in, factors and variances about 1."""
    for module in model.modules():
        for name, tensor in own_tensors(module).items():
            if tensor.ndim > 1:
                nn.init.normal_(tensor, 0.0, math.sqrt(1.5 / tensor[0].numel()))
            elif name in ("bias", "running_mean"):
                nn.init.normal_(tensor, 0.0, 0.2)
            else:
                nn.init.uniform_(tensor, 0.5, 1.5)


def layers_as_run(model: nn.Module, image: Tensor) -> list[Layer]:
    """Return the modules with parameters of their own, in the order in which they finish.

    Args:
        model: The network.
        image: An image that it takes, (1, C, H, W).

    Raises:
        MixnasError: If such a module does not run exactly once.
    """
    run: list[Layer] = []
    paths = {m: path for path, m in model.named_modules() if own_tensors(m)}
    hooks = [m.register_forward_hook(lambda m, *_: run.append((paths[m], m))) for m in paths]
    try:
        with torch.no_grad():
            model(image)
    finally:
        for hook in hooks:
            hook.remove()
    times = [path for path, _ in run]
    wrong = [path or "the network" for path in paths.values() if times.count(path) != 1]
    if wrong:
        raise MixnasError(f"these layers do not run exactly once: {', '.join(wrong[:5])}")
    return run


def tensors_in_pairs(ours: nn.Module, theirs: nn.Module) -> list[tuple[Tensor, Tensor]] | None:
    """Return the tensors of two layers that stand for each other; None if the layers differ.

    They stand for each other by name, or as the only ones of their layers. Convolutions need equal
    kernels, strides, dilations and groups. A linear layer may stand for a dense convolution that
    covers the whole map, whose kernels have as many elements; that they lie in the same order, and
    that paddings are equal, shows only in the outputs.
    """
    mine, other = own_tensors(ours), own_tensors(theirs)
    if len(mine) == len(other) == 1:
        other = dict(zip(mine, other.values(), strict=True))
    if mine.keys() != other.keys():
        return None
    both = isinstance(ours, nn.Conv2d) and isinstance(theirs, nn.Conv2d)
    if both and any(
        getattr(ours, name) != getattr(theirs, name) for name in ("stride", "dilation", "groups")
    ):
        return None
    kinds = {isinstance(ours, nn.Linear), isinstance(theirs, nn.Linear)}
    dense = all(getattr(layer, "groups", 1) == 1 for layer in (ours, theirs))
    flat = kinds == {True, False} and dense
    for name, tensor in mine.items():
        a, b = tensor.shape, other[name].shape
        if (a[0], a[1:].numel()) != (b[0], b[1:].numel()) if flat else a != b:
            return None
    return [(tensor, other[name]) for name, tensor in mine.items()]


def copy_weights(ours: nn.Module, theirs: nn.Module, image: Tensor) -> None:
    """Copy the weights of a network into another one with the same layers in the same order.

    Args:
        ours: Network that receives the weights.
        theirs: Network that has them.
        image: An image that both take, (1, C, H, W).

    Raises:
        MixnasError: If the layers differ; nothing is copied then.
    """
    mine, other = layers_as_run(ours, image), layers_as_run(theirs, image)
    if len(mine) != len(other):
        raise MixnasError(f"{len(mine)} layers of ours, but {len(other)} of theirs")
    pairs: list[tuple[Tensor, Tensor]] = []
    for (path, layer), (their_path, their_layer) in zip(mine, other, strict=True):
        found = tensors_in_pairs(layer, their_layer)
        if found is None:
            raise MixnasError(
                f"our '{path}' {layer} differs from their '{their_path}' {their_layer}"
            )
        pairs += found
    with torch.no_grad():
        for target, source in pairs:
            target.copy_(source.reshape(target.shape))


def difference(ours: nn.Module, theirs: nn.Module, images: list[Tensor]) -> tuple[float, float]:
    """Return how far the logits of two networks are apart, and those of two images.

    Args:
        ours: A network.
        theirs: Another one, whose largest logit is the unit.
        images: Pairs of images, each (2, C, H, W).

    Raises:
        MixnasError: If a logit is not finite.
    """
    apart, spread = 0.0, math.inf
    for pair in images:
        with torch.no_grad():
            a, b = ours(pair), theirs(pair)
        if not (torch.isfinite(a).all() and torch.isfinite(b).all()):
            raise MixnasError(f"logits of images {tuple(pair.shape)} are not finite")
        largest = b.abs().max()
        apart = max(apart, float((a - b).abs().max() / largest))
        spread = min(spread, float((b[0] - b[1]).abs().max() / largest))
    return apart, spread


def compare(name: str) -> dict[str, Any]:
    """Return how far the outputs of a reference network are from those of its counterpart.

    Args:
        name: Name of the reference network.

    Raises:
        MixnasError: If their layers do not correspond, or their outputs say too little.
    """
    torch.manual_seed(0)
    spec, which = load_network(name), counterparts()[name]
    ours, theirs = build(spec).double().eval(), counterpart(which)
    sizes = SIZES if spec.head.any_size else ((spec.input.resolution,) * 2,)
    images = [torch.randn(2, 3, *size, dtype=torch.double) for size in sizes]
    before, _ = difference(ours, theirs, images[:1])
    copy_weights(ours, theirs, images[0][:1])
    found: dict[str, Any] = {
        "network": name,
        "counterpart": which,
        "params": sum(parameter.numel() for parameter in theirs.parameters()),
        "sizes": ["x".join(map(str, size)) for size in sizes],
        "before_copying": float(f"{before:.3g}"),
    }
    if name in LEAKY_SLOPES:
        unchanged, _ = difference(ours, theirs, images)
        for module in theirs.modules():
            if isinstance(module, nn.LeakyReLU):
                module.negative_slope = LEAKY_SLOPES[name]
        found["leaky_slope_set_to"] = LEAKY_SLOPES[name]
        found["with_its_own_slope"] = float(f"{unchanged:.3g}")
    found["difference"], spread = difference(ours, theirs, images)
    if spread < LEAST_SPREAD:
        raise MixnasError(f"{name}: the logits of two images differ by only {spread:.1e}")
    return {**found, "spread": float(f"{spread:.3g}")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help="reference networks; all if none is given")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    known = counterparts()
    unknown = [name for name in arguments.networks if name not in known]
    if unknown:
        parser.error(
            f"no counterpart of {', '.join(unknown)}; there are those of {', '.join(known)}"
        )
    if arguments.record and arguments.networks:
        parser.error("--record wants all networks; leave out their names")
    operators = declare_operators()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.networks or known:
        row = compare(name)
        rows.append(row)
        mark = "" if row["difference"] <= TOLERANCE else "  DIFFERENT"
        if name in LEAKY_SLOPES:
            mark += f"  ({row['with_its_own_slope']:.1e} with the slope of its leaky ReLUs)"
        print(
            f"{name:26} {row['counterpart']:34} {row['params']:>11,} "
            f"{row['difference']:8.1e}{mark}",
            flush=True,
        )
    different = [row["network"] for row in rows if row["difference"] > TOLERANCE]
    result = {
        "dtype": "float64",
        "tolerance": TOLERANCE,
        "compared": len(rows),
        "different": different,
        # Those that equal their counterpart only once it is changed; see their rows.
        "counterpart_changed": [row["network"] for row in rows if row["network"] in LEAKY_SLOPES],
        "without_counterpart": sorted(set(reference_names()) - set(known)),
        "networks": rows,
    }
    packages = ("torch", "timm", "torchvision")
    record("published_outputs", result, *packages, write=arguments.record)
    del operators
    if different:
        sys.exit(f"{len(different)} of {len(rows)} networks differ: {', '.join(different)}")


if __name__ == "__main__":
    main()
