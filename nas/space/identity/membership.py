"""The genotype of a network: which values of a space's variables lead to its layer tree."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from nas.blocks import Block
from nas.blocks.canonical import equivalents
from nas.errors import MixnasError
from nas.space.compile import Plans
from nas.space.plan import BlockPlan, ValueSource, network_stages
from nas.space.variables import INACTIVE
from nas.spec import NetworkSpec
from nas.units import number_of


class Claims:
    """The values that each variable can have, as more and more of a network is looked at."""

    def __init__(self, plans: Plans) -> None:
        """Begin with all values of every variable."""
        self._variables = plans.variables
        self.allowed: dict[int, set[int]] = {}

    def claim(
        self, source: ValueSource, value: Any, name: str, suits: Callable[[Any], bool] | None = None
    ) -> None:
        """Require a source to give a value, or one of the same effect.

        Args:
            source: Source of a field's value.
            value: Value of the field in the network.
            name: Name of the field, for messages.
            suits: Whether another value has the same effect; by default only the value itself has.

        Raises:
            ValueError: If the source gives no such value, or only one that other fields rule out.
        """
        suits = suits or (lambda option: bool(option == value))
        if source.variable is None:
            if source.value != value and not suits(source.value):
                raise ValueError(
                    f"{name} is {_show(value)}, but the space has {_show(source.value)}"
                )
            return
        variable = self._variables[source.variable]
        found = {i for i, option in enumerate(variable.values) if suits(option)}
        if not found:
            raise ValueError(
                f"{name} is {_show(value)}, which {variable.name} cannot be; its choices are "
                f"{_show_some(variable.values)}"
            )
        known = self.allowed.get(source.variable, found)
        if not known & found:
            other = variable.values[min(known)]
            raise ValueError(
                f"{name} is {_show(value)}, but {variable.name} is {_show(other)} elsewhere "
                "in the network"
            )
        self.allowed[source.variable] = known & found

    def genotype(self) -> list[int]:
        """Return the first value that each variable can have, `INACTIVE` without a claim."""
        return [
            min(self.allowed[i]) if i in self.allowed else INACTIVE
            for i in range(len(self._variables))
        ]


def genotype_of(spec: NetworkSpec, plans: Plans) -> list[int]:
    """Return values of the variables that lead to a network, ignoring restrictions.

    Args:
        spec: The network; its number of classes and its name are ignored.
        plans: The space.

    Raises:
        MixnasError: If no values do, saying in which part of the network.
    """
    claims = Claims(plans)
    groups = network_stages(plans.stages)
    if len(spec.stages) != len(groups):
        raise MixnasError(
            f"it has {number_of(len(spec.stages), 'stage')}, but the space has {len(groups)}"
        )
    for key in ("padding", "norm"):
        if getattr(spec, key) != getattr(plans, key):
            raise MixnasError(f"{key} is {getattr(spec, key)}, not {getattr(plans, key)}")
    _claim_record(claims, "stem", spec.stem, plans.stem)
    head = {key: source for key, source in plans.head.items() if key not in spec.head.idle}
    _claim_record(claims, "head", spec.head.canonical(), head)
    _claim_record(claims, "input", spec.input, plans.input)
    depths = _depths(spec, plans)
    blocks = list(_blocks(spec, plans, depths))
    _claim_depths(claims, spec, plans, depths)
    for where, plan, block, in_channels in blocks:
        _claim_family(claims, where, plan, block, in_channels)
    for where, plan, block, in_channels in blocks:
        try:
            _claim_block(claims, plan, block, in_channels)
        except ValueError as error:
            raise MixnasError(f"{where}: {error}") from None
    if plans.rule is not None:
        _claim_rule(claims, spec, plans)
    return claims.genotype()


def _depths(spec: NetworkSpec, plans: Plans) -> list[int]:
    """Return how many of the network's blocks every plan of a stage stands for.

    Of the plans that make up one stage of the network, at most one has a choice of depth.
    """
    depths = []
    for i, group in enumerate(network_stages(plans.stages)):
        fixed = {
            k: source.options[0]
            for k in group
            if (source := plans.stages[k].depth) and len(source.options) == 1
        }
        left = len(spec.stages[i]) - sum(fixed.values())
        if len(group) > 1 and (left < 1 if len(fixed) < len(group) else left != 0):
            raise MixnasError(
                f"stages[{i}]: it has {number_of(len(spec.stages[i]), 'block')}, but the space has "
                f"{sum(fixed.values())}{' and more' if len(fixed) < len(group) else ''}"
            )
        # A stage of its own keeps all blocks, so that the claim of its depth tells what differs.
        depths += [fixed.get(k, left) if len(group) > 1 else len(spec.stages[i]) for k in group]
    return depths


def _blocks(
    spec: NetworkSpec, plans: Plans, depths: list[int]
) -> Iterator[tuple[str, BlockPlan, Block, int]]:
    """Yield every block's place in the network, plan, the block and its input channels."""
    channels = spec.stem.channels
    for i, group in enumerate(network_stages(plans.stages)):
        found = [plans.stages[k].block(n) for k in group for n in range(depths[k])]
        for j, (plan, block) in enumerate(zip(found, spec.stages[i], strict=True)):
            yield f"stages[{i}][{j}]", plan, block, channels
            channels = block.channels


