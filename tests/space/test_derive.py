import random

import pytest

from nas.errors import MixnasError
from nas.space import sample, size, space_from_yaml
from nas.space.derive import RegNetRule, regnet_stages
from nas.space.plan import ValueSource


@pytest.mark.parametrize(
    ("parameters", "depths", "widths"),
    # Published widths before their adjustment to group widths: RegNetX-200MF, 400MF and 1.6GF.
    [
        ((13, 24, 36.44, 2.49), (1, 1, 4, 7), (24, 56, 152, 368)),
        ((16, 56, 35.73, 2.28), (1, 3, 7, 5), (56, 128, 288, 664)),
        ((18, 80, 34.01, 2.25), (2, 4, 10, 2), (80, 176, 408, 912)),
    ],
)
def test_regnet_rule(parameters, depths, widths):
    assert regnet_stages(*parameters) == (widths, depths, True)


def test_derived_spaces():
    space = space_from_yaml(
        """
        name: regnet
        stem: {channels: 32}
        head: {channels: 0}
        derive:
          rule: regnet
          depth: {range: [12, 28]}
          w0: {range: [8, 64], step: 8, scale: log}
          wa: {range: [8, 64], step: 4}
          wm: {range: [2, 3], step: 0.25}
        stages: {s1: &s {stride: 2, kernels: {choice: [3, 5]}}, s2: *s, s3: *s, s4: *s}
        limits: {madds: 2G}
        """
    )
    rng = random.Random(0)
    for _ in range(5):
        drawn = sample(space, rng)
        spec = space.decode(drawn.genotype)
        assert len(spec.stages) == 4
        assert drawn.cost.madds <= 2_000_000_000
        values = space.values(drawn.genotype)
        widths, depths, _ = regnet_stages(
            *(values[f"derive.{n}"] for n in ("depth", "w0", "wa", "wm"))
        )
        assert tuple(stage[0].channels for stage in spec.stages) == widths
        assert tuple(map(len, spec.stages)) == depths
    with pytest.raises(MixnasError, match="its widths are derived"):
        size(space)
    with pytest.raises(MixnasError, match="its widths are derived"):
        space.encode_spec(spec)


def test_a_flat_line_is_one_stage():
    assert regnet_stages(5, 24, 0, 2.5) == ((24,), (5,), True)


def test_skipped_powers_are_noticed():
    # Widths 8 and 8 + 56 = 64 = 8 * 2^3: the powers 1 and 2 are missing.
    assert regnet_stages(2, 8, 56, 2) == ((8, 64), (1, 1), False)


@pytest.mark.parametrize(
    ("stages", "w0", "result"),
    [(2, 8, ((8, 16), (1, 1))), (3, 8, None), (1, 8, None), (2, 16376, None)],
)
def test_the_rule_needs_the_spaces_number_of_stages_and_bounded_widths(stages, w0, result):
    values = {"depth": 2, "w0": w0, "wa": w0, "wm": 2}
    rule = RegNetRule({name: ValueSource(value) for name, value in values.items()}, stages)
    assert rule.apply(()) == result
