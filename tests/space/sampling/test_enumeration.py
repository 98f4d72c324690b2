from collections import Counter

import numpy as np
import pytest

from nas.limits import parse_limits
from nas.space import space_from_yaml
from nas.space.sampling import admitted_networks, limit_violation
from tests.space.test_space import everything, tiny

TEXT = """
name: log
stem: {channels: 8}
stages: {a: {channels: {range: [8, 32], step: 8, scale: log}, depth: {choice: [1, 2]},
             rest: {expansion: {choice: [2, 3]}}}}
"""


def test_all_members_are_found():
    members, _ = admitted_networks(tiny, [])
    assert members == sorted(everything(tiny))


def test_limits_are_kept_with_tables_and_without(monkeypatch):
    costs = sorted(tiny.cost(genotype).params for genotype in everything(tiny))
    limits = parse_limits([f"params={costs[len(costs) // 4]}..{costs[len(costs) // 2]}"])
    expected = [g for g in sorted(everything(tiny)) if not limit_violation(tiny, g, limits)[0]]
    assert 0 < len(expected) < len(everything(tiny))
    assert admitted_networks(tiny, limits)[0] == expected
    monkeypatch.setattr(type(tiny), "cost_tables", None)
    assert admitted_networks(tiny, limits)[0] == expected


def test_the_weights_are_the_frequencies_of_draws():
    space = space_from_yaml(TEXT)
    members, weights = admitted_networks(space, [])
    assert len(members) == 4 * (1 + 2)
    shares = np.array(weights) / sum(weights)
    full = space.draw_full(np.random.default_rng(0), 40_000)
    counts = Counter(space.canonical(row) for row in full.tolist())
    for genotype, share in zip(members, shares, strict=True):
        error = (share * (1 - share) / 40_000) ** 0.5
        assert counts[genotype] / 40_000 == pytest.approx(share, abs=4.5 * error)
    # Widths are even on a logarithmic scale, from half a step below 8 to half a step above 32.
    channels = np.array([space.values(genotype)["a.channels"] for genotype in members])
    by_channels = [shares[channels == n].sum() for n in (8, 16, 24, 32)]
    assert by_channels == pytest.approx(np.log([3, 5 / 3, 7 / 5, 9 / 7]) / np.log(9))
