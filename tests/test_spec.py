import dataclasses
import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import ConvBlock, DSConv, MBConv
from nas.document import parse_document
from nas.errors import DocumentError, MixnasError
from nas.space import load_space
from nas.spec import SCHEMA, Head, Input, NetworkSpec, Norm, Stem, load_network, reference_names

kernels = st.lists(st.sampled_from([1, 3, 5, 7, 9, 11, 13]), min_size=1, max_size=5).map(tuple)
activations = st.sampled_from(["relu", "relu6", "swish", "hard_swish", "mish", "gelu"])
mbconvs = st.builds(
    MBConv,
    channels=st.integers(8, 64),
    stride=st.sampled_from([1, 2]),
    kernels=kernels,
    split=st.sampled_from(["equal", "exponential"]),
    dilated=st.booleans(),
    group_width=st.sampled_from([1, 2, 4]),
    expansion=st.sampled_from([3, 4, 6, 2.5]),
    expand_groups=st.integers(1, 2),
    project_groups=st.integers(1, 2),
    se_ratio=st.sampled_from([0, 0.25, 0.5]),
    activation=activations,
    skip=st.booleans(),
)
blocks = st.one_of(
    mbconvs,
    st.builds(DSConv, channels=st.integers(8, 64), se_ratio=st.just(0.25), activation=activations),
    st.builds(ConvBlock, channels=st.integers(8, 64), kernels=kernels.map(lambda k: k[:1])),
)
specs = st.builds(
    NetworkSpec,
    stem=st.builds(Stem, channels=st.integers(32, 48), activation=activations),
    stages=st.lists(
        st.lists(blocks, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3
    ).map(tuple),
    head=st.builds(Head, channels=st.sampled_from([0, 64])),
    input=st.builds(Input, resolution=st.integers(32, 64)),
    num_classes=st.integers(2, 20),
    padding=st.sampled_from(["symmetric", "same"]),
    norm=st.builds(Norm, eps=st.sampled_from([1e-5, 1e-3])),
    name=st.text(max_size=12),
)


@given(specs)
def test_yaml_round_trip_is_exact(spec):
    again = NetworkSpec.from_yaml(spec.to_yaml())
    assert again == spec
    assert again.name == spec.name
    assert again.digest() == spec.digest()
    assert NetworkSpec.from_dict(spec.to_dict()) == spec


@given(specs, specs)
def test_digest_tells_networks_apart_but_not_names(one, two):
    assert one.replace(name="other").digest() == one.digest()
    assert (one.digest() == two.digest()) == (one == two)


def test_digest_is_stable():
    # Changing this breaks the identity of every stored network: raise the schema's version then.
    assert load_network("mixnet_m").digest() == "b78b04ab6551ba2e"


def test_references_are_explicit_and_named():
    for name in reference_names():
        spec = load_network(name)
        assert spec.name == name
        data = yaml.safe_load(spec.to_yaml())
        assert data["schema"] == SCHEMA
        for block in (b for stage in data["stages"] for b in stage):
            kind = {"mbconv": MBConv, "dsconv": DSConv, "conv": ConvBlock}[block["op"]]
            assert set(block) == {field.name for field in dataclasses.fields(kind)}


def test_kernels_of_one_size_are_one_kernel():
    assert MBConv(channels=8, kernels=(3, 3)).kernels == (3,)
    assert MBConv(channels=8, kernels=3).kernels == (3,)
    assert MBConv(channels=8, kernels="3.5").kernels == (3, 5)


BASE = load_network("mixnet_s").to_dict()


def changed(**changes):
    return {**BASE, **changes}


def first_block(**changes):
    stages = [list(stage) for stage in BASE["stages"]]
    stages[1][0] = {**stages[1][0], **changes}
    return changed(stages=stages)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed(haed={}), r"haed: unknown key 'haed' \(did you mean 'head'\?\)"),
        (
            changed(schema="mixnas.network/9"),
            "unsupported schema 'mixnas.network/9'; this version reads 'mixnas.network/1'",
        ),
        (changed(padding="sane"), r"padding: unknown value 'sane' \(did you mean 'same'\?\)"),
        (changed(stem={}), "stem: 'channels' is missing"),
        (
            changed(num_classes=0),
            "num_classes: input should be greater than or equal to 1; found 0",
        ),
        (
            first_block(kernels=[4]),
            r"stages\[1\]\[0\].kernels\[0\]: kernel size 4 is not supported; "
            "allowed: 1, 3, 5, 7, 9, 11, 13",
        ),
        (first_block(kernels=[3, 3, 3, 3, 3, 5]), "6 kernel groups; allowed: 1 to 5 groups"),
        (first_block(kernel=[3]), r"unknown key 'kernel' \(did you mean 'kernels'\?\)"),
        (first_block(op="mbcon"), r"unknown op 'mbcon' \(did you mean 'mbconv'\?\)"),
        (first_block(activation="swich"), r"did you mean 'swish'"),
        (first_block(expansion=-1), "greater than 0; found -1"),
        (first_block(stride=3), "stride"),
        (first_block(op="conv", kernels=[3, 5]), "unknown key"),
    ],
)
def test_bad_documents_name_the_place_and_what_is_allowed(data, words):
    with pytest.raises(DocumentError, match=words):
        NetworkSpec.from_dict(data)


def test_all_problems_are_told_at_once():
    data = first_block(kernels=[4], activation="swich")
    with pytest.raises(DocumentError) as caught:
        NetworkSpec.from_dict({**data, "padding": "sane"})
    assert len(str(caught.value).splitlines()) == 3


def test_errors_name_the_line():
    text = load_network("mixnet_s").to_yaml().replace("kernels: [3, 5]", "kernels: [3, 4]", 1)
    line = next(i for i, t in enumerate(text.splitlines(), 1) if "[3, 4]" in t)
    with pytest.raises(DocumentError, match=rf"^net.yaml:{line}: stages\[2\]\[1\].kernels\[1\]"):
        NetworkSpec.from_document(parse_document(text, "net.yaml"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the document is empty"),
        ("- 1", "a network must be a mapping"),
        ("stem: {channels: 16\nstages: []", "n.yaml:2: not valid YAML"),
        ("name: a\nname: b\n", "n.yaml:2: key 'name' appears twice"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_broken_yaml(text, words):
    with pytest.raises(DocumentError, match=words):
        NetworkSpec.from_document(parse_document(text, "n.yaml"))


def test_blocks_that_do_not_fit_are_named():
    spec = NetworkSpec(
        stem=Stem(channels=9), stages=((DSConv(channels=8, group_width=2),),), name="odd"
    )
    with pytest.raises(MixnasError, match=r"odd: stages\.0\.0: group_width 2 does not divide 9"):
        spec.tree()


def test_random_members_of_mixnet_survive_the_round_trip():
    space = load_space("mixnet")
    rng = random.Random(0)
    for _ in range(100):
        spec = space.decode(space.draw(rng), "x")
        assert NetworkSpec.from_yaml(spec.to_yaml()) == spec
