"""Estimators by name, with settings behind a colon: ``short:images=8000,width=0.5``."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nas.accuracy.base import Estimator
from nas.accuracy.population import Population
from nas.errors import MixnasError, unknown
from nas.imports import looks_like_import, named_object

T = TypeVar("T")
Maker = Callable[[str, str, Population | None], Estimator]


def open_estimator(name: str, data: str, population: Population | None = None) -> Estimator:
    """Return an estimator for a data set.

    Args:
        name: one of `ESTIMATORS`, perhaps with settings; or the import path of what makes one
            from the data set's name.
        data: name of the data set.
        population: the networks that may be asked about, for estimators that prepare for them.

    Raises:
        MixnasError: when there is no such estimator, or it has no such setting.
    """
    kind, _, rest = name.partition(":")
    if kind in ESTIMATORS:
        return ESTIMATORS[kind](rest, data, population)
    if looks_like_import(name):
        made: Estimator = named_object(name, "estimator")(data)
        return made
    raise MixnasError(unknown("estimator", kind, ESTIMATORS))


def _short(settings: str, data: str, population: Population | None) -> Estimator:
    from nas.accuracy.short import ShortTraining

    pairs = pairs_of("short", settings)
    return configured(ShortTraining, "short", {"data": data}, _fitting(population), pairs)


def _zero_cost(settings: str, data: str, population: Population | None) -> Estimator:
    from nas.accuracy.zero_cost import ZeroCost

    pairs = pairs_of("zero-cost", settings, first="score")
    return configured(ZeroCost, "zero-cost", {"data": data}, _fitting(population), pairs)


def _supernet(settings: str, data: str, population: Population | None) -> Estimator:
    from nas.accuracy.supernet import Supernet

    given = {"data": data, "population": population}
    pairs = pairs_of("supernet", settings)
    return configured(Supernet, "supernet", given, _fitting(population), pairs)


def _fitting(population: Population | None) -> dict[str, Any]:
    """Return the defaults that depend on the networks: the side of the images."""
    if population is None:
        return {}
    from nas.accuracy.fidelity import least_resolution

    return {"resolution": least_resolution(population.draw(random.Random(0)))}


def _table(path: str, data: str, _: Population | None) -> Estimator:
    from nas.accuracy.table import TrainedNetworks

    if not path:
        raise MixnasError("the estimator 'table' wants a file: table:FILE")
    return TrainedNetworks(path)


ESTIMATORS: dict[str, Maker] = {
    "short": _short,
    "zero-cost": _zero_cost,
    "supernet": _supernet,
    "table": _table,
}


def pairs_of(kind: str, settings: str, first: str | None = None) -> dict[str, str]:
    """Read ``a=1,b=2``; with `first`, the first may stand without its name."""
    found: dict[str, str] = {}
    for number, text in enumerate(filter(None, settings.split(","))):
        key, equals, value = text.partition("=")
        if not equals and number == 0 and first is not None:
            key, value = first, text
        elif not equals:
            raise MixnasError(f"estimator {kind}: '{text}' is no setting; write NAME=VALUE")
        found[key.strip().replace("-", "_")] = value.strip()
    return found


def configured(
    kind: type[T],
    name: str,
    given: dict[str, Any],
    defaults: dict[str, Any],
    pairs: dict[str, str],
) -> T:
    """Build an estimator; settings of its recipe stand beside its own.

    Args:
        kind: of estimator, a dataclass.
        name: for messages.
        given: values that the settings cannot be about.
        defaults: in place of the kind's own.
        pairs: the settings, as text.

    Raises:
        MixnasError: when there is no such setting, or it cannot have that value.
    """
    made: Any = kind  # typing has no name for a class that is a dataclass
    fields = {field.name: field for field in dataclasses.fields(made)}
    allowed = [key for key in fields if key not in (*given, "recipe", "ceiling")]
    own = {key: value for key, value in pairs.items() if key in allowed}
    values: dict[str, Any] = {**defaults, **given, **own}
    rest: dict[str, Any] = {key: value for key, value in pairs.items() if key not in allowed}
    if "recipe" in fields:
        usual: Any = fields["recipe"].default_factory
        known = dataclasses.asdict(values.get("recipe") or usual())
        allowed += [key for key in known if key != "epochs"]
        if rest and rest.keys() <= known.keys() - {"epochs"}:
            values["recipe"], rest = {**known, **rest}, {}
    if rest:
        raise MixnasError(unknown(f"setting of estimator '{name}'", min(rest), allowed))
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]).removeprefix("recipe.")
        raise MixnasError(
            f"estimator {name}: {where} is {first['input']!r}; {first['msg']}"
        ) from None
