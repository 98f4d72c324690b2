import json
import random

import pandas as pd
import pytest

from nas.space import load_space
from nas.space.rows import VARIABLE_PREFIX
from nas.spec import load_network
from tests.searching import write_space


def test_list_and_show(command):
    names = [row["name"] for row in json.loads(command("nas.space", "list", "--json").stdout)]
    assert "mixnet" in names
    shown = json.loads(command("nas.space", "show", "mixnet", "--json").stdout)
    assert shown["size_is_exact"] is True
    assert len(shown["variables"]) == 61
    kernels = next(v for v in shown["variables"] if v["name"] == "s5.rest.kernels")
    assert "3.5.7.9.11" in kernels["values"]
    text = command("nas.space", "show", "mixnet").stdout
    row = next(line for line in text.splitlines() if " s5.rest.kernels " in f" {line}")
    choices = row[row.index("3, 5") :].rstrip(" │|")
    assert choices == ", ".join([*map(str, kernels["values"][:8]), "..."])


def test_sample(command, tmp_path):
    words = ("nas.space", "sample", "mixnet", "-n", "3", "--budget", "390M..400M", "--seed", "4")
    rows = json.loads(command(*words, "--json").stdout)
    assert len(rows) == 3
    assert all(390_000_000 <= row["madds"] <= 400_000_000 for row in rows)
    assert json.loads(command(*words, "--json").stdout) == rows
    assert command(*words, "--out", "specs").returncode == 0
    spec = load_network(str(tmp_path / "specs" / "mixnet_2.yaml"))
    assert spec.to_dict() == rows[2]["spec"]


def test_contains(command):
    for name in ("mixnet_s", "mixnet_m", "mixnet_l"):
        result = command("nas.space", "contains", "mixnet", name, "--json")
        assert result.returncode == 0
        assert json.loads(result.stdout)["contains"] is True
    result = command("nas.space", "contains", "mixnet", "efficientnet_b0", "--json")
    assert result.returncode == 1
    assert "7 stages" in json.loads(result.stdout)["reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sample", "mixnet", "--budget", "1M"), "the nearest has madds = 45.4M"),
        (("sample", "mixnet", "--limit", "latency=8ms"), "latency cannot be computed from a spec"),
        (("show", "none.yaml"), "none.yaml: no such file"),
        (("contains", "mixnet", "mixnet_x"), "unknown network 'mixnet_x'"),
    ],
)
def test_mistakes(refused, words, message):
    assert message in refused("nas.space", *words)


def test_specs_are_not_overwritten(command, refused, tmp_path):
    words = ("nas.space", "sample", "mixnet", "--out", "specs")
    assert command(*words).returncode == 0
    assert "exists; choose another --out" in refused(*words)


