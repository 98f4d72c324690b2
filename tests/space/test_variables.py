import pytest

from nas.space import space_from_yaml
from nas.space.encoding import encode_all
from nas.space.variables import INACTIVE, Site, Variable, label

SHALLOW = Site(depth=0, depths=(False, True, True))
DEEP = Site(depth=0, depths=(False, False, True))
FAMILY = Site(depth=0, depths=(False, True, True), op=1, ops=(True, False))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (((3,), (3, 5)), "kernels"),
        ((1, 2.5), "ordinal"),
        ((True, False), "categorical"),
        (("relu", "swish"), "categorical"),
    ],
)
def test_kinds(values, kind):
    assert Variable("v", values).kind == kind


def test_labels():
    assert Variable("v", ((3,), (3, 5, 5))).labels == ("3", "3.5.5")
    assert [label(value) for value in (16, 0.25, "relu", True)] == [16, 0.25, "relu", True]


def test_a_field_exists_if_the_stage_is_deep_enough_and_the_family_has_it():
    assert [FAMILY.exists((d, o)) for d in range(3) for o in range(2)] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]
    assert FAMILY.exists({0: 2, 1: 0})
    assert Site().exists(())


@pytest.mark.parametrize(
    ("site", "always"),
    [
        (Site(), True),
        (Site(depth=0, depths=(True, True)), True),
        (SHALLOW, False),
        (Site(op=0, ops=(True, False)), False),
        (Site(depth=0, depths=(True,), op=1, ops=(False, True)), False),
    ],
)
def test_unconditional_fields(site, always):
    assert site.unconditional is always


@pytest.mark.parametrize(
    ("sites", "mask", "parents"),
    [
        ((), None, set()),
        ((DEEP,), (0, (False, False, True)), {0}),
        ((DEEP, SHALLOW), (0, (False, True, True)), {0}),
        ((DEEP, FAMILY), None, {0, 1}),
        ((DEEP, Site(depth=2, depths=(False, True))), None, {0, 2}),
        ((Site(op=1, ops=(True, False)),), None, {1}),
    ],
)
def test_what_decides_whether_a_variable_is_active(sites, mask, parents):
    variable = Variable("v", (1, 2), sites=sites)
    assert variable.depth_mask == mask
    assert variable.parents == parents
    for index in range(3) if mask else ():
        assert variable.active((index,)) is mask[1][index]


def test_a_variable_is_active_if_one_of_its_fields_exists():
    variable = Variable("v", (1, 2), sites=(DEEP, FAMILY))
    assert variable.active((1, 0))
    assert not variable.active((1, 1))
    assert variable.active((2, 1))
    assert not variable.active((0, 0))
    assert Variable("v", (1, 2)).active((INACTIVE,))


def test_no_kernels_have_a_label_of_their_own():
    assert label(()) == "none"  # nothing would be read from a table as a missing value
    assert label((3, 5)) == "3.5"


def test_a_layer_may_be_left_out_by_choice():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        stages: {a: {op: universal, channels: 8, kernels: 3, start_kernels: {choice: [none, 3]}}}
        restrictions: [a.start_kernels != 'none']
        """
    )
    assert space.variables[0].values == ((), (3,))
    assert space.to_params((0,)) == {"a.start_kernels": "none"}
    assert space.from_params({"a.start_kernels": "none"}) == (0,)
    assert encode_all(space, [(0,), (1,)]).tolist() == [[0], [1]]
    assert space.broken((0,))
    assert not space.broken((1,))
