r"""RegNet's own study, redone: populations of AnyNetX_A to E and RegNetX, trained briefly.

    python -m experiments.benchmarks.regnet_populations --data CIFAR-10 --networks 16
        [--spaces anynet_a regnet] [--minutes 60] [--folder FOLDER]

Radosavovic et al. 2020 ("Designing Network Design Spaces", sections 3 and 4) draw 500 networks with
360 to 400M multiply-adds from each of a chain of spaces, train each for 10 epochs of ImageNet, and
compare the distributions of their errors. Here the networks are drawn as there, from the shipped
spaces, and within the same limits: counted on images of 224 pixels, so that their depths, widths
and groups are those of the paper's "400MF regime". They are then trained on CIFAR-10.

A network made for 224 pixels divides the side of an image by 32, and one of CIFAR-10 has 32. Its
stem is therefore applied with stride 1, to images of 24 pixels: the stages have maps of 12, 6, 3
and 2 pixels in place of 56, 28, 14 and 7, that is 0.21 to 0.29 of the side, and 360 to 400M
multiply-adds become 17 to 33M. (With 32 pixels it would be 2/7 at every stage, and twice the time;
with the stem's own stride 2, the last stage would have one pixel, where a 3x3 convolution is a 1x1
convolution.)

Every network is trained once, on a part of an epoch (`TRAINING`); the paper's section 3.1 argues
that brief training of many networks suffices to compare populations. The spaces take turns, so that
an interrupted study has as many networks of each. The table ``networks.json`` is replaced as a
whole after every network, and an interrupted study goes on where it was; network number n of a
space is the same one in every study with the same seed. Without ``--data``, nothing is trained, and
what is recorded is evaluated again (`experiments.benchmarks.regnet_trends`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from experiments.benchmarks.common import RESULTS, conditions
from experiments.benchmarks.regnet_page import PAGE, results, with_results
from experiments.benchmarks.regnet_trends import evaluate
from nas.accuracy import open_estimator
from nas.accuracy.base import EstimateError, Estimator
from nas.accuracy.preparation import prepare_estimator
from nas.document import digest
from nas.errors import MixnasError
from nas.files import claim_folder, parsing, write_atomic
from nas.limits import Limit, parse_limits
from nas.space import Genotype, Space, load_space
from nas.space.sampling.violation import cost_limits, limit_violation
from nas.spec import NetworkSpec

SPACES = ("anynet_a", "anynet_b", "anynet_c", "anynet_d", "anynet_e", "regnet")
LIMITS = ("madds=360M..400M",)
"""Limits on the networks as they are made for 224 pixels (2020 paper, section 3.1)."""
TRAINING = "short:images=8000,width=1,batch_size=32,resolution=24,stages=1,score=accuracy"
STEM_STRIDE = 1
CLASSES = 10
DRAWS = 2_000_000  # about 1 in 50,000 networks of AnyNetX_E is within the limits
FOLDER = RESULTS / "regnet_populations"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="CIFAR-10 as class folders; nothing is trained without it")
    parser.add_argument("--networks", type=int, default=16, help="networks of each space")
    parser.add_argument("--spaces", nargs="+", default=list(SPACES), metavar="SPACE")
    parser.add_argument("--minutes", type=float, help="time after which no training is begun")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lock = claim_folder(arguments.folder)
    try:
        if arguments.data is not None:
            study = Study(arguments.folder, arguments.seed)
            collect(study, arguments)
        text = results(evaluate(arguments.folder), Study(arguments.folder).document)
        print(text)
        if arguments.folder == FOLDER:
            write_atomic(PAGE, with_results(PAGE.read_text(encoding="utf-8"), text))
    finally:
        lock.release()


def collect(study: Study, arguments: argparse.Namespace) -> None:
    """Train what a study lacks, with the estimator `TRAINING`."""
    console = Console(stderr=True)
    estimator = open_estimator(TRAINING, arguments.data)
    prepare_estimator(estimator, "reading the images", console)
    torch.set_num_threads(1)
    study.begin(estimator)
    until = None if arguments.minutes is None else time.monotonic() + 60 * arguments.minutes
    for row in study.continued(estimator, arguments.spaces, arguments.networks, until):
        done = sum(each["space"] == row["space"] for each in study.rows)
        result = row.get("reason") or f"accuracy {row['accuracy']:.4f}"
        console.print(f"{row['space']} {done}/{arguments.networks}: {result}, {row['seconds']} s")


# -- networks ---------------------------------------------------------------------------------


def draw(space: Space, limits: Sequence[Limit], rng: random.Random) -> Genotype:
    """Return a network of a space within limits, by rejection, as the paper draws them.

    Spaces with restrictions are drawn from far more often than `nas.space.sample` does before it
    turns to a population that is led towards the limits, which is only nearly even.

    Raises:
        MixnasError: If `DRAWS` networks are none within the limits.
    """
    bounds = cost_limits(space, limits)
    for _ in range(DRAWS):
        genotype = space.draw(rng)
        if limit_violation(space, genotype, bounds)[0] == 0:
            return genotype
    raise MixnasError(f"none of {DRAWS:,} networks of '{space.name}' is within the limits")


def shown_small(spec: NetworkSpec) -> NetworkSpec:
    """Return a network for CIFAR-10, with a stem that keeps the side of small images."""
    stem = dataclasses.replace(spec.stem, stride=STEM_STRIDE)
    return spec.replace(stem=stem, num_classes=CLASSES)


def turns(
    spaces: Sequence[str], networks: int, done: Collection[tuple[str, int]]
) -> Iterator[tuple[str, int]]:
    """Yield what is missing, as pairs of a space and a number; the spaces take turns.

    Args:
        spaces: Names of the spaces.
        networks: Number of networks of each space.
        done: Pairs that are there.
    """
    for number in range(networks):
        for space in spaces:
            if (space, number) not in done:
                yield space, number


# -- the study --------------------------------------------------------------------------------


@dataclass
class Study:
    """The trained networks of a study, in a file.

    Attributes:
        folder: Folder of the file ``networks.json``.
        seed: Seed of the networks and of their training.
    """

    folder: Path
    seed: int = 0

    def __post_init__(self) -> None:
        """Read the networks that are there."""
        self.document: dict[str, Any] = {"networks": []}
        if self.path.is_file():
            with parsing(self.path):
                self.document = json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def path(self) -> Path:
        """Path of the table."""
        return self.folder / "networks.json"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The networks, in the order in which they were trained."""
        found: list[dict[str, Any]] = self.document["networks"]
        return found

    def begin(self, estimator: Estimator) -> None:
        """Record how the networks are drawn and trained.

        Raises:
            MixnasError: If the networks that are there were drawn or trained in another way, so
                that they cannot be compared with those to come.
        """
        facts = {
            "limits": list(LIMITS),
            "stem_stride": STEM_STRIDE,
            "seed": self.seed,
            "training": digest(estimator.fingerprint()),
        }
        before = self.document.get("facts", facts)
        if self.rows and before != facts:
            changed = ", ".join(sorted(name for name in facts if before.get(name) != facts[name]))
            raise MixnasError(
                f"the networks of {self.path} were made with another {changed}; give another "
                "--folder"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        self.document["facts"] = facts
        self.document["settings"] = estimator.fingerprint()

    def continued(
        self,
        estimator: Estimator,
        spaces: Sequence[str],
        networks: int,
        until: float | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Train the networks that are missing, and yield each as soon as it is saved.

        Args:
            estimator: How to train.
            spaces: Names of the spaces.
            networks: Number of networks of each space.
            until: Time of the monotonic clock after which no training is begun.
        """
        limits = parse_limits(LIMITS)
        loaded = {name: load_space(name) for name in spaces}
        done = {(row["space"], row["number"]) for row in self.rows}
        for name, number in turns(spaces, networks, done):
            if until is not None and time.monotonic() >= until:
                return
            rng = random.Random(f"{self.seed}/{name}/{number}")
            genotype = draw(loaded[name], limits, rng)
            row = {"space": name, "number": number}
            self.rows.append(row | trained(loaded[name], genotype, estimator, self.seed))
            self.save()
            yield self.rows[-1]

    def save(self) -> None:
        """Replace the file by one with all networks."""
        document = {**self.document, **conditions("torch", "kornia")}
        document["networks"] = document.pop("networks")  # last, as they are many
        write_atomic(self.path, json.dumps(document, indent=1) + "\n")


def trained(space: Space, genotype: Genotype, estimator: Estimator, seed: int) -> dict[str, Any]:
    """Train a network; one that cannot be trained has the reason in place of an accuracy."""
    spec = space.decode(genotype)
    cost = space.cost(genotype)
    row: dict[str, Any] = {
        "depths": [len(stage) for stage in spec.stages],
        "widths": [stage[0].channels for stage in spec.stages],
        "bottleneck_ratios": [getattr(stage[0], "bottleneck_ratio", 1) for stage in spec.stages],
        "group_widths": [getattr(stage[0], "group_width", 1) for stage in spec.stages],
        "params": space.to_params(genotype),
        "digest": spec.digest(),
        "costs": {"madds": cost.madds, "params": cost.params, "activations": cost.activations},
    }
    started = time.perf_counter()
    try:
        judged = estimator.estimate(shown_small(spec), seed)
    except EstimateError as error:
        seconds = round(time.perf_counter() - started, 3)
        return {**row, "accuracy": None, "seconds": seconds, "reason": str(error)}
    return {
        **row,
        "accuracy": judged.accuracy,
        "loss": judged.loss,
        "seconds": judged.seconds,
        **({"remark": judged.remark} if judged.remark else {}),
    }


if __name__ == "__main__":
    main()
