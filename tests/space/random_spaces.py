"""Small random spaces, for tests of what holds in every space."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import yaml

from nas.errors import MixnasError
from nas.space import Space, space_from_yaml

FIELDS: dict[str, list[Any]] = {
    "kernels": [[3], [5], [3, 5], [3, 5, 7], [7], [1]],
    "split": ["equal", "exponential"],
    "dilated": [True, False],
    "group_width": [1, 2, 4, 8],
    "project_groups": [1, 2, 8],
    "se_ratio": [0, 0.25, 0.26, 0.5],
    "activation": ["relu", "identity"],
    "skip": [True, False, "pool"],
    "expansion": [1, 1.1, 2, 2.5, 3],
    "expand_groups": [1, 2, 8],
}
WITHOUT = {
    "mbconv": set(),
    "dsconv": {"expansion", "expand_groups"},
    "conv": set(FIELDS) - {"kernels", "activation", "skip"},
}
MOST = 2000  # assignments, so that all can be looked at


def _pick(rng: random.Random, values: list[Any], fixed: float) -> Any:
    if rng.random() < fixed:
        return rng.choice(values)
    return {"choice": rng.sample(values, rng.randint(1, min(3, len(values))))}


def _some(rng: random.Random, names: set[str], most: int) -> dict[str, Any]:
    chosen = rng.sample(sorted(names), rng.randint(0, min(most, len(names))))
    return {name: _pick(rng, FIELDS[name], 0.3) for name in chosen}


def _stage(rng: random.Random, derived: bool) -> dict[str, Any]:
    op = _pick(rng, ["mbconv", "dsconv", "conv"], 0.5)
    families = [op] if isinstance(op, str) else op["choice"]
    allowed = set(FIELDS) - set.intersection(*(WITHOUT[family] for family in families))
    stage = {"op": op, "stride": rng.choice([1, 2]), **_some(rng, allowed, 2)}
    if not derived:
        stage["depth"] = _pick(rng, [1, 2, 3], 0.5)
        stage["channels"] = _pick(rng, [4, 8, 12], 0.5)
    role = rng.choice(["first", "rest", "each", "none"])
    if role != "none":
        stage[role] = _some(rng, allowed, 1)
    return stage


def document(rng: random.Random, derived: bool) -> dict[str, Any]:
    """Return the document of a random space."""
    data: dict[str, Any] = {"name": "r", "stem": {"channels": _pick(rng, [4, 8, 12], 0.6)}}
    if rng.random() < 0.5:
        data["defaults"] = _some(rng, set(FIELDS), 2)
    if rng.random() < 0.4:
        data["head"] = {"channels": _pick(rng, [0, 16], 0.3)}
        data["head"]["activation"] = _pick(rng, ["relu", "mish"], 0.3)
    names = "ab" if derived else "ab"[: rng.randint(1, 2)]
    data["stages"] = {name: _stage(rng, derived) for name in names}
    if derived:
        data["derive"] = {
            "depth": _pick(rng, [2, 3, 4, 5], 0.1),
            "w0": _pick(rng, [8, 16, 12], 0.3),
            "wa": {"range": [4, 20], "step": 4},
            "wm": _pick(rng, [1.5, 2, 2.5], 0.2),
        }
    return data


def random_space(seed: int) -> Space | None:
    """Return a random space; None if it is too large, or its document is not valid."""
    rng = random.Random(seed)
    data = document(rng, derived=seed % 3 == 0)
    try:
        space = space_from_yaml(yaml.safe_dump(data, sort_keys=False))
        numbers = [v.name for v in space.variables if v.kind == "ordinal"]
        if len(numbers) > 1 and rng.random() < 0.6:
            one, two = rng.sample(numbers, 2)
            data["restrictions"] = [f"{one} <= {two}", f"{one} + {two} != 9 or {one} < 8"]
            data["restrictions"] = rng.sample(data["restrictions"], 1)
            space = space_from_yaml(yaml.safe_dump(data, sort_keys=False))
    except MixnasError:
        return None
    return space if len(list(itertools.islice(assignments(space), MOST))) < MOST else None


def assignments(space: Space) -> Iterator[tuple[int, ...]]:
    """Return all assignments of indices to the variables of a space."""
    return itertools.product(*(range(len(variable.values)) for variable in space.variables))
