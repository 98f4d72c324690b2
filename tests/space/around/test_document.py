import dataclasses
import itertools
import random

import pytest
import yaml

from nas.cost import count
from nas.document import Document
from nas.errors import DocumentError
from nas.ir import Residual, Sum
from nas.space import load_space, sample_many, size, space_from_document
from nas.space.around import around_document, is_around, network_of, run_name
from nas.space.around.document import around
from nas.space.around.widths import widths_of
from nas.space.encoding import encode, feature_names
from nas.spec import NetworkSpec, load_network, reference_names

FAMILIES = [
    "mixnet_s",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v4_conv_small",
    "efficientnet_v2_b0",
    "resnet_18",
    "resnet_50",
    "regnet_y_200mf",
    "shufflenet_v1_g3",
    "shufflenet_v2_x1_0",
    "ghostnet_100",
    "rexnet_100",
    "densenet_121",
    "convnext_atto",
    "darknet_53",
    "squeezenet_1_1",
    "res2net_50_26w_4s",
    "googlenet",
    "xception",
    "nin",
]


@pytest.mark.parametrize("name", ["rexnet_100", "mixnet_s", "resnet_18", "regnet_y_200mf"])
def test_no_width_changes_the_skip_connections(name):
    own = load_network(name)
    changed = 0
    for width in widths_of(own):
        for value in width.values:
            blocks = list(own.blocks)
            for i in width.blocks:
                blocks[i] = dataclasses.replace(blocks[i], channels=value)
            assert skips(own.replace(stages=(tuple(blocks),))) == skips(own)
            changed += value != own.blocks[width.blocks[0]].channels
    assert changed


def skips(spec):
    """Return the kind of every block's skip connection."""
    channels, found = spec.stem.channels, []
    for block in spec.blocks:
        tree = block.expand(channels, spec.rules)
        found.append([type(node).__name__ for node in containers(tree)])
        channels = block.channels
    return found


def containers(node):
    if isinstance(node, Residual | Sum):
        yield node
    for _, child in getattr(node, "children", ()):
        yield from containers(child)


def test_a_block_without_gate_gets_that_of_its_family():
    space = load_space("around:rexnet_100")
    ratios = {
        value
        for variable in space.variables
        if "se_ratio" in variable.name
        for value in variable.values
    }
    assert 0 in ratios
    assert all(ratio < 0.1 for ratio in ratios)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_space_around_a_network(name):
    spec = load_network(name)
    space = load_space(f"around:{name}")
    genotype = space.encode_spec(spec)
    assert space.decode(genotype).digest() == spec.digest()
    assert space.cost(genotype) == count(spec)
    rng = random.Random(0)
    for drawn in sample_many(space, rng, 4):
        network = space.decode(drawn.genotype)
        assert count(network) == drawn.cost
        assert space.encode_spec(network) == drawn.genotype
        assert len(encode(space, drawn.genotype)) == len(feature_names(space))
    neighbours = list(space.neighbours(genotype))
    assert len(neighbours) >= 5
    for neighbour in random.Random(1).sample(neighbours, 5):
        network = space.decode(neighbour)
        assert count(network) == space.cost(neighbour)
        assert network.digest() != spec.digest()
        assert space.encode_spec(network) == neighbour
    assert size(space) > len(neighbours)


@pytest.mark.slow
def test_every_reference_is_in_the_space_around_it():
    for name in reference_names():
        spec, space = load_network(name), load_space(f"around:{name}")
        assert space.decode(space.encode_spec(spec)).digest() == spec.digest(), name
        assert size(space) > 50, name
        for drawn in sample_many(space, random.Random(0), 3):
            network = space.decode(drawn.genotype)
            assert count(network) == drawn.cost, name
            assert space.encode_spec(network) == drawn.genotype, name


SMALL = """
schema: mixnas.network/1
name: a small one
input: {channels: 3, resolution: 32}
num_classes: 10
stem: {channels: 16}
stages:
  -
    - {op: conv, channels: 16, stride: 2, kernels: [1]}
    - {op: ghost, channels: 24, kernels: [3]}
    - {op: ghost, channels: 24, kernels: [3], expansion: 2}
    - {op: conv, channels: 32, kernels: [1]}
    - {op: conv, channels: 32, kernels: [1]}
"""


