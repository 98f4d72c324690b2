import itertools
import random
import sys

import pytest

from nas.errors import MixnasError
from nas.space import load_space, sample, size, space_from_yaml
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
    channels: {{range: [32, 1024], step: 32}}
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
    # As Radosavovic et al. 2020, section 3.2, which has widths at steps of 8: (16 * 128 * 3 * 6)^4,
    # then one restriction each. Those below 32 are rounded to the group width, so some are equal.
    a = ANYNET
    b = a.replace("{choice: [1, 2, 4]}", "$b") + "variables: {b: {choice: [1, 2, 4]}}\n"
    increasing = " <= ".join(f"s{i}.channels" for i in range(1, 5))
    d = b + f"restrictions: ['{increasing}']\n"
    assert size(space_from_yaml(a)) == (16 * 32 * 3 * 6) ** 4
    assert size(space_from_yaml(b)) == (16 * 32 * 6) ** 4 * 3
    widths = 32 * 33 * 34 * 35 // 24  # multisets of 4 of 32
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
    with pytest.raises(MixnasError, match="too many of its variables depend on each other; there"):
        size(tiny)


def test_a_restriction_that_fixed_values_make_true_changes_nothing():
    text = (
        "{stem: {channels: 8}, stages: {a: {channels: 8, kernels: {choice: [3, 5]}},"
        " b: {channels: 16}}"
    )
    restricted = space_from_yaml(text + ", restrictions: [a.channels <= b.channels]}")
    assert size(restricted) == size(space_from_yaml(text + "}")) == 2
    assert restricted.restrictions == ()


def test_networks_that_cannot_be_built_do_not_count():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        stages:
          a: {op: {choice: [mbconv, conv]}, channels: 8, kernels: {choice: [3, [3, 5], 5]}}
          b: {channels: {choice: [4, 8]}, project_groups: {choice: [1, 8]}}
        """
    )
    # A plain convolution has one kernel size; 4 channels cannot have 8 groups.
    assert size(space) == (3 + 2) * (1 + 2) == len(everything(space))
    impossible = space_from_yaml(
        "{stem: {channels: 8}, stages: {a: {channels: 4, project_groups: 8}}}"
    )
    assert size(impossible) == 0


def test_defaults_of_another_family_are_no_variables():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        defaults: {expansion: {choice: [2, 3, 6]}, se_ratio: {choice: [0, 0.25]}}
        stages:
          a: {op: dsconv, channels: {choice: [8, 16]}}
          b: {op: conv, channels: 8, kernels: {choice: [3, 5, 7]}}
        """
    )
    assert [v.name for v in space.variables] == ["a.channels", "a.se_ratio", "b.kernels"]
    assert size(space) == 2 * 2 * 3
    for genotype in everything(space):
        assert space.encode_spec(space.decode(genotype)) == genotype


def test_size_of_mnasnet_by_hand():
    # A block: conv (2 kernels), dsconv (2 kernels, SE or none), mbconv (2 expansions as well).
    once = 2 + 2 * 2 + 2 * 2 * 2
    deep = 3 * once  # beyond the first, blocks have the identity, pooling or nothing as a skip
    # MobileNetV2's depths are 2, 3, 4, 3, 3 and 1, each with one block less or more. Widths of 24
    # times 0.75, 1 and 1.25 are 24, 24 and 32. Alone in its stage, no block can have a skip
    # connection: the widths are 16 before and 24 or 32 after it, or 120 to 200 and 240 to 400.
    first, last = 2 * (once + 2 * deep), 3 * (once + deep)
    assert size(load_space("mnasnet")) == first * (3 * 3 * deep) ** 4 * last


def test_a_space_of_widths_that_are_rounded_is_refused_at_once():
    # Widths below 32 are rounded to whole groups, so that expansions of 1, 2 and 4 can be equal.
    text = ANYNET.replace("[32, 1024], step: 32", "[8, 1024], step: 8")
    with pytest.raises(
        MixnasError, match="depend on each other; there are at most 1,846,757,322,1"
    ):
        size(space_from_yaml(text))


@pytest.mark.parametrize(
    "stages",
    [
        "a: {op: shuffle, stride: 2, channels: {choice: [24, 32, 48]}, groups: 2,"
        " bottleneck_ratio: {choice: [2, 4]}, reduce_groups: 1, kernels: {choice: [3, 5]}}",
        "a: {op: conv, channels: {choice: [8, 16, 24]}},"
        " b: {op: dense, channels: {choice: [16, 24]}, bottleneck: {choice: [2, 4]}}",
        "a: {op: fire, channels: {choice: [15, 16, 24]}, squeeze_ratio: {choice: [0.25, 0.5]}}",
        "a: {op: inception, channels: {choice: [32, 48]}, branches: [8, 16, 4, 4],"
        " kernels: {choice: [[3, 3], [3, 5]]}}",
    ],
)
def test_only_networks_that_can_be_built_count_in_every_family(stages):
    space = space_from_yaml(f"{{stem: {{channels: 16}}, stages: {{{stages}}}}}")
    digests = set()
    for genotype in itertools.product(*(range(len(v.values)) for v in space.variables)):
        spec = space.decode(genotype)
        try:
            spec.tree()
        except MixnasError:
            continue
        digests.add(spec.digest())
    assert digests
    assert size(space) == len(digests)