def _claim_record(claims: Claims, name: str, record: Any, sources: dict[str, ValueSource]) -> None:
    default = type(record)(**{key: source.options[0] for key, source in sources.items()})
    for item in dataclasses.fields(record):
        source = sources.get(item.name, ValueSource(getattr(default, item.name)))
        try:
            claims.claim(source, getattr(record, item.name), item.name)
        except ValueError as error:
            raise MixnasError(f"{name}: {error}") from None


def _claim_depths(claims: Claims, spec: NetworkSpec, plans: Plans, depths: list[int]) -> None:
    for i, group in enumerate(network_stages(plans.stages)):
        try:
            for k in group:
                source = plans.stages[k].depth
                if source is not None:
                    claims.claim(source, depths[k], "depth")
                elif len({block.channels for block in spec.stages[i]}) > 1:
                    raise ValueError("its blocks differ in channels, but a rule derives them")
        except ValueError as error:
            raise MixnasError(f"stages[{i}]: {error}") from None


def _claim_family(
    claims: Claims, where: str, plan: BlockPlan, block: Block, in_channels: int
) -> None:
    families = {other.family for other in equivalents(block, in_channels)}
    try:
        claims.claim(plan.op, block.family, "op", families.__contains__)
    except ValueError as error:
        raise MixnasError(f"{where}: {error}") from None


def _claim_block(claims: Claims, plan: BlockPlan, block: Block, in_channels: int) -> None:
    """Claim the values that make a plan build a block with the layer tree of `block`."""
    if block.stride != plan.stride:
        raise ValueError(f"stride is {block.stride}, but the space has {plan.stride}")
    forms = {other.family: other for other in equivalents(block, in_channels)}
    families = [plan.op.value]
    if plan.op.variable is not None:
        allowed = claims.allowed[plan.op.variable]
        families = [family for i, family in enumerate(plan.op.values) if i in allowed]
    family = next(family for family in forms if family in families)  # the canonical one first
    if plan.op.variable is not None:
        claims.claim(plan.op, family, "op")
    form = forms[family]
    for item in dataclasses.fields(form):
        if item.name in ("op", "stride"):
            continue
        if item.name == "channels" and "channels" not in plan.sources:
            continue  # a rule derives it
        source = plan.sources.get(item.name, ValueSource(item.default))
        suits = None
        if item.name in form.context:
            suits = _same_effect(form, item.name, in_channels)
        claims.claim(source, getattr(form, item.name), item.name, suits)


def _same_effect(block: Block, name: str, in_channels: int) -> Callable[[Any], bool]:
    """Return whether a value of a field has the same effect as that of the block.

    Raises:
        ValueError: If the block cannot be built.
    """
    target = block.effect(name, in_channels)

    def same(value: Any) -> bool:
        other = block.trusted({**block.__dict__, name: value})
        try:
            return bool(other.effect(name, in_channels) == target)
        except ValueError:
            return False

    return same


def _claim_rule(claims: Claims, spec: NetworkSpec, plans: Plans) -> None:
    """Claim the first parameters of the rule that derive the network's widths and depths."""
    assert plans.rule is not None
    widths = tuple(stage[0].channels for stage in spec.stages)
    depths = tuple(map(len, spec.stages))
    parameters = next(plans.rule.parameters(widths, depths, claims.allowed), None)
    if parameters is not None:
        claims.allowed |= {i: {index} for i, index in parameters.items()}
        return
    raise MixnasError(
        f"no parameters of the rule derive its widths {list(widths)} and depths {list(depths)}"
    )


def _show(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _show_some(values: tuple[Any, ...], limit: int = 8) -> str:
    shown = ", ".join(map(_show, values[:limit]))
    return shown + (", ..." if len(values) > limit else "")
