import dataclasses
import json

import pytest

from nas.cost import Cost
from nas.spec import reference_names


def test_command_prints_integers(command):
    result = command("nas.cost", "mixnet_m", "--json")
    assert result.returncode == 0
    data = json.loads(result.stdout)
    fields = [field.name for field in dataclasses.fields(Cost)]
    assert all(type(data[name]) is int for name in fields)
    assert (data["params"], data["madds"]) == (5_014_382, 339_172_672)


def test_command_says_its_convention_and_checks_against_fvcore(command):
    result = command("nas.cost", "mixnet_s", "--check", "--layers")
    assert result.returncode == 0
    assert "239,173,360" in result.stdout
    assert "BN and activations excluded" in " ".join(result.stdout.split())
    assert "stages.5.2.project.norm" in result.stdout


def test_command_refuses_unknown_names(refused):
    assert "did you mean 'mixnet_m'" in refused("nas.cost", "mixnet_mm")
    assert "no such file" in refused("nas.cost", "missing.yaml")
    assert "greater than or equal to 8" in refused("nas.cost", "mixnet_m", "--resolution", "4")
    assert "--classes: input should be greater than or equal to 1; found 0" in refused(
        "nas.cost", "mixnet_m", "--classes", "0"
    )


def test_resolution_and_classes_replace_the_specs(command):
    words = ("nas.cost", "mixnet_m", "--resolution", "64", "--classes", "10", "--json")
    data = json.loads(command(*words).stdout)
    assert data["resolution"] == 64
    assert data["params"] == 3_492_752
    # Published: 30.082 million at 1000 classes, of which the classifier loses 990.
    assert round((data["madds"] + 990 * 1536) / 1e6, 3) == 30.082


def test_layers_add_up_to_the_network(command):
    data = json.loads(command("nas.cost", "mobilenet_v2", "--layers", "--json").stdout)
    for key in ("params", "madds"):
        assert sum(layer[key] for layer in data["layers"]) == data[key]
    assert data["layers"][0] == {
        "path": "stem.conv",
        "kind": "Conv",
        "output": "32x112x112",
        "params": 3 * 3 * 3 * 32,
        "madds": 3 * 3 * 3 * 32 * 112 * 112,
    }


def test_without_options_nothing_else_is_counted(here):
    data = json.loads(here("nas.cost", "mobilenet_v2", "--json").stdout)
    costs = [field.name for field in dataclasses.fields(Cost)]
    assert list(data) == ["name", "resolution", *costs, "counted_by"]
    assert data["counted_by"] == "layers"
    checked = json.loads(here("nas.cost", "mobilenet_v2", "--json", "--check").stdout)
    assert checked == {**data, "fvcore_madds": data["madds"]}


def test_one_network_is_an_object_and_several_are_a_list(here):
    assert json.loads(here("nas.cost", "mixnet_s", "--json").stdout)["name"] == "mixnet_s"
    two = json.loads(here("nas.cost", "mixnet_s", "mixnet_m", "--json").stdout)
    assert [row["name"] for row in two] == ["mixnet_s", "mixnet_m"]
    every = json.loads(here("nas.cost", "--json").stdout)
    assert [row["name"] for row in every] == list(reference_names())


def test_the_table_has_a_row_for_each_network_and_one_for_each_layer(here):
    text = here("nas.cost", "mobilenet_v2").stdout
    assert "Costs for one image" in text
    (row,) = [line for line in text.splitlines() if "mobilenet_v2" in line]
    cells = [cell.strip() for cell in row.replace("│", "|").split("|")][1:-1]
    assert cells == ["mobilenet_v2", "224", "3,504,872", "300,774,272", "6,679,112", "6.02MB"]
    assert "stem.conv" not in text
    layers = here("nas.cost", "mobilenet_v2", "--layers").stdout
    (row,) = [line for line in layers.splitlines() if " stem.conv " in line]
    cells = [cell.strip() for cell in row.replace("│", "|").split("|")][1:-1]
    assert cells == ["stem.conv", "Conv", "32x112x112", "864", "10838016"]


def test_the_resolution_is_named_as_the_option_is(refused):
    assert refused("nas.cost", "mixnet_m", "--resolution", "4") == (
        "--resolution: input should be greater than or equal to 8; found 4"
    )


def test_counts_that_differ_from_fvcores_are_an_error(refused, monkeypatch):
    monkeypatch.setattr("nas.cost.fvcore.fvcore_madds", lambda spec: 1_000)
    assert refused("nas.cost", "mixnet_s", "--check") == (
        "mixnet_s: fvcore counts 1,000 MAdds, mixnas 239,173,360"
    )


# Of the stand-in: 4 x 27 weights and 4 biases at 158 x 158 places, and 4 features to 10 classes.
PARAMS, MADDS = 4 * 27 + 4 + 4 * 10 + 10, 158 * 158 * 4 * 27 + 40


def test_networks_of_timm_are_counted_by_fvcore(here, stand_in_for_timm):
    pytest.importorskip("fvcore")
    found = here("nas.cost", "timm:resnet18", "--classes", "10", "--json")
    assert json.loads(found.stdout) == {
        "name": "timm:resnet18",
        "resolution": 160,
        "params": PARAMS,
        "madds": MADDS,
        "activations": None,
        "peak_memory": None,
        "counted_by": "fvcore",
    }
    smaller = json.loads(here("nas.cost", "timm:resnet18", "--resolution", "34", "--json").stdout)
    assert (smaller["resolution"], smaller["madds"]) == (34, 32 * 32 * 4 * 27 + 4000)
    text = here("nas.cost", "timm:resnet18", "mobilenet_v2", "--classes", "10").stdout
    assert "products of activations, as in attention, excluded" in " ".join(text.split())
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in text.splitlines()
        if "│" in line
    ]
    assert rows[0] == ["timm:resnet18", "160", str(PARAMS), f"{MADDS:,}", "", "", "fvcore"]
    assert (rows[1][0], rows[1][-1]) == ("mobilenet_v2", "layers")


def test_what_timms_networks_do_not_tell_is_refused(refused, stand_in_for_timm):
    assert refused("nas.cost", "timm:resnet18", "--layers") == (
        "--layers: timm:resnet18 has no spec, and is counted as a whole by fvcore; omit --layers, "
        "or name networks that have a spec"
    )
    assert refused("nas.cost", "timm:resnet18", "--check").startswith("--check: timm:resnet18 has")
    assert refused("nas.cost", "timm:vit_small", "--resolution", "96") == (
        "timm:vit_small does not accept images of 96 px, and is made for 160 px: made for 160 px"
    )


@pytest.mark.parametrize(
    ("name", "params", "madds"),
    [
        ("vit_tiny_patch16_224", 5_717_416, 1_074_851_328),
        ("mixer_s32_224", 19_104_624, 1_002_426_368),
        ("resmlp_12_224", 15_350_872, 3_009_739_776),
        ("gmlp_s16_224", 19_422_656, 4_392_060_928),
        ("inception_v3", 23_834_568, 5_713_216_096),
    ],
)
def test_real_networks_of_timm(timm, here, name, params, madds):
    data = json.loads(here("nas.cost", f"timm:{name}", "--json").stdout)
    assert (data["params"], data["madds"]) == (params, madds)
