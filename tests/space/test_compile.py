import pytest

from nas.document import parse_document
from nas.errors import DocumentError
from nas.space import size, space_from_yaml
from nas.space.compile import compile_document
from nas.spec import Head, Stem
from tests.space.random_spaces import assignments
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
            "unknown key 'expansion'; allowed: activation, kernels, norm, op, skip$",
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


def problems(text):
    with pytest.raises(DocumentError) as caught:
        space_from_yaml(text)
    return str(caught.value).splitlines()


def test_every_mistake_is_told_at_once():
    text = """\
name: ../x
stem: {channels: 0, kernal: 3}
strides: 2
variables: {w: {choice: [8, 4.5]}, unused: {choice: [1, 2]}}
defaults: {activation: swich}
stages:
  a: {stride: 3, depth: {choice: [1, 99]}, channels: $w, kernels: {groups: 6, of: [3]}}
  b: {op: conv, expansion: 3, channels: 8, first: 5, rest: {kernals: 3}}
  c: {depth: 2}
restrictions: [a.channels < b.channels, b.channels < c.depht, 1 < 2]
limits: {madds: lots, parms: 3M}
"""
    found = problems(text)
    lines = sorted(int(line.split(":")[1]) for line in found)
    assert lines == [1, 2, 2, 3, 4, 4, 5, 7, 7, 7, 8, 8, 8, 9, 10, 10, 11, 11]
    for words in (
        "unknown key 'strides'",
        "'../x' is not a valid name",
        "unknown key 'kernal'",
        "stem.channels: input should be greater than or equal to 1; found 0",
        "defaults.activation: unknown value 'swich'",
        "stages.a.stride: input should be less than or equal to 2; found 3",
        "stages.a.depth.choice[1]: input should be less than or equal to 64; found 99",
        "variables.w.choice[1]: input should be a valid integer",
        "stages.a.kernels.groups: groups from 6 to 6; allowed: 1 to 5 groups",
        "stages.b.expansion: unknown key of conv 'expansion'",
        "stages.b.first: must be a mapping of fields",
        "stages.b.rest.kernals: unknown key 'kernals'",
        "stages.c: 'channels' is missing",
        "variables.unused: 'unused' is never used",
        "restrictions[1]: unknown variable 'c.depht'",
        "restrictions[2]: '1 < 2' does not compare a variable",
        "limits.madds: limit on madds: 'lots' is not a count",
        "limits.parms: unknown metric 'parms' (did you mean 'params'?)",
    ):
        assert [line for line in found if words in line], words
    assert len(found) == 18


