"""From a space's document to its variables and plans."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Collection
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nas.blocks import BLOCKS, FIELDS
from nas.blocks.fields import Channels, Stride
from nas.document import Document, Location, validate
from nas.errors import LimitError, MixnasError, nearest, unknown
from nas.ir import Padding
from nas.limits import Limit, parse_limit
from nas.space.choices import expand, is_form
from nas.space.derive import RULES, RegNetRule
from nas.space.loader import SCHEMA
from nas.space.plan import BlockPlan, StagePlan, ValueSource
from nas.space.restrictions import Restriction, parse_restriction
from nas.space.variables import Genotype, Site, Variable
from nas.spec import Head, Input, NetworkSpec, Norm, Stem, load_network

Depth = Annotated[int, Field(ge=1, le=64)]
Op = typing.Literal[tuple(BLOCKS)]  # type: ignore[valid-type]
RESERVED = ("stem", "head", "input", "derive")
STAGE_KEYS = ("op", "stride", "depth", "channels", "first", "rest", "each")
KINDS: dict[str, Any] = {"op": Op, "depth": Depth, "channels": Channels}
for _block in BLOCKS.values():
    for _name, _hint in typing.get_type_hints(_block, include_extras=True).items():
        KINDS.setdefault(_name, _hint)
BLOCK_FIELDS = tuple(key for key in KINDS if key not in ("op", "depth", "channels", "stride"))


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) else value


class SpaceDocument(BaseModel):
    """The outline of a space document; expressions in it are read by `nas.space.choices`."""

    model_config = ConfigDict(extra="forbid")

    schema_: str = Field(SCHEMA, alias="schema")
    name: str = ""
    description: str = ""
    source: str = ""
    base: str | None = None
    input: dict[str, Any] = {}
    num_classes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    padding: Padding = "symmetric"
    norm: Norm = Norm()
    variables: dict[str, Any] = {}
    stem: dict[str, Any]
    defaults: dict[str, Any] = {}
    stages: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    head: dict[str, Any] = {}
    derive: dict[str, Any] | None = None
    restrictions: list[str] = []
    limits: dict[str, Annotated[str, BeforeValidator(_as_text)]] = {}


@dataclasses.dataclass
class Plans:
    """What a compiled document consists of; `nas.space.Space` is built from it."""

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
        """Return the stages' widths and depths where a rule derives them, else None.

        Raises:
            MixnasError: when the rule gives another number of stages.
        """
        if self.rule is None:
            return None
        result = self.rule.apply(genotype)
        if result is None:
            raise MixnasError(f"the derived widths do not have {self.rule.stages} stages")
        return result


def compile_document(document: Document) -> Plans:
    """Compile a document.

    Raises:
        DocumentError: naming the line, what was found and what is allowed.
    """
    outline: SpaceDocument = validate(SpaceDocument, document)
    return _Compiler(document, outline).compile()


class _Compiler:
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
            self._fail(("variables", first), f"'{first}' is never used; write ${first} somewhere")
        return Plans(
            outline.name,
            outline.description,
            outline.num_classes,
            outline.padding,
            outline.norm,
            self._variables(),
            stem,
            head,
            images,
            stages,
            rule,
            self._restrictions(),
            self._limits(),
        )

    def _check_names(self) -> None:
        """Refuse names that could not be told apart in a variable's name, or used in a file's."""
        outline = self.outline
        if outline.name and not re.fullmatch(r"[\w-][\w.-]*", outline.name):
            self._fail(("name",), f"'{outline.name}' is no name; use letters, digits, - and _")
        for section, names in (("stages", outline.stages), ("variables", outline.variables)):
            for name in names:
                if not name.isidentifier():
                    self._fail((section, name), f"'{name}' is no name; use letters, digits and _")
                if name in RESERVED or (section == "variables" and name in outline.stages):
                    self._fail((section, name), f"'{name}' already means something else here")

    def _fail(self, at: Location, message: str) -> NoReturn:
        self.document.fail(at, message)

    # -- values -----------------------------------------------------------------------------

    def _source(
        self, name: str, expression: Any, kind: Any, base: Any, at: Location
    ) -> ValueSource:
        """Return where a field's value comes from, declaring its variable when it has one."""
        shared = isinstance(expression, str) and expression.startswith("$")
        if shared:
            name = expression[1:]
            if name not in self.outline.variables:
                self._fail(at, unknown("variable", name, self.outline.variables))
            expression, at = self.outline.variables[name], ("variables", name)
            if not is_form(expression):
                expression = {"choice": [expression]}
        elif not is_form(expression):
            return self._fixed(name, expand(expression, kind, base, self.document, at)[0][0])
        values, weights = expand(expression, kind, base, self.document, at)
        if len(values) == 1 and not shared:
            return self._fixed(name, values[0])
        if name not in self.names:
            self.names[name] = len(self.values)
            self.values.append((values, weights))
        index = self.names[name]
        if self.values[index][0] != values:
            self._fail(at, f"'{name}' stands for different values in the places that share it")
        return ValueSource(None, index, values)

    def _fixed(self, name: str, value: Any) -> ValueSource:
        self.fixed[name] = value  # restrictions may read it all the same
        return ValueSource(value)

    def _record(
        self, name: str, record: dict[str, Any], kind: Any, base: Any
    ) -> dict[str, ValueSource]:
        """Return the sources of the stem, the head or the input."""
        hints = typing.get_type_hints(kind, include_extras=True)
        self._check_fields(record, (name,), frozenset(hints))
        sources = {
            key: self._source(
                f"{name}.{key}", expression, hints[key], getattr(base, key, None), (name, key)
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

    def _check_fields(self, found: dict[str, Any], at: Location, allowed: Collection[str]) -> None:
        for key in found:
            if key not in allowed:
                self._fail((*at, key), unknown("key", key, allowed))

    # -- stages -----------------------------------------------------------------------------

    def _stage(self, name: str, index: int, rule: RegNetRule | None) -> StagePlan:
        stage = self.outline.stages[name]
        at: Location = ("stages", name)
        self._check_fields(stage, at, (*BLOCK_FIELDS, *STAGE_KEYS))
        base = self.base.stages[index] if self.base and index < len(self.base.stages) else ()
        first = base[0] if base else None
        op = self._source(f"{name}.op", stage.get("op", "mbconv"), Op, None, (*at, "op"))
        self._use(op, Site())
        stride: int = validate(Stride, self.document, (*at, "stride"), stage.get("stride", 1))
        allowed = frozenset().union(*(FIELDS[o] for o in op.options))
        for key in stage:
            if key not in STAGE_KEYS and key not in allowed:
                self._fail((*at, key), unknown(f"key of {' or '.join(op.options)}", key, allowed))
        shared: dict[str, ValueSource] = {}
        depth: ValueSource | None = None
        if rule is None:
            depth = self._needed(stage, "depth", name, len(base) or None, 1)
            self._use(depth, Site())
            channels = self._needed(stage, "channels", name, getattr(first, "channels", None))
            self._use(channels, Site())
            shared["channels"] = channels
        elif clash := {"depth", "channels"} & set(stage):
            self._fail((*at, min(clash)), "is derived, so it cannot be given here too")
        self._check_roles(stage, at, allowed)
        longest = max(depth.options) if depth else 2
        each = bool(stage.get("each"))
        blocks: list[BlockPlan] = []
        for j in range(longest if each else min(2, longest)):
            sources = self._fields(stage, name, j, first, shared)
            plan = BlockPlan(op, sources, stride if j == 0 else 1)
            blocks.append(plan)
            for k in range(j, longest if not each and j else j + 1):
                self._note_sites(plan, depth, op, k)
        return StagePlan(name, depth, blocks)

    def _check_roles(self, stage: dict[str, Any], at: Location, allowed: frozenset[str]) -> None:
        """Check what `first`, `rest` and `each` name."""
        for role in ("each", "first", "rest"):
            fields = stage.get(role) or {}
            if not isinstance(fields, dict):
                self._fail((*at, role), "is a mapping of fields, as {kernels: [3, 5]}")
            self._check_fields(fields, (*at, role), allowed - {"op", "stride", "channels"})
            both = set(fields) & set(stage.get("each") or {}) if role != "each" else ()
            for key in sorted(both):
                self._fail((*at, role, key), f"'{key}' is given in 'each' as well; keep one")

    def _needed(
        self, stage: dict[str, Any], key: str, name: str, base: Any, default: Any = None
    ) -> ValueSource:
        """Return the source of a stage's depth or channels, from the base network if need be."""
        at: Location = ("stages", name, key)
        expression = stage.get(key, base if base is not None else default)
        if expression is None:
            others = [other for other in stage if other != key]
            self._fail(at[:2], f"'{key}' is missing{nearest(key, others)}")
        return self._source(f"{name}.{key}", expression, KINDS[key], base, at)

    def _fields(
        self, stage: dict[str, Any], name: str, j: int, base: Any, shared: dict[str, ValueSource]
    ) -> dict[str, ValueSource]:
        """Return the sources of one block's fields: the most particular place that names each."""
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
                        KINDS[key],
                        getattr(base, key, None),
                        (*at, key),
                    )
                    break
        return sources

    def _note_sites(
        self, plan: BlockPlan, depth: ValueSource | None, op: ValueSource, j: int
    ) -> None:
        depths = tuple(d > j for d in depth.values) if depth and depth.variable is not None else ()
        for key, source in plan.sources.items():
            ops = tuple(key in FIELDS[o] for o in op.values)
            self._use(
                source, Site(depth.variable if depths and depth else None, depths, op.variable, ops)
            )

    # -- the rest ---------------------------------------------------------------------------

    def _rule(self) -> RegNetRule | None:
        if self.outline.derive is None:
            return None
        given = dict(self.outline.derive)
        rule = given.pop("rule", "regnet")
        if not isinstance(rule, str) or rule not in RULES:
            self._fail(("derive", "rule"), unknown("rule", rule, RULES))
        kinds = RULES[rule].kinds
        self._check_fields(given, ("derive",), frozenset(kinds) | {"rule"})
        for name in kinds:
            if name not in given:
                self._fail(("derive",), f"'{name}' is missing")
        sources = {
            name: self._source(f"derive.{name}", given[name], kind, None, ("derive", name))
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
            always = any(site.unconditional for site in sites)
            result.append(Variable(name, values, weights, () if always else sites))
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
