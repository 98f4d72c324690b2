"""The networks of the table, spread evenly over MAdds, and the plan that keeps them in its folder.

The range of MAdds is divided into as many slots of equal width as there are networks, one for each.
The order of training visits the slots as the radical inverse does (van der Corput 1935), so that
whatever has been trained when a run is interrupted covers the whole range.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nas.accuracy.pool import SpacePool
from nas.cost import count
from nas.errors import MixnasError
from nas.files import in_turn, parsing, refuse_occupied, write_atomic
from nas.limits import Limit
from nas.space import load_space
from nas.spec import NetworkSpec, load_network

SPACE = "mixnet"
CLASSES = 10
LEAST, MOST = 60_000_000, 400_000_000  # MAdds at 224 px
REFERENCES = ("mixnet_s", "mixnet_m", "mobilenet_v2", "efficientnet_b0")
_REACH = 2  # slots that a given network may be away from the one that its MAdds belong to
_ATTEMPTS = 20
_PLAN = "plan.json"


def references() -> list[NetworkSpec]:
    """Return the published networks that are trained as well, for CIFAR-10's classes."""
    return [load_network(name).replace(num_classes=CLASSES) for name in REFERENCES]


def spread(number: int, given: Sequence[NetworkSpec], seed: int) -> list[NetworkSpec]:
    """Return networks of `mixnet` in the order of their training, named by their slots.

    Args:
        number: Number of networks.
        given: Networks that take the slots of their MAdds, or free ones nearby; those that find
            none are left out. The networks of the other slots are drawn.
        seed: Random seed of the drawing.

    Raises:
        MixnasError: If a slot has no network that is not among the others.
    """
    taken: dict[int, NetworkSpec] = {}
    for spec in given:
        slot = _free_slot(count(spec).madds, taken, number)
        if slot is not None:
            taken[slot] = spec
    digests = {spec.digest() for spec in taken.values()}
    for slot in range(number):
        if slot not in taken:
            taken[slot] = _drawn(slot, number, seed, digests)
            digests.add(taken[slot].digest())
    return [taken[slot].replace(name=f"mixnet-{slot:03}") for slot in even_order(number)]


def even_order(number: int) -> list[int]:
    """Return 0..number-1 in an order of which every first part is spread evenly."""
    bits = max(1, (number - 1).bit_length())
    mirrored = (int(f"{i:0{bits}b}"[::-1], 2) for i in range(2**bits))
    return [slot for slot in mirrored if slot < number]


def _free_slot(madds: int, taken: dict[int, NetworkSpec], number: int) -> int | None:
    """Return the free slot nearest to the one of some MAdds; None if there is none nearby."""
    if not LEAST <= madds <= MOST:
        return None
    own = min(int((madds - LEAST) / (MOST - LEAST) * number), number - 1)
    free = [slot for slot in range(number) if slot not in taken and abs(slot - own) <= _REACH]
    return min(free, key=lambda slot: abs(slot - own), default=None)


def _drawn(slot: int, number: int, seed: int, digests: set[str]) -> NetworkSpec:
    width = (MOST - LEAST) / number
    limit = Limit("madds", LEAST + slot * width, LEAST + (slot + 1) * width)
    pool = SpacePool(load_space(SPACE).with_classes(CLASSES), (limit,))
    rng = random.Random(f"{seed}/{slot}/{number}")
    for _ in range(_ATTEMPTS):
        spec = pool.draw(rng)
        if spec.digest() not in digests:
            return spec
    raise MixnasError(f"'{SPACE}' has too few networks with {limit}; ask for fewer networks")


def planned(
    folder: Path, facts: dict[str, Any], make: Callable[[], list[NetworkSpec]]
) -> list[NetworkSpec]:
    """Return the networks of a folder in the order of their training; a new folder gets some.

    Args:
        folder: Folder of the table, which other processes may be about to create, too.
        facts: What is known of the trainings and their conditions. All that ``fingerprint`` holds
            has to be the same for all trainings of a folder.
        make: Returns the networks of a new folder.

    Raises:
        MixnasError: If the folder holds something else or is damaged, or the trainings differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder / ".lock", f"another process is choosing the networks of {folder}"):
        path = folder / _PLAN
        if not path.is_file():
            if not (folder / "networks").is_dir():  # left by a process that was killed right here
                refuse_occupied(folder, "choose another --out")
            networks = make()
            (folder / "networks").mkdir(exist_ok=True)
            for spec in networks:
                spec.save(network_path(folder, spec.name))
            plan = {**facts, "networks": [spec.name for spec in networks]}
            write_atomic(path, json.dumps(plan, indent=1) + "\n")
        plan = read_plan(folder)
    known, now = plan.get("fingerprint", {}), json.loads(json.dumps(facts["fingerprint"]))
    for key in sorted({*known, *now}):
        if known.get(key) != now.get(key):
            raise MixnasError(
                f"{folder} has trainings with other settings ({key} was {known.get(key)}, and is "
                f"{now.get(key)} now); choose another --out"
            )
    return [load_network(str(network_path(folder, name))) for name in plan["networks"]]


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the plan of a folder: the facts on its trainings, and the names of its networks.

    Raises:
        MixnasError: If it has none, or a damaged one.
    """
    with parsing(folder / _PLAN):
        plan = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
        if not isinstance(plan, dict) or not isinstance(plan.get("networks"), list):
            raise MixnasError(f"{folder / _PLAN} names no networks; remove the folder")
    return plan


def network_path(folder: Path, name: str) -> Path:
    """Return where a network's document is."""
    return folder / "networks" / f"{name}.yaml"
