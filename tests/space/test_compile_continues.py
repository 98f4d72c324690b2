"""Stages that go on with the network's stage before them."""

import pytest

from nas.document import parse_document
from nas.errors import DocumentError
from nas.space.compile import compile_document
from nas.space.space import space_from_yaml

JOINED = (
    "{stem: {channels: 8}, stages: {a: {op: conv, channels: 8, depth: {choice: [1, 2]}},"
    " b: {continues: true, channels: 16, depth: 2}, c: {channels: 16}}}"
)


def test_a_stage_can_go_on_with_the_one_before_it():
    plans = compile_document(parse_document(JOINED, "s.yaml"))
    assert [stage.continues for stage in plans.stages] == [False, True, False]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("op: conv", "op: conv, continues: true", "stages.a.continues: the first stage has none"),
        ("continues: true", "continues: 1", "stages.b.continues: .*valid boolean; found 1"),
        (
            "depth: 2",
            "depth: {choice: [2, 3]}",
            r"stages.b.depth: must be a number, since 'a' has a choice of depth, too",
        ),
        ("b: {", "b: {first: {continues: true}, ", "unknown key 'continues'"),
    ],
)
def test_stages_that_cannot_go_on(old, new, words):
    assert old in JOINED
    with pytest.raises(DocumentError, match=words):
        space_from_yaml(JOINED.replace(old, new, 1))


def test_derived_stages_cannot_go_on():
    text = (
        "{stem: {channels: 8}, derive: {depth: 8, w0: 16, wa: 8, wm: 2},"
        " stages: {a: {}, b: {continues: true}}}"
    )
    with pytest.raises(DocumentError, match=r"stages.b.continues: every stage has a width that"):
        space_from_yaml(text)


def test_a_stage_that_goes_on_has_no_base_and_the_next_one_has_its_own():
    text = (
        "{base: mobilenet_v2, stem: {channels: 32}, stages: {a: {depth: 1},"
        " a2: {continues: true, channels: 16}, b: {channels: {times: [2]}}}}"
    )
    plans = compile_document(parse_document(text, "s.yaml"))
    assert [block.channels for block in plans.stages[2].build(())] == [48, 48]
    with pytest.raises(DocumentError, match=r"stages.a2.channels: a relative choice has nothing"):
        space_from_yaml(text.replace("channels: 16", "channels: {times: [1, 2]}"))
