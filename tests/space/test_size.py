import random
import sys

import pytest

from nas.errors import MixnasError
from nas.space import sample, size, space_from_yaml
from nas.space.size import upper_bound
from tests.space.test_space import everything, mixnet, tiny

ANYNET = """
name: anynet_a
stem: {channels: 32}
head: {channels: 0}
stages:
""" + "".join(
    f"""
  s{i}:
    stride: 2
    depth: {{range: [1, 16]}}
    channels: {{range: [8, 1024], step: 8}}
    expansion: {{choice: [1, 2, 4]}}
    group_width: {{choice: [1, 2, 4, 8, 16, 32]}}
"""
    for i in range(1, 5)
)


def test_size_is_exact():
    assert size(tiny) == len(everything(tiny))


def test_size_of_mixnet_by_hand():
    # A block: 104 mixes (103, and the ladder's 3.5.7.9.11), 3 expansions, 2 x 2 groups.
    block = 104 * 3 * 2 * 2
    stage1 = 3 * 2 * 3 * (block + 2 * block**2)  # channels, activation, SE; depth 1, 2 or 3
    stages = (4 * 2 * 3 * (block + 3 * block**2)) ** 4
    assert size(mixnet) == 3 * stage1 * stages


def test_sizes_of_regnets_chain_of_spaces(tmp_path):
    # Radosavovic et al. 2020, section 3.2: (16 * 128 * 3 * 6)^4, then one restriction each.
    a = ANYNET
    b = a.replace("{choice: [1, 2, 4]}", "$b") + "variables: {b: {choice: [1, 2, 4]}}\n"
    increasing = " <= ".join(f"s{i}.channels" for i in range(1, 5))
    d = b + f"restrictions: ['{increasing}']\n"
    assert size(space_from_yaml(a)) == (16 * 128 * 3 * 6) ** 4
    assert size(space_from_yaml(b)) == (16 * 128 * 6) ** 4 * 3
    widths = 128 * 129 * 130 * 131 // 24  # multisets of 4 of 128
    assert size(space_from_yaml(d)) == widths * (16 * 6) ** 4 * 3
    rng = random.Random(0)
    space = space_from_yaml(d)
    for _ in range(5):
        spec = space.decode(sample(space, rng).genotype)
        channels = [stage[0].channels for stage in spec.stages]
        assert channels == sorted(channels)


def test_the_upper_bound_ignores_conditions_and_restrictions():
    # w; a: depth, channels, kernels, SE; b: family, depth, channels, kernels twice, expansion.
    assert upper_bound(tiny) == 2 * (3 * 2 * 2 * 2) * (2 * 2 * 2 * 3 * 3 * 2)


def test_restrictions_on_inactive_variables_hold():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        stages:
          a: {depth: {choice: [1, 2]}, channels: 8, first: {kernels: {choice: [3, 5]}},
              rest: {se_ratio: {choice: [0, 0.25, 0.5]}}}
        restrictions: [a.rest.se_ratio > 0]
        """
    )
    assert size(space) == 2 * (1 + 2)  # no second block, or one with two of three ratios
    assert len(everything(space)) == 6


def test_too_many_states_are_refused(monkeypatch):
    monkeypatch.setattr(sys.modules["nas.space.size"], "MAX_STATES", 3)
    with pytest.raises(MixnasError, match="its restrictions couple too many variables"):
        size(tiny)
