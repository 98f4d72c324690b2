"""Factors against the published tables and formulas."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.scale import EFFICIENTNET, Coefficients, Factors, by_strategy, published


@pytest.mark.parametrize("name", ["depth", "width", "resolution"])
@pytest.mark.parametrize("value", [0.0, -1.0, 100.5, math.inf, math.nan])
def test_factors_that_no_network_has_are_refused(name, value):
    with pytest.raises(MixnasError, match=f"a {name} factor of .* allowed: above 0, up to 100"):
        Factors(**{name: value})


def test_coefficients_are_powers():
    assert Coefficients().factors(2) == Factors(1.2**2, 1.1**2, 1.15**2)
    assert Coefficients(1.3, 1.2, 1.1).factors(-1) == Factors(1 / 1.3, 1 / 1.2, 1 / 1.1)
    assert Coefficients().factors(0) == Factors()
    assert Coefficients().product == pytest.approx(1.92, abs=1e-3)  # published


def test_coefficients_that_give_no_factors_are_refused():
    with pytest.raises(MixnasError, match=r"a coefficient beta of -1\.1 is not possible"):
        Coefficients(beta=-1.1)
    with pytest.raises(MixnasError, match="beyond all numbers"):
        Coefficients().factors(1e6)
    with pytest.raises(MixnasError, match="a depth factor of"):
        Coefficients().factors(50)


def test_the_published_efficientnets():
    # Width, depth and resolution of B3 and B7 in the paper's code.
    assert published(3) == Factors(depth=1.4, width=1.2, resolution=300 / 224)
    assert published(7) == Factors(depth=3.1, width=2.0, resolution=600 / 224)
    assert published(0) == Factors()
    with pytest.raises(MixnasError, match="no EfficientNet-B9 was published; allowed: 0 to 8"):
        published(9)
    with pytest.raises(MixnasError, match="EfficientNet-B-1"):
        published(-1)


def test_the_published_factors_lie_near_the_formula_at_other_coefficients():
    coefficients = (0, 0.5, 1, 2, 3.5, 5, 6, 7)
    for phi, (width, depth, pixels) in zip(coefficients, EFFICIENTNET[:8], strict=True):
        powers = Coefficients().factors(phi)
        assert width == pytest.approx(powers.width, rel=0.05)
        assert depth == pytest.approx(powers.depth, rel=0.14)
        assert pixels == pytest.approx(224 * powers.resolution, rel=0.05)


def test_fast_compound_scaling_is_mainly_of_width():
    # d1_w8_g8_r1 in pycls: d = s^0.1, w = s^0.4, r = s^0.05
    factors = by_strategy(4.0)
    assert factors.depth == pytest.approx(4**0.1)
    assert factors.width == pytest.approx(4**0.4)
    assert factors.resolution == pytest.approx(4**0.05)


def test_letters_are_scaled_equally():
    assert by_strategy(16.0, "d") == Factors(depth=16.0)
    assert by_strategy(16.0, "w") == Factors(width=4.0)
    assert by_strategy(16.0, "r") == Factors(resolution=4.0)
    assert by_strategy(16.0, "dw") == Factors(depth=4.0, width=2.0)
    uniform = by_strategy(8.0, "dwr")
    assert uniform == by_strategy(8.0, "wdr")
    assert uniform.depth == pytest.approx(2.0)
    assert uniform.width == uniform.resolution == pytest.approx(math.sqrt(2))


@given(
    s=st.floats(0.05, 20), strategy=st.sampled_from(["dWr", "dwr", "dw", "dr", "wr", "d", "w", "r"])
)
def test_every_strategy_multiplies_multiply_adds_by_the_factor(s, strategy):
    factors = by_strategy(s, strategy)
    product = factors.depth * factors.width**2 * factors.resolution**2
    assert product == pytest.approx(s)


@pytest.mark.parametrize("strategy", ["", "x", "dd", "dWR", "dwrx"])
def test_unknown_strategies_are_refused(strategy):
    with pytest.raises(MixnasError, match=r"unknown strategy .* allowed: dWr .* such as dwr"):
        by_strategy(2.0, strategy)


@pytest.mark.parametrize("factor", [0.0, -2.0, math.nan])
def test_multiply_adds_are_multiplied_by_positive_numbers(factor):
    with pytest.raises(MixnasError, match="give a number above 0"):
        by_strategy(factor)
