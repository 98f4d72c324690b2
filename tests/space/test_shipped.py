"""The spaces that come with the package: their sizes, samples, and the networks they come from."""

import math
import random

import pytest

from nas.cost import count
from nas.space import load_space, sample_many, size, space_names
from nas.spec import NetworkSpec, load_network
from tests.conftest import ROOT

EXACT = {
    "anynet_a": 314_432_039_157_760_000,
    "anynet_b": 14_231_962_814_251_008,
    "anynet_c": 161_843_226_083_328,
    "anynet_d": 7_072_275_628_032,
    "anynet_e": 418_276_067_112,
}
"""The exact number of networks of the spaces that can be counted within seconds."""

MEMBERS = {
    "anynet_a": ["regnet_x_200mf", "regnet_x_400mf"],
    "anynet_e": ["regnet_x_200mf", "regnet_x_400mf"],
}


@pytest.mark.parametrize("name", EXACT)
def test_sizes_of_shipped_spaces(name):
    assert size(load_space(name)) == EXACT[name]


@pytest.mark.parametrize(
    ("space", "network"), [(space, name) for space, names in MEMBERS.items() for name in names]
)
def test_published_networks_are_members_of_the_space_they_come_from(space, network):
    found = load_space(space)
    spec = load_network(network)
    assert found.decode(found.encode_spec(spec), network).canonical() == spec.canonical()


@pytest.mark.parametrize("name", space_names())
def test_samples_of_shipped_spaces_are_counted_and_read_back(name):
    space = load_space(name)
    for drawn in sample_many(space, random.Random(0), 20):
        spec = space.decode(drawn.genotype)
        assert count(spec) == drawn.cost
        assert space.encode_spec(spec) == drawn.genotype
        assert NetworkSpec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.parametrize("name", space_names())
def test_shipped_spaces_name_their_source(name):
    assert load_space(name).description
    assert "source: " in (ROOT / "search_spaces" / f"{name}.yaml").read_text(encoding="utf-8")


def possible(ratio, group_width):
    """Return how many of AnyNet's 128 widths can have a bottleneck ratio and a group width."""
    return sum(width % (ratio * group_width) == 0 for width in range(8, 1025, 8))


def test_sizes_of_anynet_by_hand():
    # As published, but for the widths whose bottleneck the group width does not divide.
    ratios, groups, depths = (1, 2, 4), (1, 2, 4, 8, 16, 32), 16
    widths = {(b, g): possible(b, g) for b in ratios for g in groups}
    by_ratio = [sum(widths[b, g] for g in groups) for b in ratios]
    assert EXACT["anynet_a"] == (depths * sum(by_ratio)) ** 4
    assert EXACT["anynet_b"] == depths**4 * sum(n**4 for n in by_ratio)
    assert EXACT["anynet_c"] == depths**4 * sum(n**4 for n in widths.values())
    # Of n widths, four that do not decrease can be chosen in C(n + 3, 4) ways; likewise depths.
    ascending = sum(math.comb(n + 3, 4) for n in widths.values())
    assert EXACT["anynet_d"] == depths**4 * ascending
    assert EXACT["anynet_e"] == math.comb(depths + 3, 4) * ascending
