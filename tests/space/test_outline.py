import pytest
from pydantic import ValidationError

from nas.blocks import FIELDS
from nas.blocks.fields import AnyKernel, Kernels
from nas.space.outline import BLOCK_FIELDS, KINDS, SpaceDocument, kind_of


def test_every_field_of_a_block_has_one_type():
    every = {name for names in FIELDS.values() for name in names}
    assert set(BLOCK_FIELDS) == every - {"op", "depth", "channels", "stride"}
    assert BLOCK_FIELDS[:3] == ("kernels", "split", "dilated")
    assert set(KINDS) == {*BLOCK_FIELDS, "op", "depth", "channels", "stride"}


def test_the_type_of_a_field_is_that_of_the_stages_families():
    assert kind_of("kernel", ("mbconv", "pool")) == AnyKernel
    assert kind_of("kernels", ("conv",)) == Kernels
    assert kind_of("kernels", ("pool",)) == KINDS["kernels"]


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
