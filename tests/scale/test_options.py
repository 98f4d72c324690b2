import pytest

from nas.errors import MixnasError
from nas.scale import (
    COMPOUND_RULES,
    FAST_RULES,
    MULTIPLIER_RULES,
    Coefficients,
    Factors,
    ScalingRules,
    by_strategy,
    published,
)
from nas.scale.options import scalings


def only(**given):
    (way,) = scalings(given)
    return way


def test_whole_coefficients_are_published():
    way = only(phi=3.0)
    assert (way.factors, way.rules, way.suffix) == (published(3), COMPOUND_RULES, "phi3")
    assert "published factors of EfficientNet-B3, which were set by hand" in way.told


@pytest.mark.parametrize(
    "given",
    [
        {"phi": 3.0, "coefficients": "formula"},
        {"phi": 2.5},
        {"phi": 9.0},
        {"phi": -1.0},
        {"phi": 3.0, "alpha": 1.3},
        {"phi": 3.0, "gamma": 1.0, "coefficients": "formula"},
    ],
)
def test_the_formula_holds_for_all_others(given):
    way = scalings(given)[0]
    names = given.keys() & {"alpha", "beta", "gamma"}
    expected = Coefficients(**{name: given[name] for name in names}).factors(given["phi"])
    assert way.factors == expected
    assert way.told.startswith("compound scaling by the formula: ")


def test_coefficients_equal_to_the_papers_are_the_papers():
    assert only(phi=1.0, alpha=1.2).factors == published(1)


def test_multipliers_and_factors_follow_the_rules_of_their_code():
    assert only(width=1.3)[:3] == ("w1.3", Factors(width=1.3), MULTIPLIER_RULES)
    assert only(width=1.3, depth=2.0)[:2] == ("w1.3_d2", Factors(2.0, 1.3))
    assert only(resolution=96)[:3] == ("", Factors(), MULTIPLIER_RULES)
    assert only(factor=4.0)[:3] == ("dWr4", by_strategy(4.0), FAST_RULES)
    assert only(factor=4.0, strategy="dwr").factors == by_strategy(4.0, "dwr")


def test_the_grid_gives_a_way_for_each_triple():
    ways = scalings({"grid": True, "step": 0.1, "tolerance": 0.05})
    assert Coefficients(1.2, 1.3, 1.0) in [way.coefficients for way in ways]
    assert all(way.factors == way.coefficients.factors(1) for way in ways)
    assert len({way.suffix for way in ways}) == len(ways)


def test_rules_that_are_given_replace_those_of_the_code():
    assert only(factor=2.0, repeats="ceil").rules == ScalingRules(head="scale")
    given = {"stem": "keep", "head": "keep", "group_width": "keep", "keep_ends": True}
    assert only(width=2.0, **given).rules == ScalingRules(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing to scale by; give --phi, --factor, --grid, or multipliers"),
        ({"head": "keep"}, "nothing to scale by"),
        ({"phi": 1.0, "factor": 2.0}, "--phi and --factor each give factors; give one of them"),
        ({"grid": True, "depth": 2.0}, "--grid and --depth each give factors"),
        ({"phi": 1.0, "width": 2.0, "depth": 2.0}, "--phi and --width each give factors"),
        ({"grid": True, "resolution": 96}, "--grid chooses resolutions by gamma"),
        ({"width": 2.0, "alpha": 1.3}, "--alpha has an effect with --phi only"),
        ({"phi": 2.0, "strategy": "w"}, "--strategy has an effect with --factor only"),
        ({"phi": 2.0, "tolerance": 0.1}, "--tolerance has an effect with --grid only"),
        ({"phi": 2.5, "coefficients": "published"}, "factors are published for --phi 0 to 8"),
        ({"phi": 2.0, "coefficients": "paper"}, "unknown source of coefficients 'paper'"),
        ({"phi": float("nan")}, "a depth factor of nan is not possible"),
        ({"width": 2.0, "head": "shrink"}, "unknown rule for the head 'shrink'"),
    ],
)
def test_options_that_make_no_sense_are_refused(given, message):
    with pytest.raises(MixnasError, match=message):
        scalings(given)
