import itertools

import pytest

from nas.errors import MixnasError
from nas.scale import Coefficients, grid
from nas.scale.grid import MOST_TRIPLES


@pytest.mark.parametrize(
    ("step", "product", "tolerance"),
    [(0.05, 2.0, 0.1), (0.1, 2.0, 0.05), (0.25, 3.0, 0.5), (0.07, 1.5, 0.02), (0.5, 1.0, 0.0)],
)
def test_the_grid_holds_all_triples_and_no_others(step, product, tolerance):
    values = [round(1 + i * step, 9) for i in range(int((product + tolerance - 1) / step) + 2)]
    expected = [
        triple
        for triple in itertools.starmap(Coefficients, itertools.product(values, repeat=3))
        if abs(triple.product - product) <= tolerance + 1e-9
    ]
    assert grid(step, product, tolerance) == expected


def test_the_published_choice_is_among_the_defaults():
    assert Coefficients(1.2, 1.1, 1.15) in grid()
    assert len(grid()) == 111


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"step": 0.001}, "a step of 0.001 is not possible; allowed: 0.01 to 1"),
        ({"step": float("nan")}, "a step of nan"),
        ({"product": 0.5}, "a product of 0.5 is not possible; allowed: 1 to 16"),
        ({"tolerance": -0.1}, "a tolerance of -0.1"),
        ({"step": 0.4, "tolerance": 0.0}, "no triple on a grid of step 0.4 .* within 0 of 2"),
        ({"step": 0.01, "product": 4.0, "tolerance": 1.0}, f"more than {MOST_TRIPLES:,} triples"),
    ],
)
def test_grids_that_are_empty_or_too_large_are_refused(arguments, message):
    with pytest.raises(MixnasError, match=message):
        grid(**arguments)
