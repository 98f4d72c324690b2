"""The forms of choice in a space document, and the values that they stand for.

=============================================  ===================================================
``3`` or ``[3, 5]`` (of kernels)               one fixed value
``$width``                                     a variable of the `variables` section, shared
``{choice: [16, 24, 32]}``                     one of these; entries may be any form below
``{groups: [1, 5], of: [3, 5, 7, 9]}``         kernels: every mix of 1 to 5 groups of these sizes
``{ladder: [3, 5, 7, 9, 11]}``                 kernels: {3}, {3, 5}, {3, 5, 7}, ...
``{times: [0.75, 1, 1.25], of: 24}``           channels: multiples, rounded to a multiple of 8
``{plus: [-1, 0, 1], of: 3}``                  depths: offsets
``{range: [8, 256], step: 8, scale: log}``     numbers at equal steps, drawn (log-)uniformly
=============================================  ===================================================

Without `of`, `times` and `plus` are relative to the space's `base` network.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from itertools import combinations_with_replacement
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from nas.blocks.fields import MAX_GROUPS, Kernel
from nas.blocks.parts import make_divisible
from nas.document import Document, Location, validate
from nas.errors import DocumentError, unknown

MAX_VALUES = 100_000


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _Values(_Form):
    """A form that stands for values of its own, not for other forms."""

    @abstractmethod
    def values(self, base: Any) -> list[Any]:
        """Return the values that the form stands for; relative ones refer to `base`."""


class Choice(_Form):
    """``{choice: [...]}``: one of the listed values."""

    choice: Annotated[list[Any], Field(min_length=1)]


def _pair(value: Any) -> Any:
    """Accept ``groups: 3`` for ``groups: [3, 3]``."""
    return (value, value) if isinstance(value, int) else value


def _group_range(value: tuple[int, int]) -> tuple[int, int]:
    low, high = value
    if not 1 <= low <= high <= MAX_GROUPS:
        raise ValueError(f"groups from {low} to {high}; allowed: 1 to {MAX_GROUPS} groups")
    return value


class KernelGroups(_Values):
    """``{groups: [1, 5], of: [3, 5, 7, 9]}``: every multiset of kernel sizes.

    A size may have several groups, and so, for example, 2/5 of the channels. Multisets in the same
    proportions as a shorter one are left out: {3, 3} is {3}, and {3, 3, 5, 5} is {3, 5}.
    """

    groups: Annotated[tuple[int, int], BeforeValidator(_pair), AfterValidator(_group_range)]
    of: Annotated[list[Kernel], Field(min_length=1)]

    def values(self, base: Any) -> list[Any]:
        """Return the mixes by increasing number of groups, each with its kernel sizes ascending."""
        low, high = self.groups
        sizes = sorted(set(self.of))
        mixes = [
            mix
            for count in range(low, high + 1)
            for mix in combinations_with_replacement(sizes, count)
        ]
        shortest: dict[tuple[tuple[int, int], ...], tuple[int, ...]] = {}
        for mix in mixes:
            counts = Counter(mix)
            common = math.gcd(*counts.values())
            shares = tuple((kernel, n // common) for kernel, n in counts.items())
            shortest.setdefault(shares, mix)
        return list(shortest.values())


class Ladder(_Values):
    """``{ladder: [3, 5, 7, 9, 11]}``: MixConv's candidates (Tan and Le 2019, section 4.1)."""

    ladder: Annotated[list[Kernel], Field(min_length=1, max_length=MAX_GROUPS)]

    def values(self, base: Any) -> list[Any]:
        """Return the prefixes of the ladder: {3}, {3, 5}, ..."""
        return [tuple(self.ladder[: i + 1]) for i in range(len(self.ladder))]


class Times(_Values):
    """``{times: [0.75, 1, 1.25]}``: relative channels (Tan et al. 2019, MnasNet, section 4.1)."""

    times: Annotated[list[float], Field(min_length=1)]
    of: int | None = None

    def values(self, base: Any) -> list[Any]:
        """Return the channels, rounded as in MobileNetV2's published code."""
        return [make_divisible(_base(self.of, base) * factor) for factor in self.times]


class Plus(_Values):
    """``{plus: [-1, 0, 1]}``: relative depths (Tan et al. 2019, MnasNet, section 4.1)."""

    plus: Annotated[list[int], Field(min_length=1)]
    of: int | None = None

    def values(self, base: Any) -> list[Any]:
        """Return those sums that are at least 1."""
        return [n for n in (_base(self.of, base) + offset for offset in self.plus) if n >= 1]


