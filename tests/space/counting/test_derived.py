"""Networks of derived spaces, counted and one by one."""

import itertools
import random

import pytest
import yaml

from nas.space import size, space_from_yaml
from nas.space.counting import derived
from nas.space.size import upper_bound


def document(rng):
    """Return a space with the rule, of few enough assignments to look at each."""
    stages = rng.choice([1, 2, 3, 4])
    numbers = {
        "depth": rng.sample(range(stages, 16), 5),
        "w0": rng.sample(range(8, 65, 8), 3),
        "wa": rng.sample([0, 2.5, 8, 12, 16, 24, 32, 40.5, 64], 4),
        "wm": rng.sample([1.5, 1.75, 2, 2.25, 2.5, 3], 3),
    }
    data = {
        "stem": {"channels": 16},
        "variables": {"g": {"choice": rng.sample([1, 4, 8, 16, 24], 2)}},
        "derive": {"rule": "regnet", **{name: {"choice": x} for name, x in numbers.items()}},
        "defaults": {"group_width": "$g", "bottleneck_ratio": 1},
        "stages": {
            f"s{i}": {"op": "bottleneck", "stride": rng.choice([1, 2])} for i in range(stages)
        },
    }
    data["derive"]["group_width"] = "$g"
    if rng.random() < 0.3:  # widths that fit the groups, which the blocks do not have
        data["defaults"]["group_width"] = 1
    if rng.random() < 0.3:
        data["variables"]["b"] = {"choice": [1, 2]}
        data["defaults"]["bottleneck_ratio"] = "$b"
        data["derive"]["bottleneck_ratio"] = "$b"
    if rng.random() < 0.3:  # impossible in all blocks but the first
        last = data["stages"][f"s{stages - 1}"]
        last["rest"] = {"kernels": [3, 5, 7], "split": "exponential"}
    return yaml.safe_dump(data)


def by_hand(space):
    everything = itertools.product(*(range(len(v.values)) for v in space.variables))
    genotypes = {space.canonical(full) for full in everything}
    return len({space.decode(g).digest() for g in genotypes if not space.broken(g)})


@pytest.mark.parametrize("seed", range(8))
def test_derived_networks_are_counted(seed, monkeypatch):
    space = space_from_yaml(document(random.Random(seed)))
    counted, count = [], derived.DerivedCount.count
    monkeypatch.setattr(
        derived.DerivedCount, "count", lambda self: counted.append(count(self)) or counted[-1]
    )
    found = size(space)
    assert counted == [found]
    assert found == by_hand(space) <= upper_bound(space)


def test_powers_that_end_at_a_block_are_rounded_as_the_rule_does():
    # With w0 = 8, wm = 4 and wa = 8, block 1 has the width 16, which is 8 times 4 to the power 0.5.
    (ends,) = derived._ends(0, 8, derived.np.array([8.0]), 4, 10)
    assert derived.power_of(1, 8, 8, 4) == 0
    assert ends == 2
    (ends,) = derived._ends(0, 8, derived.np.array([0.0]), 4, 10)  # no slope: all blocks alike
    assert ends == 10


def test_rules_whose_numbers_decide_something_else_are_counted_one_by_one():
    text = """
        variables: {n: {choice: [8, 16]}}
        stem: {channels: $n}
        derive: {rule: regnet, depth: {choice: [2, 3, 4]}, w0: $n, wa: {choice: [8, 16]}, wm: 2}
        stages: {a: {stride: 2}, b: {stride: 2}}
    """
    space = space_from_yaml(text)
    assert size(space) == by_hand(space) > 1
