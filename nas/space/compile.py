"""The compiler of space documents, which turns them into variables and plans."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Collection
from typing import Any, NoReturn

from nas.blocks import FIELDS
from nas.blocks.fields import Stride
from nas.document import Document, Location, validate
from nas.errors import LimitError, MixnasError, nearest, unknown
from nas.ir import Padding
from nas.limits import Limit, parse_limit
from nas.space.choices import expand, is_form
from nas.space.derive import RULES, RegNetRule
from nas.space.outline import BLOCK_FIELDS, KINDS, RESERVED, STAGE_KEYS, SpaceDocument
from nas.space.plan import BlockPlan, StagePlan, ValueSource
from nas.space.restrictions import Restriction, parse_restriction
from nas.space.variables import Genotype, Site, Variable
from nas.spec import Head, Input, NetworkSpec, Norm, Stem, load_network


@dataclasses.dataclass
class Plans:
    """A compiled document, from which `nas.space.Space` is built.

    Attributes:
        name: Name of the space; empty if the document has none.
        description: One-line description.
        num_classes: Number of classes of the networks.
        padding: Padding rule of every convolution.
        norm: Constants of every batch normalization.
        variables: Variables in document order.
        stem: Source of each field of the stem that the document sets.
        head: Source of each field of the head that the document sets.
        input: Source of each field of the input that the document sets.
        stages: Plans of the stages.
        rule: Rule that derives widths and depths, if any.
        restrictions: Conditions between variables.
        limits: Limits on costs.
    """

    name: str
    description: str
    num_classes: int
    padding: Padding
    norm: Norm
    variables: list[Variable]
    stem: dict[str, ValueSource]
    head: dict[str, ValueSource]
    input: dict[str, ValueSource]
    stages: list[StagePlan]
    rule: RegNetRule | None
    restrictions: list[Restriction]
    limits: list[Limit]

    def derived(self, genotype: Genotype) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Return the stages' widths and depths if a rule derives them, else None.

        Raises:
            MixnasError: If they do not have as many stages as the space.
        """
        if self.rule is None:
            return None
        result = self.rule.apply(genotype)
        if result is None:
            raise MixnasError(f"the derived widths do not have {self.rule.stages} stages")
        return result


def compile_document(document: Document) -> Plans:
    """Return the compiled form of a document.

    Raises:
        DocumentError: If the document is not valid.
    """
    outline: SpaceDocument = validate(SpaceDocument, document)
    return _Compiler(document, outline).compile()


