"""The document of the space around a network."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from nas.blocks import DEFAULTS, Block
from nas.document import Document, document_name
from nas.errors import DocumentError
from nas.space.around.parts import Part, parts_of
from nas.space.around.steps import Fitted, choices
from nas.space.around.widths import widths_of
from nas.spec import NetworkSpec, load_network, looks_like_path

PREFIX = "around:"
_TOGETHER = ("se_ratio", "group_width")  # one choice for the first block and the others
_SE_FIELDS = ("se_base", "se_activation", "gate", "se_place")
_BY_STAGE = ("op", "channels", "stride")


def is_around(name: str) -> bool:
    """Return whether a name of a space stands for that around a network."""
    return name.startswith(PREFIX)


def network_of(name: str, beside: Path | None = None) -> str:
    """Return the name or path of the network that a space is around.

    Args:
        name: Name of the space, ``around:NETWORK``.
        beside: Folder that a relative path starts from; None for the working directory.

    Raises:
        DocumentError: If it names no network.
    """
    network = name.removeprefix(PREFIX)
    if not network:
        raise DocumentError(
            f"'{name}' names no network; write {PREFIX}mixnet_s, or {PREFIX}my_network.yaml"
        )
    if network.startswith("~"):  # which a shell leaves as it is behind a prefix
        return str(Path(network).expanduser())
    return str(beside / network) if beside and looks_like_path(network) else network


def run_name(name: str) -> str:
    """Return a name for files of a space around a network: ``around-mixnet_s``."""
    plain = re.sub(r"[^\w.-]+", "-", document_name(network_of(name))).strip("-.")
    return f"around-{plain or 'network'}"


def around_document(name: str, beside: Path | None = None) -> Document:
    """Return the document of the space around a network.

    Args:
        name: Name of the space, ``around:NETWORK``: the name of a reference network, or the path of
            a YAML file.
        beside: Folder that a relative path starts from; None for the working directory.

    Raises:
        DocumentError: If there is no such network, or its document is not valid.
    """
    spec = load_network(network_of(name, beside))
    return Document(name, {"name": run_name(name), **around(spec)})


def around(spec: NetworkSpec) -> dict[str, Any]:
    """Return the document of the space around a network, without its schema and name, as data."""
    return _Writer(spec).document()


class _Writer:
    """Writes the document of the space around a network, stage by stage."""

    def __init__(self, spec: NetworkSpec) -> None:
        self._spec = _with_se_fields(spec)
        self._parts = parts_of(self._spec)
        self._names = self._part_names()
        self._variables: dict[str, Any] = {}
        self._channels = self._widths()
        self._alike = self._places_alike()
        self._shared: dict[tuple[Any, ...], str] = {}

    def document(self) -> dict[str, Any]:
        """Return the document."""
        data, spec = self._spec.to_dict(), self._spec
        stages = {
            name: self._stage(part) for name, part in zip(self._names, self._parts, strict=True)
        }
        kept = ("input", "num_classes", "padding", "norm")
        return {
            "description": f"the networks one step around {spec.name or 'a network'}",
            **{key: data[key] for key in kept},
            **({"variables": self._variables} if self._variables else {}),
            "stem": data["stem"],
            "stages": stages,
            "head": data["head"],
        }

    def _part_names(self) -> list[str]:
        """Return a name of every part: that of its stage, and from the second on, a number."""
        names: list[str] = []
        number = 0
        for part in self._parts:
            number = 1 if part.begins else number + 1
            names.append(f"s{part.stage}" if number == 1 else f"s{part.stage}_{number}")
        return names

    # -- widths -----------------------------------------------------------------------------

    def _widths(self) -> list[Any]:
        """Return the expression of every part's channels; a width of several is a variable."""
        result: list[Any] = [None] * len(self._parts)
        for width in widths_of(self._spec):
            inside = [i for i, part in enumerate(self._parts) if part.first in width.blocks]
            expression = _expression(list(width.values))
            if isinstance(expression, dict) and len(inside) > 1:
                name = f"{self._names[inside[0]]}_channels"
                self._variables[name] = expression
                expression = f"${name}"
            for i in inside:
                result[i] = expression
        return result

    # -- blocks -----------------------------------------------------------------------------

    def _places_alike(self) -> dict[tuple[Any, ...], list[Part]]:
        """Return the parts of a stage whose blocks differ in channels and stride only."""
        alike: dict[tuple[Any, ...], list[Part]] = {}
        for part in self._parts:
            if not part.begins:
                alike.setdefault(_configuration(part), []).append(part)
        return alike

    def _stage(self, part: Part) -> dict[str, Any]:
        index = self._parts.index(part)
        block = part.places[0].block
        stage: dict[str, Any] = {} if part.begins else {"continues": True}
        stage |= {"op": block.family, "stride": block.stride}
        stage |= {"depth": _expression(list(part.depths)), "channels": self._channels[index]}
        if part.begins and len(part.places) > 1:
            return {**stage, **_first_and_rest(part)}
        parts = [part] if part.begins else self._alike[_configuration(part)]
        places = [place for other in parts for place in other.all_places]
        fields = _fields(places)
        if len(parts) > 1:
            fields = {key: self._named(part, key, value) for key, value in fields.items()}
        return {**stage, **fields}

    def _named(self, part: Part, key: str, expression: Any) -> Any:
        """Return a reference to a variable that parts alike share, if the field varies."""
        if not isinstance(expression, dict):
            return expression
        identity = (*_configuration(part), key)
        if identity not in self._shared:
            name = f"{self._names[self._parts.index(part)]}_{key}"
            self._shared[identity] = name
            self._variables[name] = expression
        return f"${self._shared[identity]}"


