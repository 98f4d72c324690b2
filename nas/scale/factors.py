"""Factors of depth, width and resolution, and the published rules that give them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from nas.errors import MixnasError

LARGEST_FACTOR = 100.0
EFFICIENTNET = (
    (1.0, 1.0, 224),
    (1.0, 1.1, 240),
    (1.1, 1.2, 260),
    (1.2, 1.4, 300),
    (1.4, 1.8, 380),
    (1.6, 2.2, 456),
    (1.8, 2.6, 528),
    (2.0, 3.1, 600),
    (2.2, 3.6, 672),
)
"""Width, depth and resolution (in pixels) of EfficientNet-B0 to -B8, as in the published code
(tensorflow/tpu, models/official/efficientnet). They were set by hand, near powers of the paper's
coefficients, but not those of their numbers: B1 to B7 lie near phi = 0.5, 1, 2, 3.5, 5, 6, 7."""
FASTEST = "dWr"
_FASTEST_WIDTH = 0.8  # the exponent of width that the paper recommends


@dataclass(frozen=True)
class Factors:
    """What a network's depth, width and resolution are multiplied by.

    Attributes:
        depth: Factor of the number of blocks of a stage.
        width: Factor of the number of channels.
        resolution: Factor of the side length of the input images.

    Raises:
        MixnasError: If a factor is not above 0, or larger than `LARGEST_FACTOR`.
    """

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value <= LARGEST_FACTOR:
                raise MixnasError(
                    f"a {field.name} factor of {value:g} is not possible; allowed: above 0, up to "
                    f"{LARGEST_FACTOR:g}"
                )


@dataclass(frozen=True)
class Coefficients:
    """The coefficients of compound scaling (Tan and Le 2019, EfficientNet, equation 3).

    The defaults are those that the paper found by a grid search on EfficientNet-B0.

    Attributes:
        alpha: What depth grows by when the compound coefficient phi grows by 1.
        beta: What width grows by.
        gamma: What resolution grows by.

    Raises:
        MixnasError: If a coefficient is not above 0, or larger than `LARGEST_FACTOR`.
    """

    alpha: float = 1.2
    beta: float = 1.1
    gamma: float = 1.15

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value <= LARGEST_FACTOR:
                raise MixnasError(
                    f"a coefficient {field.name} of {value:g} is not possible; allowed: above 0, "
                    f"up to {LARGEST_FACTOR:g}"
                )

    @property
    def product(self) -> float:
        """What multiply-adds grow by when phi grows by 1, rounding aside."""
        return self.alpha * self.beta**2 * self.gamma**2

    def factors(self, phi: float) -> Factors:
        """Return the factors at a compound coefficient.

        Raises:
            MixnasError: If a factor is out of range.
        """
        try:
            return Factors(depth=self.alpha**phi, width=self.beta**phi, resolution=self.gamma**phi)
        except OverflowError:
            raise MixnasError(
                f"phi {phi:g} gives factors beyond all numbers; choose a smaller one"
            ) from None


def published(phi: int) -> Factors:
    """Return the factors of EfficientNet-B`phi` relative to EfficientNet-B0 (see `EFFICIENTNET`).

    Raises:
        MixnasError: If no EfficientNet of this number was published.
    """
    if not 0 <= phi < len(EFFICIENTNET):
        raise MixnasError(
            f"no EfficientNet-B{phi} was published; allowed: 0 to {len(EFFICIENTNET) - 1}"
        )
    width, depth, pixels = EFFICIENTNET[phi]
    return Factors(depth=depth, width=width, resolution=pixels / EFFICIENTNET[0][2])


def by_strategy(factor: float, strategy: str = FASTEST) -> Factors:
    """Return factors that multiply a network's multiply-adds, rounding aside.

    They are d = s^e_d, w = sqrt(s^e_w) and r = sqrt(s^e_r), with exponents whose sum is 1, since
    multiply-adds grow with d w^2 r^2 (Dollar et al. 2021, Fast and Accurate Model Scaling, section
    4).

    Args:
        factor: What multiply-adds are to be multiplied by, s.
        strategy: ``dWr`` for fast compound scaling, which is mainly of width (e_w = 0.8, e_d = e_r
            = 0.1); or the letters of what is scaled equally, as in ``dwr`` (uniform compound
            scaling), ``dw``, ``w`` or ``r``.

    Raises:
        MixnasError: If the strategy is unknown, or a factor is out of range.
    """
    if not factor > 0:
        raise MixnasError(
            f"multiply-adds cannot be multiplied by {factor:g}; give a number above 0"
        )
    exponents = _exponents(strategy)
    return Factors(
        depth=factor ** exponents["d"],
        width=factor ** (exponents["w"] / 2),
        resolution=factor ** (exponents["r"] / 2),
    )


def _exponents(strategy: str) -> dict[str, float]:
    """Return the exponents of depth, width and resolution, whose sum is 1."""
    if strategy == FASTEST:
        rest = (1 - _FASTEST_WIDTH) / 2
        return {"d": rest, "w": _FASTEST_WIDTH, "r": rest}
    letters = set(strategy)
    if not letters or len(letters) < len(strategy) or not letters <= set("dwr"):
        raise MixnasError(
            f"unknown strategy '{strategy}'; allowed: {FASTEST} (fast compound scaling), or the "
            "letters of what is scaled equally, such as dwr, dw, d, w or r"
        )
    return {letter: (letter in letters) / len(letters) for letter in "dwr"}