class _Compiler:
    """The state of a compilation.

    Attributes:
        names: Position of every variable, by its name.
        values: Values and frequencies of every variable.
        fixed: Value of every field without a variable, by the name its variable would have.
        sites: Fields that take their value from each variable.
    """

    def __init__(self, document: Document, outline: SpaceDocument) -> None:
        self.document = document
        self.outline = outline
        self.base: NetworkSpec | None = load_network(outline.base) if outline.base else None
        self.names: dict[str, int] = {}
        self.fixed: dict[str, Any] = {}
        self.values: list[tuple[tuple[Any, ...], tuple[float, ...] | None]] = []
        self.sites: dict[int, list[Site]] = {}

    def compile(self) -> Plans:
        outline = self.outline
        self._check_names()
        stem = self._record("stem", outline.stem, Stem, self.base and self.base.stem)
        head = self._record("head", outline.head, Head, self.base and self.base.head)
        images = self._record("input", outline.input, Input, self.base and self.base.input)
        rule = self._rule()
        self._check_fields(outline.defaults, ("defaults",), BLOCK_FIELDS)
        stages = [self._stage(name, i, rule) for i, name in enumerate(outline.stages)]
        unused = set(outline.variables) - set(self.names)
        if unused:
            first = sorted(unused)[0]
            self._fail(
                ("variables", first),
                f"'{first}' is never used; refer to it as ${first}, or remove it",
            )
        return Plans(
            name=outline.name,
            description=outline.description,
            num_classes=outline.num_classes,
            padding=outline.padding,
            norm=outline.norm,
            variables=self._variables(),
            stem=stem,
            head=head,
            input=images,
            stages=stages,
            rule=rule,
            restrictions=self._restrictions(),
            limits=self._limits(),
        )

    def _check_names(self) -> None:
        """Refuse names that would be ambiguous in a variable's name, or unfit for a file's."""
        outline = self.outline
        if outline.name and not re.fullmatch(r"[\w-][\w.-]*", outline.name):
            self._fail(
                ("name",), f"'{outline.name}' is not a valid name; use letters, digits, - and _"
            )
        for section, names in (("stages", outline.stages), ("variables", outline.variables)):
            for name in names:
                if not name.isidentifier():
                    self._fail(
                        (section, name), f"'{name}' is not a valid name; use letters, digits and _"
                    )
                if name in RESERVED or (section == "variables" and name in outline.stages):
                    self._fail((section, name), f"'{name}' is a reserved name; choose another name")

    def _fail(self, at: Location, message: str) -> NoReturn:
        self.document.fail(at, message)

    # -- values -----------------------------------------------------------------------------

    def _source(
        self, name: str, expression: Any, *, kind: Any, base: Any, at: Location
    ) -> ValueSource:
        """Return the source of a field's value, and declare its variable if it has one.

        Args:
            name: Name of the field's own variable.
            expression: A fixed value, a choice, or a reference to a shared variable.
            kind: Type of the field.
            base: Value that relative choices refer to, if any.
            at: Path of the expression in the document.
        """
        shared = isinstance(expression, str) and expression.startswith("$")
        if shared:
            name = expression[1:]
            if name not in self.outline.variables:
                self._fail(at, unknown("variable", name, self.outline.variables))
            expression, at = self.outline.variables[name], ("variables", name)
            if not is_form(expression):
                expression = {"choice": [expression]}
        elif not is_form(expression):
            values, _ = expand(expression, kind, base, document=self.document, at=at)
            return self._fixed(name, values[0])
        values, weights = expand(expression, kind, base, document=self.document, at=at)
        if len(values) == 1 and not shared:
            return self._fixed(name, values[0])
        if name not in self.names:
            self.names[name] = len(self.values)
            self.values.append((values, weights))
        index = self.names[name]
        if self.values[index][0] != values:
            self._fail(at, f"'{name}' would have different values in the fields that share it")
        return ValueSource(None, index, values)

    def _fixed(self, name: str, value: Any) -> ValueSource:
        self.fixed[name] = value  # restrictions may refer to it
        return ValueSource(value)

    def _record(
        self, name: str, record: dict[str, Any], kind: Any, base: Any
    ) -> dict[str, ValueSource]:
        """Return the sources of the fields of the stem, the head or the input."""
        hints = typing.get_type_hints(kind, include_extras=True)
        self._check_fields(record, (name,), frozenset(hints))
        sources = {
            key: self._source(
                f"{name}.{key}",
                expression,
                kind=hints[key],
                base=getattr(base, key, None),
                at=(name, key),
            )
            for key, expression in record.items()
        }
        for item in dataclasses.fields(kind):
            if item.name not in sources and item.default is dataclasses.MISSING:
                self._fail((name,), f"'{item.name}' is missing")
        for source in sources.values():
            self._use(source, Site())
        return sources

    def _use(self, source: ValueSource, site: Site) -> None:
        if source.variable is not None:
            self.sites.setdefault(source.variable, []).append(site)

    def _check_fields(self, fields: dict[str, Any], at: Location, allowed: Collection[str]) -> None:
        for key in fields:
            if key not in allowed:
                self._fail((*at, key), unknown("key", key, allowed))

    # -- stages -----------------------------------------------------------------------------

    def _stage(self, name: str, index: int, rule: RegNetRule | None) -> StagePlan:
        stage = self.outline.stages[name]
        at: Location = ("stages", name)
        self._check_fields(stage, at, (*BLOCK_FIELDS, *STAGE_KEYS))
        base = self.base.stages[index] if self.base and index < len(self.base.stages) else ()
        first = base[0] if base else None
        op = self._source(
            f"{name}.op", stage.get("op", "mbconv"), kind=KINDS["op"], base=None, at=(*at, "op")
        )
        self._use(op, Site())
        stride: int = validate(Stride, self.document, (*at, "stride"), stage.get("stride", 1))
        allowed = frozenset().union(*(FIELDS[family] for family in op.options))
        for key in stage:
            if key not in STAGE_KEYS and key not in allowed:
                self._fail((*at, key), unknown(f"key of {' or '.join(op.options)}", key, allowed))
        shared: dict[str, ValueSource] = {}
        depth: ValueSource | None = None
        if rule is None:
            depth = self._required(stage, "depth", name, base=len(base) or None, default=1)
            self._use(depth, Site())
            base_channels = getattr(first, "channels", None)
            channels = self._required(stage, "channels", name, base=base_channels)
            self._use(channels, Site())
            shared["channels"] = channels
        elif clash := {"depth", "channels"} & set(stage):
            self._fail((*at, min(clash)), "is derived by the rule; remove it here")
        self._check_roles(stage, at, allowed)
        max_depth = max(depth.options) if depth else 2
        each = bool(stage.get("each"))
        blocks: list[BlockPlan] = []
        for j in range(max_depth if each else min(2, max_depth)):
            sources = self._fields(stage, name, j, base=first, shared=shared)
            plan = BlockPlan(op, sources, stride if j == 0 else 1)
            blocks.append(plan)
            # Without `each`, the second plan stands for all further blocks.
            for k in range(j, max_depth if not each and j else j + 1):
                self._add_sites(plan, depth, op, k)
        return StagePlan(name, depth, blocks)

    def _check_roles(self, stage: dict[str, Any], at: Location, allowed: frozenset[str]) -> None:
        """Check the keys of `first`, `rest` and `each`."""
        for role in ("each", "first", "rest"):
            fields = stage.get(role) or {}
            if not isinstance(fields, dict):
                self._fail((*at, role), "must be a mapping of fields, such as {kernels: [3, 5]}")
            self._check_fields(fields, (*at, role), allowed - {"op", "stride", "channels"})
            repeated = set(fields) & set(stage.get("each") or {}) if role != "each" else ()
            for key in sorted(repeated):
                self._fail((*at, role, key), f"'{key}' also appears in 'each'; remove one")

    def _required(
        self, stage: dict[str, Any], key: str, name: str, *, base: Any, default: Any = None
    ) -> ValueSource:
        """Return the source of a stage's depth or channels, by default the base network's."""
        at: Location = ("stages", name, key)
        expression = stage.get(key, base if base is not None else default)
        if expression is None:
            others = [other for other in stage if other != key]
            self._fail(at[:2], f"'{key}' is missing{nearest(key, others)}")
        return self._source(f"{name}.{key}", expression, kind=KINDS[key], base=base, at=at)

    def _fields(
        self, stage: dict[str, Any], name: str, j: int, *, base: Any, shared: dict[str, ValueSource]
    ) -> dict[str, ValueSource]:
        """Return the sources of a block's fields, each from the most specific place that has it.

        Args:
            stage: Stage in the document.
            name: Name of the stage.
            j: Position of the block in the stage.
            base: First block of the base network's stage, if any.
            shared: Sources of the fields that all blocks of the stage share.
        """
        role = "first" if j == 0 else "rest"
        places: list[tuple[dict[str, Any], str, Location]] = [
            (stage.get("each") or {}, f"{name}.b{j}", ("stages", name, "each")),
            (stage.get(role) or {}, f"{name}.{role}", ("stages", name, role)),
            (stage, name, ("stages", name)),
            (self.outline.defaults, name, ("defaults",)),
        ]
        sources = dict(shared)
        for key in BLOCK_FIELDS:
            for place, prefix, at in places:
                if key in place:
                    sources[key] = self._source(
                        f"{prefix}.{key}",
                        place[key],
                        kind=KINDS[key],
                        base=getattr(base, key, None),
                        at=(*at, key),
                    )
                    break
        return sources

    def _add_sites(
        self, plan: BlockPlan, depth: ValueSource | None, op: ValueSource, j: int
    ) -> None:
        """Record where the variables of the block at position j of a stage are used."""
        depth = depth or ValueSource()
        for key, source in plan.sources.items():
            site = Site(
                depth=depth.variable,
                depths=tuple(value > j for value in depth.values),
                op=op.variable,
                ops=tuple(key in FIELDS[family] for family in op.values),
            )
            self._use(source, site)

    # -- rules, restrictions and limits -----------------------------------------------------

    def _rule(self) -> RegNetRule | None:
        if self.outline.derive is None:
            return None
        parameters = dict(self.outline.derive)
        rule = parameters.pop("rule", "regnet")
        if not isinstance(rule, str) or rule not in RULES:
            self._fail(("derive", "rule"), unknown("rule", rule, RULES))
        kinds = RULES[rule].kinds
        self._check_fields(parameters, ("derive",), frozenset(kinds) | {"rule"})
        for name in kinds:
            if name not in parameters:
                self._fail(("derive",), f"'{name}' is missing")
        sources = {
            name: self._source(
                f"derive.{name}", parameters[name], kind=kind, base=None, at=("derive", name)
            )
            for name, kind in kinds.items()
        }
        for source in sources.values():
            self._use(source, Site())
        return RULES[rule](sources, len(self.outline.stages))

    def _variables(self) -> list[Variable]:
        result = []
        for name, index in self.names.items():
            values, weights = self.values[index]
            sites = tuple(dict.fromkeys(self.sites.get(index, ())))
            if any(site.unconditional for site in sites):
                sites = ()
            result.append(Variable(name, values, weights, sites))
        return result

    def _restrictions(self) -> list[Restriction]:
        result: list[Restriction] = []
        values = {name: self.values[index][0] for name, index in self.names.items()}
        values |= {name: (value,) for name, value in self.fixed.items()}
        for i, text in enumerate(self.outline.restrictions):
            try:
                result += parse_restriction(text, values).conjuncts()
            except ValueError as error:
                self._fail(("restrictions", i), str(error))
        return result

    def _limits(self) -> list[Limit]:
        result = []
        for metric, text in self.outline.limits.items():
            try:
                result.append(parse_limit(metric, text))
            except LimitError as error:
                self._fail(("limits", metric), str(error))
        return result
