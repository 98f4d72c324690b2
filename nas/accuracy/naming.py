"""Estimators by name, with settings behind a colon: ``short:images=8000,width=0.5``."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from nas.accuracy.base import Estimator
from nas.accuracy.pool import NetworkPool
from nas.errors import MixnasError, unknown
from nas.imports import looks_like_import, named_object

T = TypeVar("T")
EstimatorFactory = Callable[[str, str, NetworkPool | None, int], Estimator]
ANY_NUMBER = 1 << 30


def open_estimator(
    name: str, data: str, population: NetworkPool | None = None, seed: int = 0
) -> Estimator:
    """Return an estimator for a data set.

    Args:
        name: one of `ESTIMATORS`, perhaps with settings; or the import path of what makes one
            from the data set's name.
        data: name of the data set.
        population: the networks that may be asked about, for estimators that prepare for them.
        seed: of what an estimator prepares.

    Raises:
        MixnasError: when there is no such estimator, or it has no such setting.
    """
    kind, _, rest = name.partition(":")
    if kind in ESTIMATORS:
        return ESTIMATORS[kind](rest, data, population, seed)
    if looks_like_import(name):
        made: Estimator = named_object(name, "estimator")(data)
        return made
    raise MixnasError(unknown("estimator", kind, ESTIMATORS))


def _short(settings: str, data: str, population: NetworkPool | None, _: int) -> Estimator:
    from nas.accuracy.short import ShortTraining

    pairs = parse_settings("estimator short", settings)
    defaults = {**_fitting(population, 24), **_as_long_as_told(pairs)}
    return configured("estimator short", ShortTraining, {"data": data}, defaults, pairs)


def _zero_cost(settings: str, data: str, population: NetworkPool | None, _: int) -> Estimator:
    from nas.accuracy.zero_cost import ZeroCost

    pairs = parse_settings("estimator zero-cost", settings, first="score")
    return configured(
        "estimator zero-cost", ZeroCost, {"data": data}, _fitting(population, 32), pairs
    )


def _supernet(settings: str, data: str, population: NetworkPool | None, seed: int) -> Estimator:
    from nas.accuracy.supernet import Supernet

    pairs = parse_settings("estimator supernet", settings)
    defaults = {"seed": seed, **_fitting(population, 16), **_as_long_as_told(pairs)}
    given = {"data": data, "population": population}
    return configured("estimator supernet", Supernet, given, defaults, pairs)


def _table(path: str, data: str, population: NetworkPool | None, seed: int) -> Estimator:
    from nas.accuracy.table import TrainedNetworks

    if not path:
        raise MixnasError("the estimator 'table' wants a file: table:FILE")
    return TrainedNetworks(path)


def _fitting(population: NetworkPool | None, least: int) -> dict[str, Any]:
    """Return the defaults that depend on the networks: the side of the images.

    `least` is that at which an estimator ranks best for its price on images of 32 pixels: what
    networks learn alone shows in larger images than what they learn together
    (`experiments/results/ranking.json`).
    """
    if population is None:
        return {}
    from nas.accuracy.fidelity import least_resolution

    return {"resolution": least_resolution(population.draw(random.Random(0)), least)}


def _as_long_as_told(pairs: dict[str, str]) -> dict[str, Any]:
    """Let a number of images that is asked for be no matter of the data set's size."""
    return {"most_epochs": ANY_NUMBER} if "images" in pairs else {}


ESTIMATORS: dict[str, EstimatorFactory] = {
    "short": _short,
    "zero-cost": _zero_cost,
    "supernet": _supernet,
    "table": _table,
}


def parse_settings(what: str, settings: str, first: str | None = None) -> dict[str, str]:
    """Read ``a=1,b=2``.

    Args:
        what: they are of, for messages.
        settings: the text.
        first: name of the setting that may stand without its name, as the first.

    Raises:
        MixnasError: when something is no setting.
    """
    found: dict[str, str] = {}
    for number, text in enumerate(filter(None, settings.split(","))):
        key, equals, value = text.partition("=")
        if not equals and number == 0 and first is not None:
            key, value = first, text
        elif not equals:
            raise MixnasError(f"{what}: '{text}' is no setting; write NAME=VALUE")
        found[key.strip().replace("-", "_")] = value.strip()
    return found


def configured(
    what: str,
    kind: type[T],
    given: dict[str, Any],
    defaults: dict[str, Any],
    pairs: dict[str, str],
) -> T:
    """Build an estimator; settings of its recipe stand beside its own.

    Args:
        what: is built, for messages.
        kind: of estimator, a dataclass.
        given: values that settings cannot be about.
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
        known = (values.get("recipe") or usual()).settings()
        allowed += known
        if rest:
            values["recipe"] = {**known, **rest}
    wrong = pairs.keys() - set(allowed)
    if wrong:
        raise MixnasError(unknown(f"setting of {what}", min(wrong), allowed))
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]).removeprefix("recipe.")
        raise MixnasError(f"{what}: {where} is {first['input']!r}; {first['msg']}") from None
