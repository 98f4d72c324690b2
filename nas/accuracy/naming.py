"""Estimators by name, with settings behind a colon: ``short:images=8000,width=0.5``."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nas.accuracy.base import Estimator
from nas.accuracy.pool import NetworkPool
from nas.errors import MixnasError, unknown
from nas.files import absolute_path
from nas.imports import looks_like_import, named_object
from nas.named import TIMM
from nas.train.settings import ON_THE_CPU, PlacementSettings

T = TypeVar("T")


@dataclass(frozen=True)
class Basis:
    """What an estimator rests on, beside its own settings.

    Attributes:
        data: Name or path of the data set.
        pool: Networks that may have to be evaluated, for estimators that prepare for them.
        seed: Random seed of the preparation.
        placement: Where networks are trained and evaluated, and how precisely.
        images_per_class: Number of images of each class to use, at most; None for all.
    """

    data: str
    pool: NetworkPool | None = None
    seed: int = 0
    placement: PlacementSettings = ON_THE_CPU
    images_per_class: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """Fields of an estimator that follow from this, and that its settings cannot change."""
        return {
            "data": self.data,
            "placement": self.placement,
            "images_per_class": self.images_per_class,
        }


EstimatorFactory = Callable[[str, Basis], Estimator]
"""Takes the settings as text, and what the estimator rests on."""
FORMER_NAMES = {
    "ceiling": "max_score",
    "luggage": "export_state",
    "unpack": "import_state",
}
"""Names that optional abilities of an estimator had before, and those that they have."""
_WEIGHTS = re.compile(rf"(?P<before>(?:^|[:,])\s*weights\s*=)\s*(?!{TIMM})(?P<file>[^,]+)")
ANY_NUMBER = 1 << 30
"""Stands for no upper bound: more epochs than any data set needs."""


def open_estimator(
    name: str,
    data: str,
    pool: NetworkPool | None = None,
    seed: int = 0,
    placement: PlacementSettings = ON_THE_CPU,
    images_per_class: int | None = None,
) -> Estimator:
    """Return an estimator for a data set.

    Args:
        name: One of `ESTIMATORS`, optionally with settings behind a colon; or the import path of a
            factory that takes the name of the data set.
        data: Name or path of the data set.
        pool: Networks that may have to be evaluated, for estimators that prepare for them.
        seed: Random seed of the preparation.
        placement: Where networks are trained and evaluated, and how precisely; an estimator of the
            user's own decides for itself.
        images_per_class: Number of images of each class to use, at most; None for all.

    Raises:
        MixnasError: If there is no such estimator, or it has no such setting.
    """
    kind, _, settings = name.partition(":")
    if kind in ESTIMATORS:
        return ESTIMATORS[kind](settings, Basis(data, pool, seed, placement, images_per_class))
    if looks_like_import(name):
        estimator: Estimator = named_object(name, "estimator")(data)
        _refuse_former_names(name, estimator)
        return estimator
    raise MixnasError(unknown("estimator", kind, ESTIMATORS))


def _refuse_former_names(name: str, estimator: Estimator) -> None:
    """Refuse an estimator with an ability under its former name, which nobody would call."""
    for former, current in FORMER_NAMES.items():
        if hasattr(estimator, former) and not hasattr(estimator, current):
            raise MixnasError(
                f"the estimator {name} has '{former}', which is now called '{current}'; rename it"
            )


def _short(settings: str, basis: Basis) -> Estimator:
    from nas.accuracy.sharing.pretrained import with_normalisation
    from nas.accuracy.short import ShortTraining

    what = "estimator short"
    pairs = with_normalisation(parse_settings(what, settings))
    defaults = {**_resolution(basis, 24), **_unlimited_epochs(pairs)}
    return configured(
        what=what, kind=ShortTraining, given=basis.given, defaults=defaults, pairs=pairs
    )


def _zero_cost(settings: str, basis: Basis) -> Estimator:
    from nas.accuracy.zero_cost import ZeroCost

    what = "estimator zero-cost"
    pairs = parse_settings(what, settings, first="score")
    defaults = _resolution(basis, 32)
    return configured(what=what, kind=ZeroCost, given=basis.given, defaults=defaults, pairs=pairs)


def _supernet(settings: str, basis: Basis) -> Estimator:
    from nas.accuracy.sharing.pretrained import with_normalisation
    from nas.accuracy.supernet import Supernet

    what = "estimator supernet"
    pairs = with_normalisation(parse_settings(what, settings))
    defaults = {"seed": basis.seed, **_resolution(basis, 16), **_unlimited_epochs(pairs)}
    given = {**basis.given, "pool": basis.pool}
    return configured(what=what, kind=Supernet, given=given, defaults=defaults, pairs=pairs)


def _table(path: str, basis: Basis) -> Estimator:
    from nas.accuracy.table import TableLookup

    if not path:
        raise MixnasError("the estimator 'table' needs a file; write table:FILE")
    return TableLookup(path)


def _resolution(basis: Basis, least: int) -> dict[str, Any]:
    """Return the default resolution; nothing if the networks are not known.

    On the CPU it is as small as the networks allow. On an accelerator it is large enough to mean
    something for what is deployed, but not larger than the images themselves.

    Args:
        basis: Networks, data and placement.
        least: Resolution at which the estimator ranks best for its cost on images of 32 pixels.
            Networks that are trained one by one benefit from larger images than networks that
            share their weights (`experiments/results/ranking.json`).
    """
    if basis.pool is None:
        return {}
    from nas.accuracy.fidelity import LARGE_ENOUGH, least_resolution

    smallest = least_resolution(basis.pool.draw(random.Random(0)), least)
    if basis.placement.kind == "cpu":
        return {"resolution": smallest}
    from nas.data import load_data

    own = load_data(basis.data, basis.images_per_class).own_side()
    return {"resolution": max(smallest, min(own, LARGE_ENOUGH))}


def _unlimited_epochs(pairs: dict[str, Any]) -> dict[str, Any]:
    """Lift the bound on epochs if a number of images is given: it then holds for any data set."""
    return {"most_epochs": ANY_NUMBER} if "images" in pairs else {}


ESTIMATORS: dict[str, EstimatorFactory] = {
    "short": _short,
    "zero-cost": _zero_cost,
    "supernet": _supernet,
    "table": _table,
}
"""The built-in estimators, by name."""


def with_absolute_files(text: str) -> str:
    """Return an estimator's name with its settings, or settings alone, with absolute paths.

    Those are the file of ``table:FILE``, and that of ``weights=FILE``.

    Raises:
        MixnasError: If the absolute path cannot be written as a setting.
    """
    kind, _, settings = text.partition(":")
    if kind == "table":
        return f"table:{absolute_path(settings, ())}"
    return _WEIGHTS.sub(_absolute, text)


def _absolute(found: re.Match[str]) -> str:
    path = absolute_path(found["file"].strip(), ())
    if "," in path:
        raise MixnasError(
            f"weights={found['file']}: the path {path} holds a comma, which separates settings; "
            "move or rename the file or its folder"
        )
    return f"{found['before']}{path}"


def parse_settings(what: str, settings: str, first: str | None = None) -> dict[str, str]:
    """Parse ``a=1,b=2``; hyphens in names count as underscores.

    Args:
        what: What is being configured, for error messages.
        settings: Text of the settings.
        first: Name of the setting that may be given by its value alone, as the first one.

    Raises:
        MixnasError: If a part of the text is not of the form NAME=VALUE.
    """
    pairs: dict[str, str] = {}
    for number, text in enumerate(filter(None, settings.split(","))):
        key, equals, value = text.partition("=")
        if not equals and number == 0 and first is not None:
            key, value = first, text
        elif not equals:
            raise MixnasError(f"{what}: '{text}' is not a setting; write NAME=VALUE")
        pairs[key.strip().replace("-", "_")] = value.strip()
    return pairs


def configured(
    what: str,
    kind: type[T],
    given: dict[str, Any],
    defaults: dict[str, Any],
    pairs: dict[str, Any],
) -> T:
    """Build an estimator from settings; those of its recipe stand beside its own.

    Args:
        what: What is being built, for error messages.
        kind: Class of the estimator, a dataclass.
        given: Values of fields that the settings must not change.
        defaults: Default values that replace those of the class.
        pairs: Settings by name, as text or as values.

    Raises:
        MixnasError: If there is no such setting, or its value is not allowed.
    """
    dataclass_type: Any = kind  # typing has no bound for classes that are dataclasses
    fields = {field.name: field for field in dataclasses.fields(dataclass_type)}
    allowed = [key for key in fields if key not in (*given, "recipe", "max_score")]
    own = {key: value for key, value in pairs.items() if key in allowed}
    values: dict[str, Any] = {**defaults, **given, **own}
    other: dict[str, Any] = {key: value for key, value in pairs.items() if key not in allowed}
    if "recipe" in fields:
        default_recipe: Any = fields["recipe"].default_factory
        recipe = (values.get("recipe") or default_recipe()).settings()
        allowed += recipe
        if other:
            values["recipe"] = {**recipe, **other}
    not_allowed = pairs.keys() - set(allowed)
    if not_allowed:
        raise MixnasError(unknown(f"setting of {what}", min(not_allowed), allowed))
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]).removeprefix("recipe.")
        said = first["msg"].removeprefix("Value error, ")
        raise MixnasError(f"{what}: {where} is {first['input']!r}; {said}") from None