HIDING = [
    # another stage's mistake, a field's, and an entry that is no text
    (
        "stages: {a: {channels: {choice: [8, 16]}, depth: {choice: [1, x]}}, b: 3}\n"
        "stem: {channels: 8}\n"
        "restrictions: [a.channels <= b.channels, a.depth <= a.depht, 'a.channels <', 5,"
        " a.channels == '8', a.depth == 2 or stem.chanels == a.kernles]\n",
        {
            "stages.b: input should be a valid dictionary",
            "stages.a.depth.choice[1]: input should be a valid integer",
            "restrictions[1]: unknown variable 'a.depht'",
            "restrictions[2]: 'a.channels <' is not a condition",
            "restrictions[3]: input should be a valid string; found 5",
            "restrictions[4]: 'a.channels == '8'' compares a number with text",
            "restrictions[5]: unknown variable 'stem.chanels' (did you mean 'stem.channels'?)",
            "restrictions[5]: unknown variable 'a.kernles'",
        },
    ),
    # a shared variable whose name is a letter of other names
    (
        "variables: {w: {choice: [8, x]}}\nstem: {channels: 8}\n"
        "stages: {a: {channels: $w, skip: {choice: [true, false]}}}\n"
        "restrictions: [a.show == true, w == 8, 'a.skip and > 3']\n",
        {
            "variables.w.choice[1]: input should be a valid integer",
            "restrictions[0]: unknown variable 'a.show'",
            "restrictions[2]: 'a.skip and > 3' is not a condition",
        },
    ),
    # no stem
    (
        "stages: {a: {channels: {choice: [8, 16]}}}\n"
        "restrictions: [stem.channels <= a.channels, a.chanels == 8]\n",
        {"'stem' is missing", "restrictions[1]: unknown variable 'a.chanels'"},
    ),
    # no stages
    (
        "stem: {channels: 8}\nstages: 4\nrestrictions: [a.x < 3, 'a <<', 3]\n"
        "limits: {madd: 3, params: 3M}\n",
        {
            "stages: input should be a valid dictionary; found 4",
            "restrictions[1]: 'a <<' is not a condition",
            "restrictions[2]: input should be a valid string; found 3",
            "limits.madd: unknown metric 'madd'",
        },
    ),
    # no base network, which depth and channels refer to
    (
        "base: mobilnet_v2\nstem: {channels: 8}\n"
        "stages: {a: {depth: {plus: [-1, 0]}, kernels: {choice: [3, 5]},"
        " expansion: {choice: [1, {times: [2]}, 3]}}}\n"
        "restrictions: [a.depth < 3, a.channels < 3, a.expansion == 2, a.kernells == 3]\n",
        {
            "base: unknown network 'mobilnet_v2'",
            "restrictions[3]: unknown variable 'a.kernells'",
        },
    ),
    # defaults that are no mapping
    (
        "stem: {channels: 8}\ndefaults: 3\nstages: {a: {channels: {choice: [8, 16]}}}\n"
        "restrictions: [a.kernels == 3, a.chanels == 8]\n",
        {"defaults: input should be a valid dict", "restrictions[1]: unknown variable 'a.chanels'"},
    ),
]


@pytest.mark.parametrize(("text", "told"), HIDING)
def test_no_mistake_hides_those_of_restrictions_or_makes_any(text, told):
    found = problems(text)
    assert len(found) == len(told), found
    for words in told:
        assert [line for line in found if words in line], words


def test_one_mistake_is_one_line():
    assert len(problems(TINY.replace("kernels: 3", "kernels: 3.4"))) == 1
    assert len(problems(TINY.replace("{choice: [16, 24]}", "[16, 24]"))) == 1
    assert len(problems(TINY.replace("{w: {choice: [8, 16]}}", "{w: {choice: [8, x]}}"))) == 1
    assert len(problems(TINY.replace("name: tiny", "name: tiny\nbase: mobilnet_v2"))) == 1
    assert len(problems("{stem: {channels: 8}, stages: {a: {}, b: {}}, derive: {rule: regnt,"
                        " depth: 2, w0: 8, wa: 8, wm: 2}}")) == 1  # fmt: skip


def test_kernels_need_no_quotes():
    space = space_from_yaml(TINY.replace("kernels: 3", "kernels: 3.5"))
    assert space.decode(space.canonical((0,) * len(space.variables))).stages[0][0].kernels == (3, 5)


def test_stages_may_be_called_like_words_of_python():
    space = space_from_yaml(
        "{stem: {channels: 8}, stages: {class: {channels: {choice: [8, 16]}},"
        " and: {channels: {choice: [8, 16]}}}, restrictions: [class.channels <= and.channels]}"
    )
    assert size(space) == 3
    with pytest.raises(DocumentError, match=r"variables\.and: 'and' is a reserved name"):
        space_from_yaml(
            "{stem: {channels: $and}, variables: {and: {choice: [8, 16]}},"
            " stages: {a: {channels: 8}}}"
        )


def test_text_in_restrictions_must_be_possible():
    text = ("{stem: {channels: 8}, stages: {a: {channels: 8, activation: {choice: [relu, mish]},"
            " skip: {choice: [true, false]}}}, restrictions: [a.activation != '%s']}")  # fmt: skip
    assert space_from_yaml(text % "swish").restrictions  # another space of the family may have it
    with pytest.raises(DocumentError, match=r"unknown value 'swich' \(did you mean 'swish'\?\)"):
        space_from_yaml(text % "swich")