class Range(_Values):
    """``{range: [8, 256], step: 8, scale: log}``: numbers at equal steps, both ends included."""

    range: tuple[float, float]
    step: Annotated[float, Field(gt=0)] = 1
    scale: Literal["linear", "log"] = "linear"

    def values(self, base: Any) -> list[Any]:
        """Return the numbers, whole ones as int."""
        low, high, step = (Decimal(repr(number)) for number in (*self.range, self.step))
        if high < low or (high - low) / step > MAX_VALUES:
            raise ValueError(
                f"range {low:f} to {high:f} by {step:f} is empty or has over {MAX_VALUES:,} values"
            )
        # Decimals, so that the numbers are those that a person would write.
        numbers = (float(low + i * step) for i in range(int((high - low) / step) + 1))
        return [int(n) if n.is_integer() else n for n in numbers]

    def weights(self, values: list[Any]) -> tuple[float, ...] | None:
        """Return the relative frequency of each value: the width of its cell on a log scale."""
        if self.scale == "linear":
            return None
        half = self.step / 2
        if values[0] - half <= 0:
            raise ValueError(
                f"a log range must start above half a step ({half:g}); found {values[0]:g}"
            )
        return tuple(math.log((v + half) / (v - half)) for v in values)


def _base(of: int | None, base: Any) -> int:
    reference = of if of is not None else base
    if not isinstance(reference, (int, float)):
        raise ValueError(
            "a relative choice has nothing to refer to; add 'of: NUMBER' to it, or 'base: NETWORK' "
            "to the space"
        )
    return int(reference)


FORMS: dict[str, type[Choice | _Values]] = {
    "choice": Choice,
    "groups": KernelGroups,
    "ladder": Ladder,
    "times": Times,
    "plus": Plus,
    "range": Range,
}


def is_form(expression: Any) -> bool:
    """Return whether an expression is a choice rather than a fixed value."""
    return isinstance(expression, dict)


def is_relative(expression: Any) -> bool:
    """Return whether an expression refers to the value of the base network."""
    if not isinstance(expression, dict):
        return False
    entries = expression.get("choice")
    nested = entries if isinstance(entries, list) else []
    return ("of" not in expression and bool({"times", "plus"} & expression.keys())) or any(
        map(is_relative, nested)
    )


def expand(
    expression: Any, kind: Any, base: Any, *, document: Document, at: Location
) -> tuple[tuple[Any, ...], tuple[float, ...] | None]:
    """Return the values of an expression, each checked as `kind`, and their weights if unequal.

    Args:
        expression: A fixed value or one of the forms above.
        kind: Type of the field, against which every value is validated.
        base: Value that relative ones refer to, if any.
        document: Document of the expression, for messages.
        at: Path of the expression in the document.

    Returns:
        The distinct values, and the frequencies they are drawn with (None for equal ones).

    Raises:
        DocumentError: If the form is unknown or a value is not valid.
    """
    if not is_form(expression):
        return (validate(kind, document, at, expression),), None
    name = next((key for key in FORMS if key in expression), None)
    if name is None:
        first = str(next(iter(expression), ""))
        document.fail(at, unknown("choice form", first, FORMS))
    form: Choice | _Values = validate(FORMS[name], document, at, expression)
    try:
        if isinstance(form, Choice):
            return _nested(form, kind, base, document=document, at=at)
        raw = form.values(base)
    except ValueError as error:
        document.fail(at, str(error))
    values = _unique(validate(kind, document, at, value) for value in raw)
    if not values:
        document.fail(at, "the choice has no valid value")
    try:
        return values, form.weights(list(values)) if isinstance(form, Range) else None
    except ValueError as error:
        document.fail(at, str(error))


def _nested(
    form: Choice, kind: Any, base: Any, *, document: Document, at: Location
) -> tuple[tuple[Any, ...], tuple[float, ...] | None]:
    """Return the values of all entries of a choice, and their frequencies; see `expand`.

    An entry is drawn as often as it has values, and its values as the entry says.
    """
    frequencies: dict[Any, float] = {}
    problems: list[str] = []
    for i, item in enumerate(form.choice):
        try:
            values, weights = expand(item, kind, base, document=document, at=(*at, "choice", i))
        except DocumentError as error:
            problems.append(str(error))
            continue
        total = sum(weights or ()) / len(values)
        for value, weight in zip(values, weights or (1.0,) * len(values), strict=True):
            frequencies.setdefault(value, weight / (total or 1.0))
    if problems:
        raise DocumentError("\n".join(problems))
    equal = len(set(frequencies.values())) == 1
    return tuple(frequencies), None if equal else tuple(frequencies.values())


def _unique(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))
