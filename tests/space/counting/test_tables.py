"""Costs of many genotypes at once, against those of one after the other."""

import dataclasses
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.limits import COST_METRICS
from nas.space import load_space, space_from_yaml, space_names
from nas.space.counting import tables

CONDITIONAL = """
name: conditional
variables: {width: {choice: [8, 16, 24]}, n: {choice: [1, 2]}}
stem: {channels: $width, stride: {choice: [1, 2]}}
input: {resolution: {choice: [32, 48]}}
stages:
  s:
    channels: $width
    op: {choice: [mbconv, dsconv, conv]}
    depth: {choice: [1, 2, 3]}
    kernels: {choice: [[3], [5]]}
    rest: {activation: {choice: [relu, swish]}}
  t:
    channels: {choice: [16, 32]}
    stride: 2
    depth: $n
    expansion: {choice: [1, 2, 2.5]}
    each: {se_ratio: {choice: [0, 0.25]}, project_groups: {choice: [1, 2]}}
head: {channels: {choice: [0, 64]}}
"""


def drawn(space, number, seed=0):
    return space.draw_full(np.random.default_rng(seed), number)


def exact(space, row):
    try:
        return dataclasses.astuple(space.cost(space.canonical(row)))
    except MixnasError:
        return (math.inf,) * 4


UNTABULATED = ("anynet", "regnet", "mixnet_gpu")  # too many values in a part, or a rule
TABULATED = [name for name in space_names() if not name.startswith(UNTABULATED)]


@pytest.mark.parametrize("space", [*map(load_space, TABULATED), space_from_yaml(CONDITIONAL)])
def test_every_cost_is_the_exact_one(space):
    full = drawn(space, 80)
    found = np.column_stack([space.cost_tables.costs(full, metric) for metric in COST_METRICS])
    assert [tuple(row) for row in found] == [exact(space, row) for row in full.tolist()]


def test_poolings_and_layers_that_see_every_pixel_have_exact_tables():
    space = space_from_yaml(
        """
        stem: {channels: 8, kernel: 7, padding: {choice: [0, 1]}}
        input: {resolution: {choice: [33, 40]}}
        stages:
          p: {op: pool, channels: 8, stride: 2, kernel: 3, padding: 0}
          s: {channels: {choice: [8, 16]}, stride: 2, depth: {choice: [1, 2]}}
        head: {channels: 0, pool: none, hidden: [16]}
        """
    )
    full = drawn(space, 40)
    found = np.column_stack([space.cost_tables.costs(full, metric) for metric in COST_METRICS])
    assert [tuple(row) for row in found] == [exact(space, row) for row in full.tolist()]


def test_networks_that_cannot_be_built_cost_infinitely_much():
    space = space_from_yaml(
        """
        name: partial
        stem: {channels: 8}
        stages:
          a: {channels: 16, split: exponential, depth: {choice: [1, 2]}, expansion: 1,
              rest: {kernels: {choice: [[3], [3, 5, 7], [3, 5, 7, 9, 11]]}},
              first: {kernels: {choice: [[3], [3, 5, 7, 9, 11]]}}}
        """
    )
    full = drawn(space, 60)
    madds = space.cost_tables.costs(full, "madds")
    assert madds.tolist() == [exact(space, row)[1] for row in full.tolist()]
    assert 0 < np.isinf(madds).sum() < 60


def test_tables_of_large_blocks_are_split(monkeypatch):
    monkeypatch.setattr(tables, "JOINT", 4)
    space = space_from_yaml(CONDITIONAL)
    assert max(len(part._terms) for part in space.cost_tables._parts) >= 3
    full = drawn(space, 60)
    peaks = space.cost_tables.costs(full, "peak_memory")
    assert peaks.tolist() == [exact(space, row)[3] for row in full.tolist()]


def test_there_are_no_tables_where_they_would_be_too_large_or_widths_are_derived(monkeypatch):
    derived = space_from_yaml(
        """
        name: derived
        stem: {channels: 16}
        derive: {depth: {range: [2, 4]}, w0: 16, wa: {range: [8, 16], step: 8}, wm: 2.0}
        stages: {a: {stride: 2}, b: {stride: 2}}
        """
    )
    assert derived.cost_tables is None
    monkeypatch.setattr(tables, "LARGEST", 20)
    assert space_from_yaml(CONDITIONAL).cost_tables is None


def test_tables_that_disagree_with_exact_costs_are_not_used(monkeypatch):
    # As if no two variables of a block interacted.
    monkeypatch.setattr(tables, "JOINT", 4)
    monkeypatch.setattr(tables._Part, "_interact", lambda *args: False)
    assert space_from_yaml(CONDITIONAL).cost_tables is None


def test_a_space_can_be_sent_with_its_tables():
    space = space_from_yaml(CONDITIONAL)
    full = drawn(space, 20)
    madds = space.cost_tables.costs(full, "madds")
    copy = pickle.loads(pickle.dumps(space))  # noqa: S301
    assert copy.cost_tables.costs(full, "madds").tolist() == madds.tolist()


def part(costs, *sizes):
    """The terms of a part whose costs are those of a function of the variables' values."""
    plans = SimpleNamespace(variables=[SimpleNamespace(values=range(n)) for n in sizes])
    return tables._Part(lambda full: (*costs(*full), None), range(len(sizes)), plans)


def test_variables_share_a_table_only_if_they_interact(monkeypatch):
    monkeypatch.setattr(tables, "JOINT", 4)
    found = part(lambda x, y, z, w: (x * y + z, 0, 0, 0), 3, 3, 4, 2)
    # The last changes nothing; the third adds to the others, which multiply each other.
    assert [term._axes for term in found._terms] == [[2], [0, 1], [1]]
    full = np.array([[2, 2, 3, 1], [0, 1, 2, 0], [1, 2, 0, 1]])
    assert found.costs(full, 0).tolist() == [7, 2, 2]


def test_up_to_2048_combinations_are_one_table_without_any_trials():
    def product(*values):
        return (math.prod(n + 1 for n in values), 0, 0, 0)

    assert [term._axes for term in part(product, *[2] * 11)._terms] == [list(range(11))]
    assert len(part(product, 683, 3)._terms) == 2  # 2049


def test_variables_that_change_nothing_are_in_no_table():
    assert [term._axes for term in part(lambda x, y: (y, 0, 0, 0), 3, 3)._terms] == [[1]]
