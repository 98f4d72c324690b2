"""From the options of ``python -m nas.scale`` to factors and rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from nas.errors import MixnasError, unknown
from nas.scale.factors import EFFICIENTNET, FASTEST, Coefficients, Factors, by_strategy, published
from nas.scale.grid import PRODUCT, STEP, TOLERANCE, grid
from nas.scale.network import COMPOUND_RULES, FAST_RULES, MULTIPLIER_RULES, ScalingRules

PAPER = Coefficients()
"""The coefficients that the paper found."""
_SOURCES = ("published", "formula")
_MULTIPLIERS = ("width", "depth")
_WAYS = ("phi", "factor", "grid")  # each gives factors of its own
_BELONGS_TO = {
    **dict.fromkeys(("alpha", "beta", "gamma", "coefficients"), "phi"),
    "strategy": "factor",
    **dict.fromkeys(("step", "product", "tolerance"), "grid"),
}


class Scaling(NamedTuple):
    """How networks are scaled.

    Attributes:
        suffix: What is appended to their names.
        factors: What depth, width and resolution are multiplied by.
        rules: The rules of the published code that the factors come from.
        told: Where the factors come from, for the user.
        coefficients: The coefficients that the factors are powers of, on a grid.
    """

    suffix: str
    factors: Factors
    rules: ScalingRules
    told: str
    coefficients: Coefficients | None = None


def _check(given: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other, or have no effect.

    Raises:
        MixnasError: If there are such options, or nothing to scale by.
    """
    multipliers = [name for name in _MULTIPLIERS if name in given]
    ways = [*(way for way in _WAYS if way in given), *multipliers[:1]]
    if len(ways) > 1:
        raise MixnasError(f"--{ways[0]} and --{ways[1]} each give factors; give one of them")
    if not ways and "resolution" not in given:
        raise MixnasError(
            "nothing to scale by; give --phi, --factor, --grid, or multipliers: --width, --depth "
            "and --resolution"
        )
    if "grid" in given and "resolution" in given:
        raise MixnasError("--grid chooses resolutions by gamma; omit --resolution")
    for option, way in _BELONGS_TO.items():
        if option in given and way not in given:
            raise MixnasError(f"--{option} has an effect with --{way} only")


def scalings(given: Mapping[str, Any]) -> list[Scaling]:
    """Return how networks are to be scaled: in one way, or on a grid in several.

    Args:
        given: The values of the options that were given, by their names.

    Raises:
        MixnasError: If options contradict each other, have no effect or are out of range, or if
            there is nothing to scale by.
    """
    _check(given)
    if "grid" in given:
        ways = _on_grid(given)
    elif "phi" in given:
        ways = [_compound(given)]
    elif "factor" in given:
        ways = [_by_factor(given)]
    else:
        ways = [_by_multipliers(given)]
    names = {field.name for field in dataclasses.fields(ScalingRules)} & given.keys()
    changes = {name: given[name] for name in names}
    return [way._replace(rules=dataclasses.replace(way.rules, **changes)) for way in ways]


def _on_grid(given: Mapping[str, Any]) -> list[Scaling]:
    """Return compound scaling by one step, with every triple of coefficients on the grid."""
    triples = grid(
        given.get("step", STEP), given.get("product", PRODUCT), given.get("tolerance", TOLERANCE)
    )
    return [
        Scaling(
            suffix=f"a{triple.alpha:g}_b{triple.beta:g}_g{triple.gamma:g}",
            factors=triple.factors(1),
            rules=COMPOUND_RULES,
            told="compound scaling with phi 1",
            coefficients=triple,
        )
        for triple in triples
    ]


def _by_factor(given: Mapping[str, Any]) -> Scaling:
    factor, strategy = given["factor"], given.get("strategy", FASTEST)
    return Scaling(
        suffix=f"{strategy}{factor:g}",
        factors=by_strategy(factor, strategy),
        rules=FAST_RULES,
        told=f"{strategy} scaling of the MAdds by {factor:g}",
    )


def _by_multipliers(given: Mapping[str, Any]) -> Scaling:
    return Scaling(
        suffix="_".join(f"{name[0]}{given[name]:g}" for name in _MULTIPLIERS if name in given),
        factors=Factors(**{name: given[name] for name in _MULTIPLIERS if name in given}),
        rules=MULTIPLIER_RULES,
        told="multipliers",
    )


def _compound(given: Mapping[str, Any]) -> Scaling:
    """Return compound scaling by ``--phi``, with published factors where there are any.

    Raises:
        MixnasError: If published factors are asked for where there are none.
    """
    phi = given["phi"]
    chosen = Coefficients(
        **{field.name: given.get(field.name, field.default) for field in dataclasses.fields(PAPER)}
    )
    is_published = chosen == PAPER and phi in range(len(EFFICIENTNET))
    source = given.get("coefficients", "published" if is_published else "formula")
    if source not in _SOURCES:
        raise MixnasError(unknown("source of coefficients", source, _SOURCES))
    powers = (
        f"{chosen.alpha:g}^{phi:g}, {chosen.beta:g}^{phi:g} and {chosen.gamma:g}^{phi:g} for "
        "depth, width and resolution"
    )
    if source == "formula":
        told = f"compound scaling by the formula: {powers}"
        return Scaling(f"phi{phi:g}", chosen.factors(phi), COMPOUND_RULES, told)
    if not is_published:
        raise MixnasError(
            f"factors are published for --phi 0 to {len(EFFICIENTNET) - 1}, without --alpha, "
            "--beta and --gamma; give --coefficients formula for others"
        )
    told = (
        f"the published factors of EfficientNet-B{phi:g}, which were set by hand; "
        f"--coefficients formula takes {powers} instead"
    )
    return Scaling(f"phi{phi:g}", published(int(phi)), COMPOUND_RULES, told)
