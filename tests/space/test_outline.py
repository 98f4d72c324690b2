import pytest
from pydantic import ValidationError

from nas.space.outline import BLOCK_FIELDS, KINDS, SpaceDocument


def test_every_field_of_a_block_has_one_type():
    assert set(BLOCK_FIELDS) == {
        "kernels",
        "split",
        "dilated",
        "group_width",
        "project_groups",
        "se_ratio",
        "activation",
        "skip",
        "expansion",
        "expand_groups",
    }
    assert set(KINDS) == {*BLOCK_FIELDS, "op", "depth", "channels", "stride"}


def test_limits_may_be_numbers():
    outline = SpaceDocument(stem={}, stages={"a": {}}, limits={"madds": 400000000, "params": "5M"})
    assert outline.limits == {"madds": "400000000", "params": "5M"}


@pytest.mark.parametrize(
    "changes",
    [
        {"stages": {}},
        {"num_classes": 0},
        {"padding": "valid"},
        {"stage": {}},
        {"limits": {"a": None}},
    ],
)
def test_other_documents_are_refused(changes):
    SpaceDocument(stem={}, stages={"a": {}}, num_classes=1, padding="same")
    with pytest.raises(ValidationError, match=next(iter(changes))):
        SpaceDocument(**{"stem": {}, "stages": {"a": {}}, **changes})
