import pytest

from nas.blocks import ConvBlock, MBConv, PoolBlock
from nas.cost import count
from nas.document import parse_document
from nas.errors import MixnasError
from nas.space import size, space_from_yaml
from nas.space.compile import compile_document
from nas.space.identity import genotype_of
from nas.space.identity.membership import Claims
from nas.space.plan import ValueSource
from nas.spec import Head, NetworkSpec, Stem

TEXT = """
stem: {channels: $w}
head: {channels: {choice: [0, 16]}}
variables: {w: {choice: [8, 16, 24]}, many: {choice: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}
stages:
  a: {stride: 2, op: {choice: [mbconv, conv]}, depth: $many, channels: $w, kernels: 5, expansion: 3}
"""
PLANS = compile_document(parse_document(TEXT, "s.yaml"))
WIDTH = ValueSource(variable=0, values=(8, 16, 24))


def network(*blocks, head=0):
    return NetworkSpec(stem=Stem(channels=16), stages=(blocks,), head=Head(head))


def test_claims_are_recorded_and_contradictions_refused():
    claims = Claims(PLANS)
    claims.claim(ValueSource(3), 3, "depth")
    claims.claim(WIDTH, 16, "channels")
    claims.claim(WIDTH, 16, "channels")
    assert claims.allowed == {0: {1}}
    with pytest.raises(ValueError, match="channels is 24, but w is 16 elsewhere in the network"):
        claims.claim(WIDTH, 24, "channels")
    with pytest.raises(ValueError, match=r"is 9, which w cannot be; its choices are 8, 16, 24$"):
        claims.claim(WIDTH, 9, "channels")
    with pytest.raises(ValueError, match=r"kernels is \[3, 5\], but the space has \[3\]"):
        claims.claim(ValueSource((3,)), (3, 5), "kernels")
    depth = next(i for i, v in enumerate(PLANS.variables) if v.name == "many")
    many = ValueSource(variable=depth, values=tuple(range(1, 10)))
    with pytest.raises(ValueError, match=r"its choices are 1, 2, 3, 4, 5, 6, 7, 8, \.\.\.$"):
        claims.claim(many, 10, "x")


def test_values_of_the_same_effect_are_claimed_together():
    claims = Claims(PLANS)
    claims.claim(WIDTH, 10, "channels", lambda value: value > 8)
    assert claims.allowed == {0: {1, 2}}
    claims.claim(WIDTH, 24, "channels")
    assert claims.genotype()[0] == 2


def test_a_network_is_found_by_its_layers():
    space = space_from_yaml(TEXT)
    plain = ConvBlock(channels=16, stride=2, kernels=(5,), skip=True)  # without effect at stride 2
    found = space.canonical(genotype_of(network(plain), PLANS))
    assert space.to_params(found) == {"w": 16, "head.channels": 0, "a.op": "conv", "many": 1}
    assert space.decode(found).digest() == network(plain).replace(num_classes=1000).digest()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (network(MBConv(channels=16, kernels=(5,), expansion=3)),
         r"stages\[0\]\[0\]: stride is 1, but the space has 2"),
        (network(MBConv(channels=16, stride=2, kernels=(5,), expansion=3, se_ratio=0.25)),
         r"stages\[0\]\[0\]: se_ratio is 0.25, but the space has 0"),
        (network(MBConv(channels=24, stride=2, kernels=(5,), expansion=3)),
         "channels is 24, but w is 16 elsewhere"),
        (network(MBConv(channels=16, stride=2, kernels=(5,), expansion=3), ConvBlock(channels=16)),
         r"stages\[0\]\[1\]: op is conv, but a.op is mbconv elsewhere"),
        (network(*[ConvBlock(channels=16)] * 10), r"stages\[0\]: depth is 10, which many cannot"),
        (network(ConvBlock(channels=16), head=64), "head: channels is 64, which head.channels"),
    ],
)  # fmt: skip
def test_where_a_network_leaves_the_space(spec, words):
    with pytest.raises(MixnasError, match=words):
        genotype_of(spec, PLANS)


def test_fields_of_the_head_without_effect_do_not_decide_on_membership():
    space = space_from_yaml(
        "{stem: {channels: 16}, stages: {a: {channels: 16}}, head: {channels: {choice: [0, 8]},"
        " hidden: [32], norm: {choice: [batch, none]}, dropout: {choice: [0, 0.5]}}}"
    )
    without = NetworkSpec(
        stem=Stem(16), stages=((MBConv(channels=16),),), head=Head(0, hidden=(32,), norm="none")
    )
    assert space.to_params(space.encode_spec(without)) == {
        "head.channels": 0,
        "head.norm": None,
        "head.dropout": 0,
    }
    other = without.replace(head=Head(8, hidden=(32,), norm="none", dropout=0.5))
    assert space.decode(space.encode_spec(other)) == other
    with pytest.raises(MixnasError, match=r"head: hidden is \[\], but the space has \[32\]"):
        space.encode_spec(without.replace(head=Head(8)))


PARTS = """
stem: {channels: 8}
head: {channels: 0}
variables: {w: {choice: [16, 24]}}
stages:
  a: {op: conv, stride: 2, channels: 12}
  b: {continues: true, depth: {choice: [1, 2]}, channels: $w, kernels: {choice: [3, 5]}}
  c: {continues: true, op: pool, stride: 2, channels: $w}
  d: {depth: {choice: [1, 2]}, channels: 32}
"""


def parts(*stages):
    return NetworkSpec(stem=Stem(channels=8), stages=stages, head=Head(0))


CONV, POOL = ConvBlock(channels=12, stride=2), PoolBlock(channels=16, stride=2)
LAST = (MBConv(channels=32),)


def test_a_stage_of_several_parts_is_one_stage_of_the_network():
    space = space_from_yaml(PARTS)
    spec = parts((CONV, *[MBConv(channels=16, kernels=(5,))] * 2, POOL), LAST)
    genotype = space.encode_spec(spec)
    assert space.values(genotype) == {"w": 16, "b.depth": 2, "b.kernels": (5,), "d.depth": 1}
    assert space.decode(genotype) == spec
    assert space.decode(genotype).digest() == spec.digest()
    assert space.cost(genotype) == count(spec)
    assert size(space) == 16


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        (((CONV, POOL), LAST), r"stages\[0\]: it has 2 blocks, but the space has 2 and more"),
        (((CONV, *[MBConv(channels=16)] * 3, POOL), LAST), r"stages\[0\]: depth is 3"),
        (((CONV, MBConv(channels=16)), (POOL,), LAST), "it has 3 stages, but the space has 2"),
        (((CONV, MBConv(channels=24), POOL), LAST), r"stages\[0\]\[2\]: channels is 16, but w is"),
        (((CONV, POOL, MBConv(channels=16)), LAST), r"stages\[0\]\[1\]: op is pool"),
    ],
)
def test_where_a_network_leaves_a_stage_of_several_parts(stages, words):
    with pytest.raises(MixnasError, match=words):
        space_from_yaml(PARTS).encode_spec(parts(*stages))


def test_parts_of_fixed_depth_have_no_more_blocks():
    text = PARTS.replace("depth: {choice: [1, 2]}, channels: $w", "depth: 1, channels: $w")
    spec = parts((CONV, *[MBConv(channels=16)] * 2, POOL), LAST)
    with pytest.raises(MixnasError, match=r"stages\[0\]: it has 4 blocks, but the space has 3$"):
        space_from_yaml(text).encode_spec(spec)
