import random

import pytest

from nas.errors import DocumentError
from nas.space import load_space, sample, space_names
from nas.space.loader import SCHEMA, find_document, short_name
from nas.spec import load_network


def test_inheritance_overrides_key_by_key(tmp_path):
    (tmp_path / "child.yaml").write_text(
        "extends: mixnet\nname: child\n"
        "stages: {s5: {channels: {choice: [160, 200]}, first: {kernels: 3}}}\n"
        "restrictions: [s4.channels <= s5.channels]\nlimits: {params: 4M}\n",
        encoding="utf-8",
    )
    (tmp_path / "grandchild.yaml").write_text(
        "extends: child.yaml\nname: grandchild\nrestrictions: [s3.channels <= s4.channels]\n",
        encoding="utf-8",
    )
    space = load_space(str(tmp_path / "grandchild.yaml"))
    assert [r.text for r in space.restrictions] == [
        "s4.channels <= s5.channels",
        "s3.channels <= s4.channels",
    ]
    assert space.variables[space.index("s5.channels")].values == (160, 200)
    assert "s5.first.kernels" not in [v.name for v in space.variables]
    drawn = sample(space, random.Random(0))
    assert drawn.cost.params <= 4_000_000
    assert load_space("mixnet").contains(space.decode(drawn.genotype))


def test_a_parents_mistake_is_told_with_the_parents_line(tmp_path):
    (tmp_path / "parent.yaml").write_text(
        "name: p\nstem: {channels: 8}\nstages:\n  a: {channels: 8, kernels: 4}\n", "utf-8"
    )
    (tmp_path / "child.yaml").write_text("extends: parent.yaml\nname: c\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"parent.yaml:4: stages.a.kernels: kernel size 4"):
        load_space(str(tmp_path / "child.yaml"))


def test_a_restriction_may_read_what_a_child_has_fixed(tmp_path):
    (tmp_path / "child.yaml").write_text(
        "extends: mixnet\nname: c\nstages: {s5: {channels: 160}}\n"
        "restrictions: [s4.channels <= s5.channels - 20]\n",
        encoding="utf-8",
    )
    space = load_space(str(tmp_path / "child.yaml"))
    rng = random.Random(0)
    widths = {space.values(sample(space, rng).genotype)["s4.channels"] for _ in range(60)}
    assert widths == {96, 120}


def test_inheritance_goes_wrong_clearly(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: a.yaml\n", encoding="utf-8")
    with pytest.raises(DocumentError, match="extends itself"):
        load_space(str(tmp_path / "a.yaml"))
    (tmp_path / "b.yaml").write_text("extends: mixnet\nstages: {s9: {}}\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"b.yaml:2: stages.s9.*'channels' is missing"):
        load_space(str(tmp_path / "b.yaml"))
    (tmp_path / "c.yaml").write_text("extends: mixnot\n", encoding="utf-8")
    with pytest.raises(DocumentError, match="unknown space 'mixnot'"):
        load_space(str(tmp_path / "c.yaml"))


def test_the_same_relative_name_can_mean_another_file(tmp_path):
    # top/base.yaml extends sub/base.yaml, which extends its own sub/base.yaml.
    (tmp_path / "sub" / "sub").mkdir(parents=True)
    text = "extends: sub/base.yaml\nname: {}\n"
    (tmp_path / "base.yaml").write_text(text.format("one"), encoding="utf-8")
    (tmp_path / "sub" / "base.yaml").write_text(text.format("two"), encoding="utf-8")
    (tmp_path / "sub" / "sub" / "base.yaml").write_text(
        "extends: mixnet\nname: three\nlimits: {params: 4M}\n", encoding="utf-8"
    )
    space = load_space(str(tmp_path / "base.yaml"))
    assert space.name == "one"
    assert [str(limit) for limit in space.limits] == ["params <= 4M"]
    (tmp_path / "a.yaml").write_text("extends: ./sub/../a.yaml\n", encoding="utf-8")
    with pytest.raises(DocumentError, match="extends itself"):
        load_space(str(tmp_path / "a.yaml"))


def test_a_dot_in_a_files_name_begins_no_suffix(tmp_path):
    for name in ("v1.2", "v1.2.yaml"):
        (tmp_path / name).write_text(
            "stem: {channels: 8}\nstages: {a: {channels: 8}}\n", encoding="utf-8"
        )
        assert load_space(str(tmp_path / name)).name == "v1.2"


def test_a_null_removes_a_key_and_choices_are_replaced_whole(tmp_path):
    (tmp_path / "child.yaml").write_text(
        "extends: mnasnet\nname: c\ndefaults: null\n"
        "stages: {s1: {skip: null, channels: {choice: [16]}}}\n",
        encoding="utf-8",
    )
    data = find_document(str(tmp_path / "child.yaml")).data
    parent = find_document("mnasnet").data
    assert "defaults" not in data
    assert "skip" not in data["stages"]["s1"]
    assert data["stages"]["s1"]["channels"] == {"choice": [16]}
    assert data["stages"]["s1"]["kernels"] == parent["stages"]["s1"]["kernels"]
    assert data["stages"]["s2"] == parent["stages"]["s2"]
    assert "extends" not in data


def test_a_base_is_found_beside_the_document(tmp_path):
    (tmp_path / "child.yaml").write_text("base: nets/b.yaml\n", encoding="utf-8")
    assert find_document("child.yaml", tmp_path).data["base"] == str(tmp_path / "nets" / "b.yaml")
    (tmp_path / "child.yaml").write_text("base: mobilenet_v2\n", encoding="utf-8")
    assert find_document("child.yaml", tmp_path).data["base"] == "mobilenet_v2"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- 1\n", "a space must be a mapping with the keys stem"),
        ("name: a\nschema: mixnas.space/9\n", "s.yaml:2: schema: unsupported .*'mixnas.space/1'"),
        ("extends: mixnet\nrestrictions: 3\n", "s.yaml:2: restrictions: must be a list"),
    ],
)
def test_documents_of_another_kind_are_refused(tmp_path, text, words):
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError, match=words):
        find_document(str(tmp_path / "s.yaml"))


