import dataclasses
import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import BLOCKS, ConvBlock, DSConv, MBConv, PoolBlock
from nas.document import parse_document
from nas.errors import DocumentError, MixnasError
from nas.ir import Activation, BatchNorm, Linear, SqueezeExcite, walk
from nas.space import load_space
from nas.spec import (
    SCHEMA,
    Head,
    Input,
    NetworkSpec,
    Norm,
    Published,
    Stem,
    load_network,
    published_of,
    reference_names,
)
from tests.trees import plain

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
    st.builds(
        ConvBlock,
        channels=st.integers(8, 64),
        kernels=kernels.map(lambda k: k[:1]),
        norm=st.sampled_from(["batch", "none", "response"]),
    ),
)


def buildable(spec):
    """A slice may have no channel left, which is refused."""
    try:
        spec.tree()
    except MixnasError:
        return False
    return True


stems = st.one_of(
    st.builds(Stem, channels=st.integers(32, 48), activation=activations),
    st.builds(
        Stem,
        channels=st.integers(32, 48),
        kernel=st.sampled_from([2, 3, 4]),
        stride=st.integers(1, 4),
        before=st.sampled_from([(), (16,), (16, 24)]),
        padding=st.integers(1, 2),
        bias=st.booleans(),
        norm=st.sampled_from(["batch", "layer", "none", "response"]),
    ),
)
heads = st.one_of(
    st.builds(Head, channels=st.sampled_from([0, 64])),
    st.builds(
        Head,
        channels=st.sampled_from([0, 64]),
        activation=st.sampled_from(["relu", "leaky_relu"]),
        norm=st.sampled_from(["batch", "none"]),
        final_norm=st.sampled_from(["none", "batch", "activation", "layer"]),
        pool=st.sampled_from(["average", "none"]),
        hidden=st.sampled_from([(), (32,), (32, 16)]),
        hidden_norm=st.sampled_from(["none", "batch"]),
        dropout=st.sampled_from([0, 0.5]),
        classifier=st.sampled_from(["linear", "conv"]),
    ),
)
specs = st.builds(
    NetworkSpec,
    stem=stems,
    stages=st.lists(
        st.lists(blocks, min_size=1, max_size=3).map(tuple), min_size=1, max_size=3
    ).map(tuple),
    head=heads,
    input=st.builds(Input, resolution=st.integers(32, 64)),
    num_classes=st.integers(2, 20),
    padding=st.sampled_from(["symmetric", "same"]),
    norm=st.builds(Norm, eps=st.sampled_from([1e-5, 1e-3])),
    name=st.text(max_size=12),
).filter(buildable)


@given(specs)
def test_yaml_round_trip_is_exact(spec):
    again = NetworkSpec.from_yaml(spec.to_yaml())
    assert again == spec
    assert again.name == spec.name
    assert again.digest() == spec.digest()
    assert NetworkSpec.from_dict(spec.to_dict()) == spec


def identity(spec):
    """What makes two networks the same; None if the network cannot be built."""
    try:
        return plain(spec.tree()), spec.in_shape
    except MixnasError:
        return None


@given(specs, specs)
def test_digest_tells_networks_apart_but_not_names(one, two):
    assert one.replace(name="other").digest() == one.digest()
    assert (one.digest() == two.digest()) == (one.canonical() == two.canonical())


@given(specs, st.data())
def test_equal_layer_trees_have_equal_digests_and_no_others(spec, data):
    fields = {
        "split": st.sampled_from(["equal", "exponential"]),
        "dilated": st.booleans(),
        "skip": st.booleans(),
        "expand_groups": st.integers(1, 2),
        "expansion": st.sampled_from([1, 2.5, 3]),
        "se_ratio": st.sampled_from([0, 0.25, 0.26]),
    }
    name = data.draw(st.sampled_from(sorted(fields)))
    value = data.draw(fields[name])
    other = spec.replace(
        stages=tuple(
            tuple(dataclasses.replace(b, **{name: value}) if hasattr(b, name) else b for b in stage)
            for stage in spec.stages
        )
    )
    if identity(spec) and identity(other):
        assert (spec.digest() == other.digest()) == (identity(spec) == identity(other))
        assert identity(spec.canonical()) == identity(spec)


