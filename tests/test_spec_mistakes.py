"""What is wrong with the documents of networks, and what is said about it."""

import pytest

from nas.blocks import DSConv
from nas.document import parse_document
from nas.errors import DocumentError, MixnasError
from nas.spec import NetworkSpec, Stem, load_network

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
            changed(stem={"channels": 8, "kernel": 4}),
            "stem: an even kernel has no middle; give its padding in pixels, such as padding: 0",
        ),
        (changed(stem={"channels": 8, "stride": 5}), "stem.stride: .* or equal to 4; found 5"),
        (
            changed(stem={"channels": 8, "norm": "bath"}),
            r"stem.norm: .* \(did you mean 'batch'\?\)",
        ),
        (
            changed(stem={"channels": 8, "before": [8, 0]}),
            r"stem.before\[1\]: input should be greater than or equal to 1; found 0",
        ),
        (changed(head={"clasifier": "conv"}), r"'clasifier' \(did you mean 'classifier'\?\)"),
        (changed(head={"dropout": 1}), "head.dropout: input should be less than 1; found 1"),
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