def test_the_packaged_spaces_have_their_files_names():
    assert {"mixnet", "mixnet_ladder", "mnasnet"} <= set(space_names())
    assert all(load_space(name).name == name for name in space_names())


def test_a_file_does_not_take_the_place_of_a_space_that_comes_with_the_package(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mixnet").write_text("extends: mnasnet\nname: mine\n")
    (tmp_path / "child.yaml").write_text("extends: mixnet\nname: child\n")
    assert find_document("mixnet").source == "search_spaces/mixnet.yaml"
    assert find_document("./mixnet").data["name"] == "mine"
    whole = find_document("mixnet").data
    assert find_document("child.yaml").data["stages"] == whole["stages"]
    assert [record.getMessage() for record in caplog.records] == [
        "note: mixnet is the built-in space, not the file of this name here; write ./mixnet for "
        "that"
    ]


def test_a_space_without_an_ending_is_extended_by_what_lies_beside_it(tmp_path):
    (tmp_path / "parent").write_text("extends: mixnet\nname: parent\nlimits: {params: 4M}\n")
    (tmp_path / "child.yaml").write_text("extends: parent\nname: child\n")
    found = find_document(str(tmp_path / "child.yaml"))
    assert found.data["limits"] == {"params": "4M"}


def test_a_space_around_a_network_is_a_document_like_others(tmp_path):
    assert find_document("around:resnet_18").data["schema"] == SCHEMA
    load_network("resnet_18").replace(name="mine").save(tmp_path / "net.yaml")
    (tmp_path / "child.yaml").write_text(
        "extends: around:net.yaml\nname: child\nlimits: {madds: 1G}\nstages: {s1: {depth: 2}}\n",
        encoding="utf-8",
    )
    child = load_space(str(tmp_path / "child.yaml"))  # the path starts from the document's folder
    assert child.name == "child"
    assert [str(limit) for limit in child.limits] == ["madds <= 1G"]
    around = load_space(f"around:{tmp_path / 'net.yaml'}")
    names = {variable.name for variable in child.variables}
    assert names == {variable.name for variable in around.variables} - {"s1.depth"}


def test_short_names():
    assert short_name("mixnet") == "mixnet"
    assert short_name("spaces/mine.yaml") == "mine"
    assert short_name("around:nets/mine.yaml") == "around-mine"