@pytest.mark.parametrize(
    "changes",
    [
        {"expand_groups": 2},  # of the first block, which has no expansion layer
        {"split": "exponential"},
        {"dilated": True},
    ],
)
def test_fields_without_effect_do_not_enter_the_digest(changes):
    spec = load_network("mixnet_s")
    first = dataclasses.replace(spec.stages[0][0], **changes)
    rewritten = spec.replace(stages=((first,), *spec.stages[1:]))
    assert rewritten != spec
    assert rewritten.digest() == spec.digest() == "2f3441736308b5ff"
    assert rewritten.canonical() == spec


def test_a_skip_where_none_can_be_does_not_enter_the_digest():
    spec = load_network("mixnet_s")
    blocks = tuple(
        tuple(dataclasses.replace(b, skip=False) if b.stride == 2 else b for b in stage)
        for stage in spec.stages
    )
    assert spec.replace(stages=blocks).digest() == spec.digest()
    none = tuple(tuple(dataclasses.replace(b, skip=False) for b in stage) for stage in spec.stages)
    assert spec.replace(stages=none).digest() != spec.digest()


def test_the_activation_of_no_head_does_not_enter_the_digest():
    spec = load_network("mixnet_s")
    without = [spec.replace(head=Head(0, activation)) for activation in ("relu", "mish")]
    assert without[0].digest() == without[1].digest() != spec.digest()
    with_head = [spec.replace(head=Head(64, activation)) for activation in ("relu", "mish")]
    assert with_head[0].digest() != with_head[1].digest()


@pytest.mark.parametrize(
    ("head", "idle"),
    [
        (Head(0, hidden=(8,)), {"norm": "none"}),
        (Head(64), {"hidden_norm": "batch"}),
        (Head(64, classifier="conv"), {"pool": "none"}),
    ],
)
def test_other_fields_of_the_head_without_effect_do_not_enter_the_digest(head, idle):
    spec = load_network("mixnet_s").replace(head=head)
    assert spec.replace(head=dataclasses.replace(head, **idle)).digest() == spec.digest()
    assert spec.replace(head=dataclasses.replace(head, dropout=0.1)).digest() != spec.digest()


def test_documents_do_not_mention_what_came_later_and_is_at_its_default():
    data = load_network("mixnet_s").to_dict()
    assert data["stem"] == {"channels": 16, "kernel": 3, "stride": 2, "activation": "relu"}
    assert data["head"] == {"channels": 1536, "activation": "relu"}
    explicit = {**data, "head": {**data["head"], "pool": "average", "hidden": [], "dropout": 0}}
    assert NetworkSpec.from_dict(explicit).to_yaml() == load_network("mixnet_s").to_yaml()


VGG = NetworkSpec(
    stem=Stem(channels=8, stride=1, bias=True),
    stages=((PoolBlock(channels=8, kernel=2, stride=2),), (ConvBlock(channels=16, stride=2),)),
    head=Head(0, pool="none", hidden=(32,), dropout=0.5),
    input=Input(resolution=29),
    num_classes=10,
    name="vgg",
)


def test_fully_connected_layers_follow_the_size_of_the_map():
    assert VGG.map_shape() == (16, 7, 7)
    linears = [la.leaf for la in walk(VGG.tree(), VGG.in_shape) if isinstance(la.leaf, Linear)]
    assert [leaf.in_features for leaf in linears] == [16 * 7 * 7, 32]
    assert dict(VGG.parts())["hidden"] is dict(VGG.tree().children)["hidden"]
    assert VGG.digest() != VGG.at(40).digest()


def test_maps_that_become_too_small_are_told():
    wide = PoolBlock(channels=16, kernel=5, padding=0)
    data = VGG.replace(stages=(*VGG.stages, (wide,))).at(10).to_dict()
    with pytest.raises(DocumentError, match=r"vgg: .* does not fit into its input of 3x3 pixels"):
        NetworkSpec.from_dict(data)
    late = VGG.replace(stages=((PoolBlock(channels=9),), (DSConv(channels=8, group_width=3),)))
    with pytest.raises(MixnasError) as caught:
        late.tree()
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["stages.0.0"]


def test_the_resolution_keeps_the_other_fields_of_the_input():
    gray = load_network("mixnet_s").replace(input=Input(1, 32))
    assert gray.at(16).input == Input(1, 16)
    assert gray.at(None) is gray
    assert gray.at(16).digest() != gray.digest()