def test_a_restriction_that_fixed_values_make_true_is_no_mistake(here, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "extends: mixnet\nname: mine\nrestrictions: [s4.channels <= s5.channels]\n"
        "stages: {s4: {channels: 120}, s5: {channels: 160}}\n",
        encoding="utf-8",
    )
    result = here("nas.space", "validate", "mine.yaml", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    # 4 x 4 widths less than in mixnet; see test_size.
    block = 104 * 3 * 2 * 2
    stages = (2 * 3 * (block + 3 * block**2)) ** 4 * 4 * 4
    expected = 3 * 3 * 2 * 3 * (block + 2 * block**2) * stages
    assert json.loads(result.stdout)["size"] == expected
    assert "mine: 1.67e+39 networks" in here("nas.space", "show", "mine.yaml").stdout


def test_a_derived_space_knows_its_networks(here, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "{name: r, stem: {channels: 8}, stages: {a: &s {stride: 2}, b: *s},"
        " derive: {depth: {range: [2, 6]}, w0: {choice: [8, 16]}, wa: {range: [4, 24]}, wm: 2}}",
        encoding="utf-8",
    )
    assert here("nas.space", "sample", "r.yaml", "-n", "2", "--out", ".").returncode == 0
    for name in ("r_0", "r_1"):
        result = here("nas.space", "contains", "r.yaml", f"{name}.yaml")
        assert (result.returncode, result.stdout) == (0, f"yes: '{name}' is a member of 'r'\n")
    result = here("nas.space", "contains", "r.yaml", "mobilenet_v2", "--json")
    assert result.returncode == 1
    assert "7 stages, but the space has 2" in json.loads(result.stdout)["reason"]


def test_every_mistake_of_a_document_is_a_line(here, tmp_path):
    (tmp_path / "s.yaml").write_text(
        "stem: {channels: 8}\nstages:\n  a: {channels: 0, kernels: 4}\n  b: {depht: 2}\n", "utf-8"
    )
    result = here("nas.space", "validate", "s.yaml")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert [line.split(": ")[2] for line in result.stderr.splitlines()] == [
        "stages.a.channels",
        "stages.a.kernels",
        "stages.b.depht",
        "stages.b",
    ]


@pytest.mark.parametrize(("values", "told"), [(8, "1, 2, 3, 4, 5, 6, 7, 8"), (9, ", ...")])
def test_eight_values_of_a_variable_are_shown(here, tmp_path, values, told):
    (tmp_path / "s.yaml").write_text(
        f"stem: {{channels: 8}}\nstages: {{a: {{channels: 8, depth: {{range: [1, {values}]}}}}}}\n"
    )
    text = here("nas.space", "show", "s.yaml").stdout
    (row,) = [line for line in text.splitlines() if "a.depth" in line]
    shown = "1, 2, 3, 4, 5, 6, 7, 8" + (", ..." if values == 9 else "")
    assert [cell.strip() for cell in row.replace("│", "|").split("|")][-2] == shown
    assert shown.endswith(told)


def test_a_space_around_a_network(command, tmp_path):
    load_network("resnet_18").save(tmp_path / "mine.yaml")
    shown = json.loads(command("nas.space", "show", "around:mine.yaml", "--json").stdout)
    assert shown["name"] == "around-mine"
    assert shown["size_is_exact"] is True
    valid = command("nas.space", "validate", "around:mine.yaml")
    assert f"around-mine is valid: 11 variables, {shown['size']:,} networks" in valid.stdout
    sampled = command("nas.space", "sample", "around:mine.yaml", "-n", "2", "--out", "specs")
    assert sampled.returncode == 0
    assert load_network(str(tmp_path / "specs" / "around-mine_1.yaml")).stages
    assert command("nas.space", "contains", "around:mine.yaml", "mine.yaml").returncode == 0
    assert command("nas.space", "contains", "around:mine.yaml", "resnet_34").returncode == 1
    for name, words in (
        ("around:theirs.yaml", "theirs.yaml: no such file"),
        ("around:resnet_19", "unknown network 'resnet_19'"),
        ("around:", "names no network"),
    ):
        refused = command("nas.space", "show", name)
        assert refused.returncode == 2
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr


def test_any_trial_of_a_run_is_had_as_a_spec(command, refused, tmp_path):
    space = load_space(str(write_space(tmp_path)))
    (tmp_path / "small.yaml").rename(tmp_path / "space.yaml")
    genotypes = [space.draw(random.Random(seed)) for seed in range(8)]
    rows = [
        {"number": n, **{f"{VARIABLE_PREFIX}{k}": v for k, v in space.to_params(genotype).items()}}
        for n, genotype in enumerate(genotypes)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "trials.csv", index=False)
    assert command("nas.space", "trial", ".", "5", "--out", "five.yaml").returncode == 0
    spec = load_network(str(tmp_path / "five.yaml"))
    assert spec.digest() == space.decode(genotypes[5]).digest()
    assert spec.name == "small_trial_5"
    assert "already exists" in refused("nas.space", "trial", ".", "4", "--out", "five.yaml")
    spec.replace(num_classes=7).save(tmp_path / "best.yaml")
    shown = command("nas.space", "trial", ".", "5").stdout
    assert shown == spec.replace(num_classes=7).to_yaml()
    data = json.loads(command("nas.space", "trial", ".", "5", "--json").stdout)
    assert data["num_classes"] == 7
    assert "trials.csv has no trial 8" in refused("nas.space", "trial", ".", "8")
    assert "no such file" in refused("nas.space", "trial", "nowhere", "0")
    (tmp_path / "trials.csv").unlink()
    assert "trials.csv cannot be read" in refused("nas.space", "trial", ".", "0")
