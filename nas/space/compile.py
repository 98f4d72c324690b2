"""The compiler of space documents, which turns them into variables and plans."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Any

from nas.blocks import FIELDS, Block
from nas.blocks.ends import UNCENTRED
from nas.document import Document, Location
from nas.errors import DocumentError, LimitError, MixnasError, nearest, unknown
from nas.ir import Padding
from nas.limits import Limit, parse_limit
from nas.space.declarations import Declarations
from nas.space.derive import RULES, RegNetRule
from nas.space.outline import (
    BLOCK_FIELDS,
    KINDS,
    PLACEHOLDERS,
    RESERVED,
    STAGE_KEYS,
    SpaceDocument,
    kind_of,
    other_problems,
    read_outline,
)
from nas.space.plan import BlockPlan, StagePlan, ValueSource
from nas.space.restrictions import LANGUAGE, Restriction, names_in, parse_restriction
from nas.space.variables import Genotype, Site, Variable
from nas.spec import Head, Input, NetworkSpec, Norm, Stem, load_network
from nas.units import number_of


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
            raise MixnasError(
                f"the derived widths do not have {number_of(self.rule.stages, 'stage')}"
            )
        return result


def compile_document(document: Document) -> Plans:
    """Return the compiled form of a document.

    Raises:
        DocumentError: If the document is not valid; one line per mistake.
    """
    outline, problems = read_outline(document)
    if outline is None:
        raise DocumentError("\n".join([*problems, *other_problems(document)]))
    return _Compiler(document, outline, problems).compile()


class _Compiler(Declarations):
    """The state of a compilation: a document's outline, and what it has declared so far."""

    def __init__(self, document: Document, outline: SpaceDocument, problems: list[str]) -> None:
        super().__init__(document, outline.variables, problems)
        self.outline = outline
        self.base: NetworkSpec | None = None
        if outline.base:
            try:
                self.base = load_network(outline.base)
            except DocumentError as error:
                self._note(("base",), str(error))
                self.lacks_base = True

    def compile(self) -> Plans:
        outline = self.outline
        self._check_names()
        stem = self._record("stem", outline.stem, Stem, self.base and self.base.stem)
        self._check_stem(stem)
        head = self._record("head", outline.head, Head, self.base and self.base.head)
        images = self._record("input", outline.input, Input, self.base and self.base.input)
        rule = self._rule()
        self._check_fields(outline.defaults, ("defaults",), BLOCK_FIELDS)
        stages = [self._stage(name, i, rule) for i, name in enumerate(outline.stages)]
        self._check_depths(stages)
        for name in sorted(set(outline.variables) - self.referred):
            if self.problems and f"${name}" in str(self.document.data):
                continue  # it is used in a place with a mistake
            self._note(
                ("variables", name),
                f"'{name}' is never used; refer to it as ${name}, or remove it",
            )
        restrictions, limits = self._restrictions(), self._limits()
        if self.problems:
            raise DocumentError("\n".join(dict.fromkeys(self.problems)))
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
            restrictions=restrictions,
            limits=limits,
        )

    def _check_names(self) -> None:
        """Refuse names that would be ambiguous in a variable's name, or unfit for a file's."""
        outline = self.outline
        if outline.name and not re.fullmatch(r"[\w-][\w.-]*", outline.name):
            self._note(
                ("name",), f"'{outline.name}' is not a valid name; use letters, digits, - and _"
            )
        for section, names in (("stages", outline.stages), ("variables", outline.variables)):
            for name in names:
                if not name.isidentifier():
                    self._note(
                        (section, name), f"'{name}' is not a valid name; use letters, digits and _"
                    )
                reserved = name in RESERVED
                if section == "variables":
                    reserved = reserved or name in outline.stages or name in LANGUAGE
                if reserved:
                    self._note((section, name), f"'{name}' is a reserved name; choose another name")

    def _record(
        self, name: str, record: dict[str, Any], kind: Any, base: Any
    ) -> dict[str, ValueSource]:
        """Return the sources of the fields of the stem, the head or the input."""
        hints = typing.get_type_hints(kind, include_extras=True)
        if name in self.lost:
            return {}
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
            if key in hints
        }
        for item in dataclasses.fields(kind):
            if item.name not in sources and item.default is dataclasses.MISSING:
                self._note((name,), f"'{item.name}' is missing")
        for key, source in sources.items():
            if source.variable is not None and isinstance(source.options[0], tuple):
                self._note((name, key), "must be a list, not a choice between lists")
            self._use(source, Site())
        return sources

    def _check_stem(self, sources: dict[str, ValueSource]) -> None:
        """Refuse kernels that need a padding where there is none."""
        kernel, padding = (sources.get(key, ValueSource()) for key in ("kernel", "padding"))
        even = any(isinstance(size, int) and size % 2 == 0 for size in kernel.options)
        if even and padding.options == (None,) and "stem.padding" not in self.broken:
            self._note(("stem", "kernel"), UNCENTRED)

    # -- stages -----------------------------------------------------------------------------

    def _stage(self, name: str, index: int, rule: RegNetRule | None) -> StagePlan:
        stage = self.outline.stages[name]
        at: Location = ("stages", name)
        self._check_fields(stage, at, (*BLOCK_FIELDS, *STAGE_KEYS))
        continues = self._continues(stage, at, index, rule is not None)
        base = () if continues else self._base_blocks(index)
        first = base[0] if base else None
        op = self._source(
            f"{name}.op", stage.get("op", "mbconv"), kind=KINDS["op"], base=None, at=(*at, "op")
        )
        stride = self._stride(stage, at)
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
            self._note((*at, min(clash)), "is derived by the rule; remove it here")
        ops = {"first": op, "rest": op} | self._role_ops(stage, name)
        families = tuple(dict.fromkeys(f for one in (op, *ops.values()) for f in one.options))
        allowed = frozenset().union(*(FIELDS[family] for family in families))
        for key in stage:
            if key in BLOCK_FIELDS and key not in allowed:
                self._note((*at, key), unknown(f"key of {' or '.join(families)}", key, allowed))
        stage = {**stage, **self._roles(stage, at, allowed)}
        max_depth = max(depth.options) if depth else 2
        each = bool(stage.get("each"))
        blocks: list[BlockPlan] = []
        for j in range(max_depth if each else min(2, max_depth)):
            op = ops["rest" if j else "first"]
            sources = {**shared, **self._fields(stage, name, j, base=first, families=op.options)}
            plan = BlockPlan(op, sources, stride if j == 0 else 1)
            self._check_coupled(plan, at)
            blocks.append(plan)
            # Without `each`, the second plan stands for all further blocks.
            for k in range(j, max_depth if not each and j else j + 1):
                self._add_sites(plan, depth, k)
        return StagePlan(name, depth, blocks, continues)

    def _base_blocks(self, index: int) -> tuple[Block, ...]:
        """Return the blocks of the base network's stage that a stage stands for, if any."""
        stages = list(self.outline.stages.values())[:index]
        index -= sum(stage.get("continues") is True for stage in stages)
        return self.base.stages[index] if self.base and index < len(self.base.stages) else ()

    def _role_ops(self, stage: dict[str, Any], name: str) -> dict[str, ValueSource]:
        """Return the sources of the block family of the roles that have their own."""
        return {
            role: self._source(
                f"{name}.{role}.op",
                stage[role]["op"],
                kind=KINDS["op"],
                base=None,
                at=("stages", name, role, "op"),
            )
            for role in ("first", "rest")
            if isinstance(stage.get(role), dict) and "op" in stage[role]
        }

    def _roles(
        self, stage: dict[str, Any], at: Location, allowed: frozenset[str]
    ) -> dict[str, dict[str, Any]]:
        """Return the fields of `each`, `first` and `rest`, checked."""
        roles: dict[str, dict[str, Any]] = {}
        for role in ("each", "first", "rest"):
            fields = stage.get(role) or {}
            if not isinstance(fields, dict):
                self._note((*at, role), "must be a mapping of fields, such as {kernels: [3, 5]}")
                fields = {}
            own = {"op"} if role == "each" else set()
            self._check_fields(fields, (*at, role), allowed - {"stride", "channels", *own})
            for key in sorted(set(fields) & set(roles.get("each", ()))):
                self._note((*at, role, key), f"'{key}' also appears in 'each'; remove one")
            roles[role] = fields
        return roles

    def _required(
        self, stage: dict[str, Any], key: str, name: str, *, base: Any, default: Any = None
    ) -> ValueSource:
        """Return the source of a stage's depth or channels, by default the base network's."""
        at: Location = ("stages", name, key)
        expression = stage.get(key, base if base is not None else default)
        if expression is None:
            others = [other for other in stage if other != key]
            if not self.lacks_base:
                self._note(at[:2], f"'{key}' is missing{nearest(key, others)}")
            self.broken.add(f"{name}.{key}")
            return ValueSource(PLACEHOLDERS[key])
        return self._source(f"{name}.{key}", expression, kind=KINDS[key], base=base, at=at)

    def _fields(
        self, stage: dict[str, Any], name: str, j: int, *, base: Any, families: tuple[str, ...]
    ) -> dict[str, ValueSource]:
        """Return the sources of a block's fields, each from the most specific place that has it.

        Args:
            stage: Stage in the document.
            name: Name of the stage.
            j: Position of the block in the stage.
            base: First block of the base network's stage, if any.
            families: Block families that the stage can have.
        """
        role = "first" if j == 0 else "rest"
        places: list[tuple[dict[str, Any], str, Location]] = [
            (stage["each"], f"{name}.b{j}", ("stages", name, "each")),
            (stage[role], f"{name}.{role}", ("stages", name, role)),
            (stage, name, ("stages", name)),
            (self.outline.defaults, name, ("defaults",)),
        ]
        sources: dict[str, ValueSource] = {}
        for key in (k for k in BLOCK_FIELDS if any(k in FIELDS[op] for op in families)):
            for place, prefix, at in places:
                if key in place:
                    sources[key] = self._source(
                        f"{prefix}.{key}",
                        place[key],
                        kind=kind_of(key, families),
                        base=getattr(base, key, None),
                        at=(*at, key),
                    )
                    break
        return sources

    def _add_sites(self, plan: BlockPlan, depth: ValueSource | None, j: int) -> None:
        """Record where the variables of the block at position j of a stage are used."""
        op, depth = plan.op, depth or ValueSource()
        depths = tuple(value > j for value in depth.values)
        self._use(op, Site(depth=depth.variable, depths=depths))
        for key, source in plan.sources.items():
            site = Site(
                depth=depth.variable,
                depths=depths,
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
            self._note(("derive", "rule"), unknown("rule", rule, RULES))
            rule = "regnet"
        kinds = RULES[rule].kinds
        self._check_fields(parameters, ("derive",), frozenset(kinds) | {"rule"})
        for name in kinds:
            if name not in parameters and name not in RULES[rule].defaults:
                self._note(("derive",), f"'{name}' is missing")
                self.broken.add(f"derive.{name}")
        sources = {
            name: self._source(
                f"derive.{name}", parameters[name], kind=kind, base=None, at=("derive", name)
            )
            for name, kind in kinds.items()
            if name in parameters
        }
        for source in sources.values():
            self._use(source, Site())
        return RULES[rule](sources, len(self.outline.stages))

    def _restrictions(self) -> list[Restriction]:
        result: list[Restriction] = []
        values = {name: self.values[index][0] for name, index in self.names.items()}
        values |= {name: (value,) for name, value in self.fixed.items()}
        for i, text in enumerate(self.outline.restrictions):
            if not text and self.document.data["restrictions"][i] != "":
                continue  # it is no text, as was noted
            try:
                names = names_in(text, values)
                doubtful = {name for name in names if self._is_doubtful(name)}
                mistaken = [name for name in names if name not in values and name not in doubtful]
                for name in mistaken:
                    self._note(("restrictions", i), unknown("variable", name, values))
                if not mistaken and not doubtful:
                    result += parse_restriction(text, values, self.kinds).conjuncts()
            except ValueError as error:
                self._note(("restrictions", i), str(error))
        return result

    def _limits(self) -> list[Limit]:
        result = []
        for metric, text in self.outline.limits.items():
            try:
                result.append(parse_limit(metric, text))
            except LimitError as error:
                self._note(("limits", metric), str(error))
        return result
