import math
import random

import numpy as np
import pytest

from nas.limits import Limit, parse_limits
from nas.space import space_from_yaml
from nas.space.sampling import cost_limits, limit_violation
from nas.space.sampling.violation import BROKEN, violations
from tests.space.test_space import TINY, mixnet


def test_limits_on_latency_are_left_out_and_those_of_the_space_come_first():
    space = space_from_yaml(TINY + "limits: {params: 4M}\n")
    limits = cost_limits(space, parse_limits(["latency=1ms", "madds=3M"]))
    assert limits == [Limit("params", upper=4e6), Limit("madds", upper=3e6)]


def test_many_violations_are_those_of_one_after_the_other():
    limits = parse_limits(["madds=300M..350M", "params=3M", "peak_memory=6M.."])
    full = mixnet.draw_full(np.random.default_rng(0), 50)
    found = violations(mixnet.cost_tables, full, limits)
    single = [limit_violation(mixnet, mixnet.canonical(g), limits)[0] for g in full.tolist()]
    assert found == pytest.approx(single)
    assert (found > 0).sum() > 0


def test_what_cannot_be_built_is_far_outside():
    space = space_from_yaml(
        "{name: odd, stem: {channels: 4}, stages: {a: {channels: 8, expansion: 1, project_groups: "
        "{choice: [1, 8]}}}}"
    )
    full = np.array([[0], [1]])
    assert np.isinf(space.cost_tables.costs(full, "madds")).tolist() == [False, True]
    assert violations(space.cost_tables, full, parse_limits(["madds=1G"])).tolist() == [0, BROKEN]
    assert limit_violation(space, space.canonical((1,)), ())[0] == BROKEN
    assert not math.isinf(limit_violation(space, space.draw(random.Random(0)), ())[0])
