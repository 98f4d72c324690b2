import pytest

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