def test_every_normalisation_has_the_networks_constants():
    spec = load_network("mixnet_s").replace(norm=Norm(eps=1e-3, momentum=0.01))
    norms = [la.leaf for la in walk(spec.tree(), spec.in_shape) if isinstance(la.leaf, BatchNorm)]
    # Stem, head, three per block (two in the first, which has no expansion layer).
    assert len(norms) == 2 + 3 * len(spec.blocks) - 1
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_every_block_that_does_not_fit_is_told():
    odd = DSConv(channels=9, group_width=2)
    spec = NetworkSpec(stem=Stem(channels=9), stages=((odd, odd),), name="odd")
    with pytest.raises(DocumentError) as caught:
        NetworkSpec.from_dict(spec.to_dict())
    assert [line.split(": ")[2] for line in str(caught.value).splitlines()] == [
        "stages.0.0",
        "stages.0.1",
    ]


def test_a_dot_in_a_files_name_begins_no_suffix(tmp_path):
    text = load_network("mixnet_s").replace(name="").to_yaml()
    for name in ("v1.2", "v1.2.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert load_network(str(tmp_path / name)).name == "v1.2"


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
            names = {field.name for field in dataclasses.fields(BLOCKS[block["op"]])}
            assert set(block) <= names
            assert names - set(block) <= {"se_base", "se_activation", "gate", "norm"}


def test_what_is_published_is_no_part_of_the_network():
    text = load_network("mixnet_s").to_yaml()
    published = "published: {top1: 76.0, resolution: 224, source: somewhere}\n"
    assert NetworkSpec.from_yaml(text + published) == NetworkSpec.from_yaml(text)
    found = published_of(parse_document(text + published, "mine.yaml"))
    assert found == Published(top1=76.0, resolution=224, source="somewhere")
    assert published_of(parse_document(text, "mine.yaml")) is None
    wrong = "published: {top1: 176.0, resolution: 224, sources: somewhere}\n"
    with pytest.raises(DocumentError) as error:
        NetworkSpec.from_yaml(text + wrong, "mine.yaml")
    assert "mine.yaml:" in str(error.value)
    assert "top1" in str(error.value)
    assert "sources" in str(error.value)


def test_kernels_of_one_size_are_one_kernel():
    assert MBConv(channels=8, kernels=(3, 3)).kernels == (3,)
    assert MBConv(channels=8, kernels=3).kernels == (3,)
    assert MBConv(channels=8, kernels="3.5").kernels == (3, 5)


def test_random_members_of_mixnet_survive_the_round_trip():
    space = load_space("mixnet")
    rng = random.Random(0)
    for _ in range(100):
        spec = space.decode(space.draw(rng), "x")
        assert NetworkSpec.from_yaml(spec.to_yaml()) == spec


def test_a_file_does_not_take_the_place_of_a_reference_network(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    NetworkSpec(stem=Stem(8), stages=((MBConv(channels=8),),), name="mine").save("mixnet_s")
    assert load_network("mixnet_s").name == "mixnet_s"
    assert load_network("./mixnet_s").name == "mine"
    assert [record.getMessage() for record in caplog.records] == [
        "note: mixnet_s is the built-in network, not the file of this name here; write ./mixnet_s "
        "for that"
    ]
    NetworkSpec(stem=Stem(8), stages=((MBConv(channels=8),),), name="mine").save("own")
    assert load_network("own").name == "mine"


def test_one_activation_function_takes_the_place_of_all():
    own = load_network("mobilenet_v3_small")
    changed = own.with_activation("mish")
    parts = (changed.stem, *changed.blocks, changed.head)
    assert {part.activation for part in parts} == {"mish"}
    assert {block.activation for block in own.blocks} == {"relu", "hard_swish"}
    for name in ("rexnet_100", "scarlet_a", "mobilenet_v3_large", "xception", "ghostnet_100"):
        spec = load_network(name).with_activation("mish")
        leaves = [layer.leaf for layer in walk(spec.tree(), spec.in_shape)]
        functions = {leaf.function for leaf in leaves if isinstance(leaf, Activation)}
        assert functions == {"mish"}
    gates = [leaf for leaf in leaves if isinstance(leaf, SqueezeExcite)]
    assert {gate.activation for gate in gates} == {"mish"}
    mxresnet = load_network("mxresnet_50")
    assert mxresnet.with_activation("mish").digest() == mxresnet.digest()


def test_where_there_is_no_activation_function_there_is_none_still():
    spec = NetworkSpec(
        Stem(8, activation="identity"), ((ConvBlock(channels=8), PoolBlock(channels=8)),)
    )
    changed = spec.with_activation("mish")
    assert changed.stem.activation == "identity"
    assert changed.stages[0][0].activation == "mish"
    assert changed.stages[0][1] == spec.stages[0][1]
