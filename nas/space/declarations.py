"""The sources of the values in a space document, and the variables that they declare."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import StrictBool

from nas.blocks.fields import Stride
from nas.document import Document, Location, validate
from nas.errors import DocumentError, unknown
from nas.space.choices import expand, is_form, is_relative
from nas.space.outline import BLOCK_FIELDS, PLACEHOLDERS
from nas.space.plan import BlockPlan, StagePlan, ValueSource, network_stages
from nas.space.variables import Site, Variable

_SECTIONS = ("stem", "head", "input", "derive", "variables", "defaults")


def _lost(data: dict[str, Any]) -> set[str]:
    stages = data.get("stages") or {}
    lost = {name for name in _SECTIONS if not isinstance(data.get(name) or {}, dict)}
    lost |= {name for name, stage in stages.items() if not isinstance(stage, dict)}
    return lost | ({"stem"} - data.keys())


class Declarations:
    """What a document has declared so far.

    Attributes:
        document: The document, for messages.
        shared: The expressions of the shared variables, by name.
        problems: The mistakes found so far. After one, a placeholder takes the value's place.
        names: Position of every variable, by its name.
        values: Values and frequencies of every variable.
        kinds: Type of every field that restrictions can name.
        fixed: Value of every field without a variable, by the name its variable would have.
        referred: Names of the shared variables that fields refer to.
        broken: Names of the fields and variables with mistakes.
        lost: Names of the sections and stages that are not even mappings, and of those missing.
        lacks_base: Whether the base network cannot be read, so that what refers to it is not known.
        sites: Fields that take their value from each variable.
    """

    def __init__(self, document: Document, shared: dict[str, Any], problems: list[str]) -> None:
        """Begin with no declaration."""
        self.document = document
        self.shared = shared
        self.problems = problems
        self.names: dict[str, int] = {}
        self.kinds: dict[str, Any] = {}
        self.fixed: dict[str, Any] = {}
        self.referred: set[str] = set()
        self.broken: set[str] = set()
        self.lost = _lost(document.data)
        self.lacks_base = False
        self.values: list[tuple[tuple[Any, ...], tuple[float, ...] | None]] = []
        self.sites: dict[int, list[Site]] = {}

    def _note(self, at: Location, message: str) -> None:
        """Record a mistake, and go on to find the others."""
        self.problems.append(self.document.problem(at, message))

    def _source(
        self, name: str, expression: Any, *, kind: Any, base: Any, at: Location
    ) -> ValueSource:
        """Return the source of a field's value, and declare its variable if it has one.

        If the value has mistakes, these are recorded, and a placeholder is returned.

        Args:
            name: Name of the field's own variable.
            expression: A fixed value, a choice, or a reference to a shared variable.
            kind: Type of the field.
            base: Value that relative choices refer to, if any.
            at: Path of the expression in the document.
        """
        if self.lacks_base and is_relative(expression):
            self.broken.add(name)
            return ValueSource(PLACEHOLDERS.get(name.rpartition(".")[2]))
        try:
            return self._read_source(name, expression, kind=kind, base=base, at=at)
        except DocumentError as error:
            self.problems += str(error).splitlines()
            self.broken.add(name)
            if isinstance(expression, str):
                self.broken.add(expression.removeprefix("$"))
            return ValueSource(PLACEHOLDERS.get(name.rpartition(".")[2]))

    def _read_source(
        self, name: str, expression: Any, *, kind: Any, base: Any, at: Location
    ) -> ValueSource:
        shared = isinstance(expression, str) and expression.startswith("$")
        if shared:
            name = expression[1:]
            self.referred.add(name)
            if name not in self.shared:
                self.document.fail(at, unknown("variable", name, self.shared))
            expression, at = self.shared[name], ("variables", name)
            if not is_form(expression):
                expression = {"choice": [expression]}
        elif not is_form(expression):
            self.kinds.setdefault(name, kind)
            values, _ = expand(expression, kind, base, document=self.document, at=at)
            return self._fixed(name, values[0])
        self.kinds.setdefault(name, kind)
        values, weights = expand(expression, kind, base, document=self.document, at=at)
        if len(values) == 1 and not shared:
            return self._fixed(name, values[0])
        if None in values:  # tables leave the values of inactive variables empty
            self.document.fail(at, "null cannot be a choice; write it as a fixed value")
        if name not in self.names:
            self.names[name] = len(self.values)
            self.values.append((values, weights))
        index = self.names[name]
        if self.values[index][0] != values:
            self.document.fail(
                at, f"'{name}' would have different values in the fields that share it"
            )
        return ValueSource(None, index, values)

    def _fixed(self, name: str, value: Any) -> ValueSource:
        self.fixed[name] = value  # restrictions may refer to it
        return ValueSource(value)

    def _is_doubtful(self, name: str) -> bool:
        """Tell whether another mistake may be why a name is not known, or has other values."""
        place, _, field = name.rpartition(".")
        section = place.partition(".")[0] or "variables"
        return (
            name in self.broken
            or section in self.lost
            or ("defaults" in self.lost and name not in self.names and field in BLOCK_FIELDS)
        )

    def _check_coupled(self, plan: BlockPlan, at: Location) -> None:
        if plan.coupled:
            one, other = plan.coupled
            self._note(
                at,
                f"'{one}' and '{other}' cannot both be choices, since one can do what the other "
                "does; give one of them a fixed value",
            )

    def _use(self, source: ValueSource, site: Site) -> None:
        if source.variable is not None:
            self.sites.setdefault(source.variable, []).append(site)

    def _check_fields(self, fields: dict[str, Any], at: Location, allowed: Collection[str]) -> None:
        for key in fields:
            if key not in allowed:
                self._note((*at, key), unknown("key", key, allowed))

    def _stride(self, stage: dict[str, Any], at: Location) -> int:
        try:
            return int(validate(Stride, self.document, (*at, "stride"), stage.get("stride", 1)))
        except DocumentError as error:
            self.problems.append(str(error))
            return 1

    def _continues(self, stage: dict[str, Any], at: Location, index: int, derived: bool) -> bool:
        """Return whether a stage goes on with the network's stage of the one before it.

        Args:
            stage: Stage in the document.
            at: Path of the stage.
            index: Position of the stage in the document.
            derived: Whether a rule derives widths and depths.
        """
        at = (*at, "continues")
        try:
            found = bool(validate(StrictBool, self.document, at, stage.get("continues", False)))
        except DocumentError as error:
            self.problems.append(str(error))
            return False
        if found and not index:
            self._note(at, "the first stage has none before it to continue; remove it here")
        elif found and derived:
            self._note(at, "every stage has a width that the rule derives; remove it here")
        return found

    def _check_depths(self, stages: list[StagePlan]) -> None:
        """Refuse two choices of depth in one stage of the network.

        Equal blocks could belong to either part, so that one network would be written twice.
        """
        for group in network_stages(stages):
            varied = [i for i in group if (depth := stages[i].depth) and len(depth.options) > 1]
            for i in varied[1:]:
                self._note(
                    ("stages", stages[i].name, "depth"),
                    f"must be a number, since '{stages[varied[0]].name}' has a choice of depth, "
                    "too, and belongs to the same stage of the network",
                )

    def _variables(self) -> list[Variable]:
        result = []
        for name, index in self.names.items():
            values, weights = self.values[index]
            sites = tuple(dict.fromkeys(self.sites.get(index, ())))
            if any(site.unconditional for site in sites):
                sites = ()
            result.append(Variable(name, values, weights, sites))
        return result
