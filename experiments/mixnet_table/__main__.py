"""Makes a table of MixNets trained on CIFAR-10 by one recipe.

    python -m experiments.mixnet_table --data CIFAR-10 --out FOLDER [--networks 64] [--seeds 2]

Networks of `mixnet` from 60M to 400M multiply-adds (at 224 px, with 10 classes), one from each of
as many equal slots, and MixNet-S, MixNet-M, MobileNetV2 and EfficientNet-B0 are trained with
several seeds each: all with the first seed, then all with the next one. The networks of an earlier
table (--first) take their slots. Every training is saved, and the table written anew, at once; the
same command continues an interrupted run, and several processes at a time share the work (start
the command once per core). Such short training favors shallower networks, but shares no weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from experiments.benchmarks.common import RESULTS, conditions
from experiments.mixnet_table.networks import CLASSES, planned, references, spread
from experiments.mixnet_table.recipe import IMAGES, TRAINING, open_training, trained
from experiments.mixnet_table.tables import publish
from experiments.mixnet_table.trainings import fill
from nas.accuracy.fidelity import shared_data
from nas.accuracy.table import read_networks
from nas.errors import MixnasError
from nas.spec import NetworkSpec

NETWORKS = 64
FIRST = RESULTS / "mixnets_cifar10.json"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="CIFAR-10: its own files, or class folders")
    parser.add_argument("--out", required=True, type=Path, help="folder to create, or to continue")
    parser.add_argument("--networks", type=int, help=f"of mixnet [{NETWORKS}]")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each network [2]")
    parser.add_argument("--images", type=int, default=IMAGES, help=f"seen by a training [{IMAGES}]")
    parser.add_argument("--first", type=Path, default=FIRST, help=f"[{FIRST.name}]")
    parser.add_argument("--threads", type=int, default=1, help="of a training [1]")
    arguments = parser.parse_args(words)
    try:
        make_table(arguments)
    except MixnasError as error:
        parser.exit(2, f"error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command continues\n")


def make_table(arguments: argparse.Namespace) -> None:
    """Do the trainings that are missing, and print the summary.

    Raises:
        MixnasError: If the data cannot be read, or the folder holds something else.
    """
    torch.set_num_threads(arguments.threads)
    short = open_training(arguments.data, arguments.images)
    labels = shared_data(short.shown).labels["test"].numpy()
    facts = {
        "training": TRAINING.format(images=arguments.images),
        "fingerprint": short.fingerprint(),
        **conditions("torch", "kornia"),
    }
    networks = planned(arguments.out, facts, partial(new_networks, arguments))
    members = len(networks) - len(references())
    if arguments.networks not in (None, members):
        raise MixnasError(
            f"{arguments.out} has {members} networks, not {arguments.networks}; leave out "
            "--networks, or choose another --out"
        )
    write = partial(publish, arguments.out, networks, labels)
    fill(
        arguments.out,
        networks,
        arguments.seeds,
        partial(trained, short),
        write,
        partial(print, flush=True),
    )
    write()
    table = json.loads((arguments.out / "table.json").read_text(encoding="utf-8"))
    print(json.dumps(table["summary"], indent=2))


def new_networks(arguments: argparse.Namespace) -> list[NetworkSpec]:
    """Return the networks of a new table: the references, and then those of `mixnet`."""
    earlier = read_networks(arguments.first, CLASSES) if arguments.first.is_file() else []
    given = [network.spec for network in earlier]
    print("drawing networks", flush=True)
    return [*references(), *spread(arguments.networks or NETWORKS, given, seed=0)]


if __name__ == "__main__":
    main()
