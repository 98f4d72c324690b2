"""Space: a set of networks that can be counted, drawn from, walked and searched."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from nas.cost import Cost
from nas.document import Document, parse_document
from nas.errors import MixnasError
from nas.limits import Limit
from nas.space.compile import Plans, compile_document
from nas.space.counting import Counter
from nas.space.loader import find_document
from nas.space.plan import ValueSource, claim_into, get_all
from nas.space.variables import INACTIVE, Genotype, Label, Variable
from nas.spec import Head, Input, NetworkSpec, Stem


class Space:
    """A search space: variables, and how their values become a network.

    Attributes:
        name: as in the document, or the file's.
        description: one line for people.
        variables: in document order, those that others depend on first.
        restrictions: conditions between variables that every member meets.
        limits: limits on costs that the document sets.
    """

    def __init__(self, plans: Plans) -> None:
        """Take a compiled document; `load_space` reads one."""
        self.name = plans.name
        self.description = plans.description
        self.num_classes = plans.num_classes
        self.variables: tuple[Variable, ...] = tuple(plans.variables)
        self.restrictions = tuple(plans.restrictions)
        self.limits: tuple[Limit, ...] = tuple(plans.limits)
        self._plans = plans
        self._counter = Counter(plans)
        self._index = {v.name: i for i, v in enumerate(self.variables)}
        # Most variables depend on one depth alone; those are told quickly.
        self._simple = [
            (i, v.depths[0], v.depths[1]) for i, v in enumerate(self.variables) if v.depths
        ]
        self._complex = [(i, v) for i, v in enumerate(self.variables) if v.sites and not v.depths]
        self._sizes = [len(v.values) for v in self.variables]
        self._labels = [{label: i for i, label in enumerate(v.labels)} for v in self.variables]
        groups: dict[str, list[int]] = {}
        for i, variable in enumerate(self.variables):
            groups.setdefault(variable.name.partition(".")[0], []).append(i)
        self._groups = list(groups.values())
        self._cumulative = {
            i: list(accumulate(v.weights)) for i, v in enumerate(self.variables) if v.weights
        }

    @property
    def derived(self) -> bool:
        """Whether widths and depths are derived from a few numbers (RegNet)."""
        return self._plans.rule is not None

    @property
    def input_channels(self) -> tuple[int, ...]:
        """The channels of the images that its networks take."""
        source = self._plans.input.get("channels")
        return source.options if source else (Input().channels,)

    def index(self, name: str) -> int:
        """Return the place of a variable in a genotype."""
        return self._index[name]

    # -- genotypes --------------------------------------------------------------------------

    def canonical(self, genotype: Sequence[int], fill: random.Random | None = None) -> Genotype:
        """Mark variables without effect inactive, and give active ones that have none a value.

        Args:
            genotype: one index (or `INACTIVE`) for every variable.
            fill: draws missing values; without it they take the first one.
        """
        result = list(genotype)
        for i, size in enumerate(self._sizes):
            if result[i] == INACTIVE:
                result[i] = fill.randrange(size) if fill else 0
        self._deactivate(result)
        return tuple(result)

    def _deactivate(self, genotype: list[int]) -> None:
        """Mark variables without effect inactive, in place."""
        for i, parent, mask in self._simple:
            if not mask[genotype[parent]]:
                genotype[i] = INACTIVE
        for i, variable in self._complex:
            if not variable.active(genotype):
                genotype[i] = INACTIVE

    def draw(self, rng: random.Random) -> Genotype:
        """Draw every variable independently; restrictions and limits are not looked at."""
        uniform = rng.random
        genotype = [int(uniform() * size) for size in self._sizes]
        for i, cumulative in self._cumulative.items():
            genotype[i] = rng.choices(range(self._sizes[i]), cum_weights=cumulative)[0]
        self._deactivate(genotype)
        return tuple(genotype)

    def redraw(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Draw all variables of one stage (or of what else shares a first name) anew.

        Starting from a draw, every genotype of such a chain is a draw of its own distribution
        (Gibbs sampling), and costs little to count, since the other stages stay.
        """
        result = list(genotype)
        for i in rng.choice(self._groups) if self._groups else ():
            if i in self._cumulative:
                result[i] = rng.choices(range(self._sizes[i]), cum_weights=self._cumulative[i])[0]
            else:
                result[i] = int(rng.random() * self._sizes[i])
        return self.canonical(result, rng)

    def values(self, genotype: Genotype) -> dict[str, Any]:
        """Return the value of every active variable, by name."""
        return {
            v.name: v.values[index]
            for v, index in zip(self.variables, genotype, strict=True)
            if index != INACTIVE
        }

    def broken(self, genotype: Genotype) -> list[str]:
        """Name the restrictions that a genotype breaks; those on inactive variables hold."""
        result = []
        if self.restrictions:
            values = self.values(genotype)
            for restriction in self.restrictions:
                known = all(name in values for name in restriction.names)
                if known and not restriction.holds(values):
                    result.append(restriction.text)
        rule = self._plans.rule
        if rule is not None and rule.apply(genotype) is None:
            result.append(f"the derived widths have {rule.stages} stages")
        return result

    def to_params(self, genotype: Genotype) -> dict[str, Label | None]:
        """Return a label for every variable, None where inactive; `from_params` reads them."""
        return {
            v.name: None if index == INACTIVE else v.labels[index]
            for v, index in zip(self.variables, genotype, strict=True)
        }

    def from_params(self, params: Mapping[str, Any]) -> Genotype:
        """Read a genotype from labels; values of inactive variables are ignored.

        Raises:
            MixnasError: when an active variable has no label, or an unknown one.
        """
        genotype = []
        for variable, labels in zip(self.variables, self._labels, strict=True):
            value = params.get(variable.name)
            if value is not None and value not in labels:
                raise MixnasError(
                    f"'{value}' is no choice of {variable.name}; allowed: "
                    f"{', '.join(map(str, labels))}"
                )
            genotype.append(INACTIVE if value is None else labels[value])
        result = self.canonical(genotype)
        for variable, given, index in zip(self.variables, genotype, result, strict=True):
            if index != INACTIVE and given == INACTIVE:
                raise MixnasError(f"{variable.name} has no value, but the network depends on it")
        return result

    # -- networks ---------------------------------------------------------------------------

    def decode(self, genotype: Genotype, name: str = "") -> NetworkSpec:
        """Return the network of a genotype.

        Raises:
            MixnasError: when the genotype breaks the derived parametrisation's rule.
        """
        plans = self._plans
        derived = plans.derived(genotype)
        stages = tuple(
            stage.build(genotype, derived and (derived[0][i], derived[1][i]))
            for i, stage in enumerate(plans.stages)
        )
        return NetworkSpec(
            stem=Stem(**get_all(plans.stem, genotype)),
            stages=stages,
            head=Head(**get_all(plans.head, genotype)),
            input=Input(**get_all(plans.input, genotype)),
            num_classes=self.num_classes,
            padding=plans.padding,
            norm=plans.norm,
            name=name,
        )

    def cost(self, genotype: Genotype) -> Cost:
        """Return the exact costs of a genotype's network, as `nas.cost.count` of its spec.

        Stages are remembered, so that networks which share most of them are cheap to count.

        Raises:
            MixnasError: as `decode`.
        """
        return self._counter.cost(genotype)

    def encode_spec(self, spec: NetworkSpec) -> Genotype:
        """Return the genotype of a network, the inverse of `decode`.

        The number of classes and the name are not compared: they are the data's and the user's.

        Raises:
            MixnasError: saying where the network leaves the space.
        """
        plans = self._plans
        if plans.rule is not None:
            raise MixnasError(
                f"membership in '{self.name}' cannot be decided: its widths are derived"
            )
        assignment: dict[int, int] = {}
        claim = claim_into(assignment, plans.variables)
        if len(spec.stages) != len(plans.stages):
            self._outside(spec, f"{len(spec.stages)} stages, the space has {len(plans.stages)}")
        for what in ("padding", "norm"):
            if getattr(spec, what) != getattr(plans, what):
                self._outside(spec, f"{what} is {getattr(spec, what)}, not {getattr(plans, what)}")
        for what, sources in (("stem", plans.stem), ("head", plans.head), ("input", plans.input)):
            self._claim_record(spec, what, sources, claim)
        for i, (stage, blocks) in enumerate(zip(plans.stages, spec.stages, strict=True)):
            try:
                assert stage.depth is not None  # only derived spaces have none
                claim(stage.depth, len(blocks), "depth")
            except ValueError as error:
                self._outside(spec, f"stages[{i}]: {error}")
            for j, block in enumerate(blocks):
                try:
                    stage.block(j).match(block, claim)
                except ValueError as error:
                    self._outside(spec, f"stages[{i}][{j}]: {error}")
        genotype = [assignment.get(i, INACTIVE) for i in range(len(self.variables))]
        result = self.canonical(genotype)
        if broken := self.broken(result):
            self._outside(spec, f"it breaks the restriction {broken[0]}")
        return result

    def contains(self, spec: NetworkSpec) -> bool:
        """Whether a network is a member; `encode_spec` says why not."""
        try:
            self.encode_spec(spec)
        except MixnasError:
            return False
        return True

    def with_classes(self, num_classes: int) -> Space:
        """Return the same space for data with another number of classes."""
        copy = Space(dataclasses.replace(self._plans, num_classes=num_classes))
        copy.name = self.name
        return copy

    def _claim_record(
        self,
        spec: NetworkSpec,
        what: str,
        sources: dict[str, ValueSource],
        claim: Callable[[ValueSource, Any, str], None],
    ) -> None:
        record = getattr(spec, what)
        default = type(record)(**{k: s.options[0] for k, s in sources.items()})
        for key in record.__dataclass_fields__:
            source = sources.get(key, ValueSource(getattr(default, key)))
            try:
                claim(source, getattr(record, key), key)
            except ValueError as error:
                self._outside(spec, f"{what}: {error}")

    def _outside(self, spec: NetworkSpec, reason: str) -> None:
        raise MixnasError(f"'{spec.name or 'the network'}' is not in '{self.name}': {reason}")

    # -- moves ------------------------------------------------------------------------------

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield every genotype that differs in one active variable.

        Variables that become active take their first value. Restrictions are kept, limits are
        not looked at.
        """
        for i, index in enumerate(genotype):
            if index == INACTIVE:
                continue
            for other in range(self._sizes[i]):
                if other != index:
                    changed = self.canonical((*genotype[:i], other, *genotype[i + 1 :]))
                    if not self.broken(changed):
                        yield changed

    def mutate(self, genotype: Genotype, rng: random.Random) -> Genotype:
        """Change one active variable (if any) to another value; restrictions are not looked at."""
        active = [i for i, x in enumerate(genotype) if x != INACTIVE and self._sizes[i] > 1]
        if not active:
            return genotype
        i = rng.choice(active)
        other = rng.randrange(self._sizes[i] - 1)
        other += other >= genotype[i]
        return self.canonical((*genotype[:i], other, *genotype[i + 1 :]), rng)

    def crossover(self, one: Genotype, two: Genotype, rng: random.Random) -> Genotype:
        """Take every variable from either parent; restrictions are not looked at."""
        child = []
        for a, b in zip(one, two, strict=True):
            first, second = (a, b) if rng.random() < 0.5 else (b, a)
            child.append(second if first == INACTIVE else first)
        return self.canonical(child, rng)


def load_space(name: str) -> Space:
    """Read a space by the name of one that comes with the package, or by its file's path.

    Raises:
        DocumentError: when there is no such space, or its document is wrong.
    """
    space = space_from_document(find_document(name))
    space.name = space.name or Path(name).stem
    return space


def space_from_document(document: Document) -> Space:
    """Compile a parsed document into a space.

    Raises:
        DocumentError: naming the line, what was found and what is allowed.
    """
    return Space(compile_document(document))


def space_from_yaml(text: str) -> Space:
    """Compile YAML text into a space; see `space_from_document`. `extends` is not looked at."""
    return space_from_document(parse_document(text, "<text>"))
