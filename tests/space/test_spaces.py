"""What the DSL can say beside `mixnet`: published spaces, and inheritance."""

import random

import pytest

from nas.errors import DocumentError, MixnasError
from nas.space import load_space, sample, size, space_from_yaml
from nas.space.derive import regnet_stages
from nas.spec import load_network

ANYNET = """
name: anynet_a
stem: {channels: 32}
head: {channels: 0}
stages:
""" + "".join(
    f"""
  s{i}:
    stride: 2
    depth: {{range: [1, 16]}}
    channels: {{range: [8, 1024], step: 8}}
    expansion: {{choice: [1, 2, 4]}}
    group_width: {{choice: [1, 2, 4, 8, 16, 32]}}
"""
    for i in range(1, 5)
)


def test_sizes_of_regnets_chain_of_spaces(tmp_path):
    # Radosavovic et al. 2020, section 3.2: (16 * 128 * 3 * 6)^4, then one restriction each.
    a = ANYNET
    b = a.replace("{choice: [1, 2, 4]}", "$b") + "variables: {b: {choice: [1, 2, 4]}}\n"
    increasing = " <= ".join(f"s{i}.channels" for i in range(1, 5))
    d = b + f"restrictions: ['{increasing}']\n"
    assert size(space_from_yaml(a)) == (16 * 128 * 3 * 6) ** 4
    assert size(space_from_yaml(b)) == (16 * 128 * 6) ** 4 * 3
    widths = 128 * 129 * 130 * 131 // 24  # multisets of 4 of 128
    assert size(space_from_yaml(d)) == widths * (16 * 6) ** 4 * 3
    rng = random.Random(0)
    space = space_from_yaml(d)
    for _ in range(5):
        spec = space.decode(sample(space, rng).genotype)
        channels = [stage[0].channels for stage in spec.stages]
        assert channels == sorted(channels)


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


def test_mnasnet_holds_mobilenet_v2():
    space = load_space("mnasnet")
    spec = load_network("mobilenet_v2")
    assert space.decode(space.encode_spec(spec)) == spec
    rng = random.Random(0)
    families = {b.family for _ in range(20) for b in space.decode(space.draw(rng)).blocks}
    assert families == {"mbconv", "dsconv", "conv"}


def test_inheritance_overrides_key_by_key(tmp_path):
    (tmp_path / "child.yaml").write_text(
        "extends: mixnet\nname: child\n"
        "stages: {s5: {channels: {choice: [160, 200]}, first: {kernels: 3}}}\n"
        "restrictions: [s4.channels <= s5.channels]\nlimits: {params: 4M}\n",
        encoding="utf-8",
    )
    (tmp_path / "grandchild.yaml").write_text(
        "extends: child.yaml\nname: grandchild\nrestrictions: [s3.channels <= s4.channels]\n",
        encoding="utf-8",
    )
    space = load_space(str(tmp_path / "grandchild.yaml"))
    assert [r.text for r in space.restrictions] == [
        "s4.channels <= s5.channels",
        "s3.channels <= s4.channels",
    ]
    assert space.variables[space.index("s5.channels")].values == (160, 200)
    assert "s5.first.kernels" not in [v.name for v in space.variables]
    drawn = sample(space, random.Random(0))
    assert drawn.cost.params <= 4_000_000
    assert load_space("mixnet").contains(space.decode(drawn.genotype))


def test_a_parents_mistake_is_told_with_the_parents_line(tmp_path):
    (tmp_path / "parent.yaml").write_text(
        "name: p\nstem: {channels: 8}\nstages:\n  a: {channels: 8, kernels: 4}\n", "utf-8"
    )
    (tmp_path / "child.yaml").write_text("extends: parent.yaml\nname: c\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"parent.yaml:4: stages.a.kernels: kernel 4"):
        load_space(str(tmp_path / "child.yaml"))


def test_a_restriction_may_read_what_a_child_has_fixed(tmp_path):
    (tmp_path / "child.yaml").write_text(
        "extends: mixnet\nname: c\nstages: {s5: {channels: 160}}\n"
        "restrictions: [s4.channels <= s5.channels - 20]\n",
        encoding="utf-8",
    )
    space = load_space(str(tmp_path / "child.yaml"))
    rng = random.Random(0)
    widths = {space.values(sample(space, rng).genotype)["s4.channels"] for _ in range(60)}
    assert widths == {96, 120}


def test_inheritance_goes_wrong_clearly(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: a.yaml\n", encoding="utf-8")
    with pytest.raises(DocumentError, match="extends itself"):
        load_space(str(tmp_path / "a.yaml"))
    (tmp_path / "b.yaml").write_text("extends: mixnet\nstages: {s9: {}}\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"b.yaml:2: stages.s9.*'channels' is missing"):
        load_space(str(tmp_path / "b.yaml"))
    (tmp_path / "c.yaml").write_text("extends: mixnot\n", encoding="utf-8")
    with pytest.raises(DocumentError, match="unknown space 'mixnot'"):
        load_space(str(tmp_path / "c.yaml"))