def test_the_size_is_that_of_all_different_networks():
    space = space_from_document(around_document_of(NetworkSpec.from_yaml(SMALL)))
    everything = itertools.product(*(range(len(v.values)) for v in space.variables))
    genotypes = {space.canonical(g) for g in everything}
    possible = [g for g in genotypes if not space.broken(g)]
    digests = {space.decode(g).digest() for g in possible}
    assert size(space) == len(possible) == len(digests)


def around_document_of(spec):
    return Document("<test>", {"name": "around", **around(spec)})


def test_parts_of_a_stage_share_its_width_and_equal_ones_their_choices():
    data = around(load_network("mobilenet_v4_conv_small"))
    assert data["stages"]["s2"]["channels"] == data["stages"]["s2_2"]["channels"] == "$s2_channels"
    assert data["variables"]["s2_channels"] == {"choice": [72, 96, 120]}
    assert "continues" not in data["stages"]["s2"]
    assert data["stages"]["s2_2"]["continues"]
    dense = around(load_network("densenet_121"))
    assert dense["variables"] == {f"s{i}_2_bottleneck": {"choice": [3, 4, 5]} for i in range(4)}


def test_the_first_block_has_choices_of_its_own():
    stage = around(load_network("mixnet_s"))["stages"]["s2"]
    assert stage["first"]["kernels"] != stage["rest"]["kernels"]
    assert stage["se_ratio"] == {"choice": [0, 0.5]}
    assert stage["depth"] == {"choice": [3, 4, 5]}
    assert stage["rest"]["expand_groups"] == 2
    assert "expand_groups" not in stage["first"]


def test_se_would_be_as_the_networks_other_blocks_have_it():
    space = load_space("around:mobilenet_v3_small")
    genotype = list(space.encode_spec(load_network("mobilenet_v3_small")))
    genotype[space.index("s1.se_ratio")] = 1
    block = space.decode(space.canonical(genotype)).stages[1][0]
    assert (block.se_ratio, block.se_base, block.gate) == (0.25, "middle", "hard_sigmoid")


def test_stem_head_and_constants_stay():
    spec = load_network("efficientnet_v2_b0")
    space = load_space("around:efficientnet_v2_b0")
    for drawn in sample_many(space, random.Random(3), 3):
        other = space.decode(drawn.genotype)
        assert (other.stem, other.head, other.input) == (spec.stem, spec.head, spec.input)
        assert (other.padding, other.norm) == (spec.padding, spec.norm)


def test_the_document_is_plain_data():
    for name in ("mixnet_s", "googlenet", "mobilenet_v4_conv_small"):
        data = around_document(f"around:{name}").data
        assert yaml.safe_load(yaml.safe_dump(data)) == data


def test_names(tmp_path):
    assert is_around("around:mixnet_s")
    assert not is_around("mixnet")
    assert network_of("around:a.yaml", tmp_path) == str(tmp_path / "a.yaml")
    assert network_of("around:mixnet_s", tmp_path) == "mixnet_s"
    assert network_of("around:~/a.yaml").startswith("/")
    assert run_name("around:mixnet_s") == "around-mixnet_s"
    assert run_name("around:../nets/my net.v1.yaml") == "around-my-net.v1"
    assert run_name("around:/") == "around-network"


def test_a_file_takes_the_place_of_a_name(tmp_path):
    path = tmp_path / "my net.yaml"
    path.write_text(SMALL, encoding="utf-8")
    space = load_space(f"around:{path}")
    assert space.name == "around-my-net"
    assert space.num_classes == 10
    assert space.contains(load_network(str(path)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "x.yaml: no such file; give the path of a YAML file$"),
        ("[", "x.yaml:1: not valid YAML"),
        ("stem: {channels: 0}\nstages: [[{op: conv, channels: 8}]]", "x.yaml:1: stem.channels: "),
        ("schema: mixnas.space/1", "x.yaml:1: schema: unsupported schema"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError, match=message) as caught:
        load_space(f"around:{path}")
    assert len(str(caught.value).splitlines()) == 1


def test_unknown_networks_are_told_with_the_nearest_name():
    with pytest.raises(DocumentError, match=r"unknown network 'mixnet_z'.*mixnet_s"):
        load_space("around:mixnet_z")
    with pytest.raises(DocumentError, match="'around:' names no network; write around:mixnet_s"):
        load_space("around:")