def _with_se_fields(spec: NetworkSpec) -> NetworkSpec:
    """Return the same network, whose blocks without SE would have it as the others have theirs."""
    models: dict[str, Block] = {}
    for block in spec.blocks:
        if _has_se(block):
            models.setdefault(block.family, block)

    def adapted(block: Block) -> Block:
        model = models.get(block.family)
        if model is None or _has_se(block):
            return block
        names = [name for name in _SE_FIELDS if hasattr(block, name)]
        return dataclasses.replace(block, **{name: getattr(model, name) for name in names})

    return spec.replace(stages=tuple(tuple(map(adapted, stage)) for stage in spec.stages))


def _has_se(block: Block) -> bool:
    return bool(getattr(block, "se_ratio", 0))


def _configuration(part: Part) -> tuple[Any, ...]:
    """Return what blocks of a stage have in common that share their choices."""
    return (part.stage, dataclasses.replace(part.places[-1].block, channels=1, stride=1))


def _first_and_rest(part: Part) -> dict[str, Any]:
    """Return the fields of the first block, of the others, and those that they have in common.

    SE and group width are chosen for all of them, unless they differ in the network.
    """
    places = part.all_places
    first, rest = _fields(places[:1]), _fields(places[1:])
    one, other = places[0].block, places[1].block
    common: dict[str, Any] = {}
    for key in [*first, *rest]:
        values = [getattr(block, key) for block in (one, other)]
        if values[0] != values[1]:
            continue
        if key in _TOGETHER:
            common[key] = _expression(choices(key, places))
        elif key in first and first[key] == rest.get(key) and not isinstance(first[key], dict):
            common[key] = first[key]
    apart = {
        role: {key: value for key, value in fields.items() if key not in common}
        for role, fields in (("first", first), ("rest", rest))
    }
    return {**common, **{role: fields for role, fields in apart.items() if fields}}


def _fields(places: list[Fitted]) -> dict[str, Any]:
    """Return the expressions of blocks' fields, apart from defaults that do not vary."""
    block = places[0].block
    defaults = DEFAULTS[block.family]
    result = {}
    for item in dataclasses.fields(block):
        if item.name in _BY_STAGE:
            continue
        values = choices(item.name, places)
        if len(values) > 1 or values[0] != defaults[item.name]:
            result[item.name] = _expression(values)
    return result


def _expression(values: list[Any]) -> Any:
    """Return a choice between values, or the only value, as plain data."""
    plain = [list(value) if isinstance(value, tuple) else value for value in values]
    return plain[0] if len(plain) == 1 else {"choice": plain}