def test_the_ends_take_all_fields_of_a_network_and_choices_of_most():
    space = space_from_yaml(
        """
        stem: {channels: 32, before: [16, 16], kernel: {choice: [2, 3]}, padding: 1, norm: none}
        stages: {a: {channels: 16}}
        head: {channels: 0, final_norm: {choice: [none, layer]}, hidden: [64], dropout: 0.2}
        """
    )
    assert [v.name for v in space.variables] == ["stem.kernel", "head.final_norm"]
    spec = space.decode((0, 1))
    assert spec.stem == Stem(32, 2, before=(16, 16), padding=1, norm="none")
    assert spec.head == Head(0, final_norm="layer", hidden=(64,), dropout=0.2)


def test_ends_that_cannot_be_are_told():
    uncentred = "stem.kernel: an even kernel has no middle; give its padding in pixels"
    assert told("{stem: {channels: 8, kernel: {choice: [3, 4]}}, stages: {a: {channels: 8}}}") == [
        f"{uncentred}, such as padding: 0"
    ]
    assert told(
        "{stem: {channels: 8, padding: {choice: [null, 1]}, before: {choice: [[8], [16]]}},"
        " stages: {a: {channels: 8}}, head: {hidden: 64, pool: avg}}"
    ) == [
        "stem.padding: null cannot be a choice; write it as a fixed value",
        "stem.before: must be a list, not a choice between lists",
        "head.hidden: input should be a valid tuple; found 64",
        "head.pool: unknown value 'avg' (did you mean 'average'?); allowed: average, none",
    ]


def told(text):
    with pytest.raises(DocumentError) as caught:
        space_from_yaml(text)
    return [line.split(": ", 1)[1] for line in str(caught.value).splitlines()]


def test_the_first_block_and_the_others_can_have_families_of_their_own():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        stages:
          a:
            channels: 16
            depth: {choice: [1, 2, 3]}
            kernels: 3
            first: {op: conv}
            rest: {op: {choice: [mbconv, dsconv]}, expansion: {choice: [2, 3]}}
        """
    )
    names = [variable.name for variable in space.variables]
    assert names == ["a.depth", "a.rest.op", "a.rest.expansion"]
    # One block; or two or three, of mbconv with two expansions or of dsconv.
    assert size(space) == 1 + 2 * 3
    for genotype in {space.canonical(g) for g in assignments(space)}:
        spec = space.decode(genotype)
        assert [block.family for block in spec.blocks[:1]] == ["conv"]
        assert space.encode_spec(spec) == genotype


def test_a_family_of_every_block_is_not_supported():
    with pytest.raises(DocumentError, match="unknown key 'op'"):
        space_from_yaml("{stem: {channels: 8}, stages: {a: {channels: 8, each: {op: conv}}}}")


@pytest.mark.parametrize(
    ("op", "one", "other"),
    [
        ("res2net", "bottleneck_ratio: {choice: [2, 4]}", "base_width: {choice: [13, 26]}"),
        ("mbconv", "se_ratio: {choice: [0, 0.25]}", "se_base: {choice: [input, middle]}"),
    ],
)
def test_fields_that_do_what_another_does_cannot_both_be_choices(op, one, other):
    stage = f"{{op: {op}, channels: 8, {one}, {other}}}"
    text = f"{{name: s, stem: {{channels: 8}}, stages: {{a: {stage}}}}}"
    names = [part.partition(":")[0] for part in (one, other)]
    with pytest.raises(DocumentError, match=f"stages.a: '{names[0]}' and '{names[1]}' cannot both"):
        space_from_yaml(text)
    assert space_from_yaml(text.replace(one, "split: equal" if op == "mbconv" else "scale: 4"))
