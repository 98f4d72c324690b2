import pytest

from nas.document import parse_document
from nas.errors import DocumentError
from nas.space import space_from_yaml
from nas.space.compile import compile_document
from tests.space.test_space import TINY


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("depth: {choice: [1, 2]}", "depht: 3", r"unknown key 'depht' \(did you mean 'depth'\?\)"),
        ("$w", "$width", "unknown variable 'width'"),
        ("{w: {choice: [8, 16]}}", "{w: {choice: [8, 16]}, x: {choice: [1, 2]}}", "never used"),
        ("kernels: 3", "kernels: 4", "kernel size 4 is not supported"),
        ("channels: {choice: [16, 24]}", "", "'channels' is missing"),
        ("{choice: [3, 5, 7]}", "{groups: 6, of: [3]}", "allowed: 1 to 5 groups"),
        ("a.depth + b.depth", "a.depth + c.depth", "unknown variable 'c.depth'"),
        ("name: tiny", "name: tiny\nlimits: {madds: lots}", "is not a count"),
        ("name: tiny", "name: tiny\nstrides: 2", "unknown key 'strides'"),
        ("mbconv, conv", "mbconv, cnv", "unknown value 'cnv'"),
        ("stride: 2", "stride: 3", "stride: input should be less than or equal to 2; found 3"),
        ("stride: 2", "stride: true", "stride: input should be a valid integer; found True"),
        ("choice: [8, 16]}}\nstages", "choice: [8, true]}}\nstages", "valid integer; found True"),
        ("first: {expansion: {choice: [2, 3]}}", "first: 5", "first: must be a mapping of fields"),
        ("each: {kernels: {choice: [3, 5, 7]}}", "each: 5", "each: must be a mapping of fields"),
        ("first: {expansion", "first: {kernels: 5, expansion", "also appears in 'each'"),
        ("  b:", "  stem:", "'stem' is a reserved name"),
        ("  b:", "  b.c:", "'b.c' is not a valid name"),
        ("name: tiny", "name: ../tiny", "'../tiny' is not a valid name"),
        ("{choice: [16, 24]}", "{times: [.inf], of: 8}", "finite number"),
        ("kernels: 3", "kernels: {times: [1, 2]}", "a relative choice has nothing to refer to"),
        (
            "name: tiny",
            "name: tiny\nlimits: {madds: null}",
            "valid string; found None|madds: input",
        ),
        ("name: tiny", "name: tiny\nlimits: {madds: 1e400}", "too large|inf"),
        (
            "op: {choice: [mbconv, conv]}",
            "op: conv",
            "unknown key 'expansion'; allowed: activation, kernels, skip$",
        ),
    ],
)
def test_bad_documents(old, new, words):
    assert old in TINY
    with pytest.raises(DocumentError, match=words):
        space_from_yaml(TINY.replace(old, new, 1))


SMALL = "{{stem: {{channels: 8}}, stages: {{a: {{channels: 8, {stage}}}}}, {more}}}"


def small(stage, more="name: s"):
    return compile_document(parse_document(SMALL.format(stage=stage, more=more), "s.yaml"))


def test_variables_are_named_by_their_place():
    plans = small(
        "op: {choice: [conv, mbconv]}, depth: {choice: [1, 3]}, activation: {choice: [relu, mish]},"
        "first: {kernels: {choice: [3, 5]}}, rest: {kernels: {choice: [7, 9]}}",
        "head: {channels: {choice: [0, 64]}}",
    )
    assert {v.name: v.values for v in plans.variables} == {
        "head.channels": (0, 64),
        "a.op": ("conv", "mbconv"),
        "a.depth": (1, 3),
        "a.first.kernels": ((3,), (5,)),
        "a.rest.kernels": ((7,), (9,)),
        "a.activation": ("relu", "mish"),
    }


def test_the_most_specific_place_wins():
    plans = small(
        "depth: 3, kernels: 5, activation: swish, each: {expansion: {choice: [2, 3]}},"
        "first: {kernels: 7}",
        "defaults: {activation: mish, se_ratio: 0.5}",
    )
    assert [v.name for v in plans.variables] == [f"a.b{i}.expansion" for i in range(3)]
    blocks = plans.stages[0].build((0, 1, 0))
    assert [block.kernels for block in blocks] == [(7,), (5,), (5,)]
    assert [block.expansion for block in blocks] == [2, 3, 2]
    assert {(block.activation, block.se_ratio) for block in blocks} == {("swish", 0.5)}


def test_only_the_first_block_has_the_stages_stride():
    plans = small("stride: 2, depth: 3")
    assert [block.stride for block in plans.stages[0].build(())] == [2, 1, 1]


def test_sites_follow_depth_and_family():
    plans = small(
        "op: {choice: [conv, mbconv]}, depth: {choice: [1, 2, 3]},"
        "each: {expansion: {choice: [2, 3]}}"
    )
    op, depth, *expansions = plans.variables
    assert (op.sites, depth.sites) == ((), ())
    assert [v.sites[0].depths for v in expansions] == [
        (True, True, True),
        (False, True, True),
        (False, False, True),
    ]
    assert {v.sites[0].ops for v in expansions} == {(False, True)}


def test_relative_values_refer_to_the_base_network():
    text = (
        "{base: mobilenet_v2, stem: {channels: {times: [0.5, 1]}},"
        "stages: {a: {depth: {plus: [-1, 0, 1]}}, b: {channels: {times: [2]}}}}"
    )
    plans = compile_document(parse_document(text, "s.yaml"))
    # MobileNetV2: a stem of 32 channels, one block of 16, two of 24.
    assert {v.name: v.values for v in plans.variables} == {
        "stem.channels": (16, 32),
        "a.depth": (1, 2),
    }
    assert plans.stages[0].build((0, 0))[0].channels == 16
    assert [block.channels for block in plans.stages[1].build((0, 0))] == [48, 48]


def test_chains_are_split_and_limits_parsed():
    plans = small(
        "depth: {choice: [1, 2, 3]}", "restrictions: [1 < a.depth <= 2], limits: {params: 2M..3M}"
    )
    assert [restriction.names for restriction in plans.restrictions] == [("a.depth",)] * 2
    assert [str(limit) for limit in plans.limits] == ["2M <= params <= 3M"]


def test_derived_widths_exclude_given_ones():
    rule = "derive: {depth: 8, w0: 16, wa: 8, wm: 2}"
    with pytest.raises(DocumentError, match=r"s.yaml:1: stages.a.channels: is derived by the"):
        small("kernels: 3", rule)
    with pytest.raises(DocumentError, match=r"unknown rule 'anynet'; allowed: regnet"):
        small("kernels: 3", rule.replace("depth: 8", "rule: anynet"))
    with pytest.raises(DocumentError, match=r"derive: 'wa' is missing"):
        small("kernels: 3", rule.replace("wa: 8, ", ""))
