import json

from nas.cost import count
from nas.scale import EFFICIENTNET
from nas.spec import load_network


def test_the_command_prints_the_cost_before_and_after(command):
    result = command("nas.scale", "efficientnet_b0", "--phi", "1", "--resolution", "224")
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    assert "published factors of EfficientNet-B1, which were set by hand" in text
    assert "channels to multiples of 8, resolution to multiples of 4" in text
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in result.stdout.splitlines()
        if line.startswith("│")
    ]
    costs = ["224", "16", "5,288,548", "385,814,752", "1.000", "6.02MB"]
    assert rows[0] == ["efficientnet_b0", "1", "1", *costs]
    costs = ["224", "23", "7,794,184", "569,651,680", "1.476", "6.02MB"]
    assert rows[1] == ["efficientnet_b0_phi1_r224", "1.1", "1", *costs]


def test_json_tells_everything(here):
    words = ("nas.scale", "mixnet_m", "--width", "1.3", "--head", "keep", "--json")
    data = json.loads(here(*words).stdout)
    assert data["name"] == "mixnet_m_w1.3"
    assert (data["params"], data["madds"]) == (7_329_252, 555_251_792)
    assert data["base"]["madds"] == 339_172_672
    assert data["factors"] == {"depth": 1.0, "width": 1.3, "resolution": 1.0}
    assert data["rules"]["head"] == "keep"
    assert data["spec"]["stages"] == load_network("mixnet_l").to_dict()["stages"]
    assert "same_as" not in data
    two = json.loads(here("nas.scale", "mixnet_s", "mixnet_m", "--factor", "2", "--json").stdout)
    assert [row["name"] for row in two] == ["mixnet_s_dWr2", "mixnet_m_dWr2"]


def test_factors_that_rounding_undoes_are_told(here):
    found = here("nas.scale", "rexnet_100", "--depth", "0.9")
    assert (
        "rexnet_100_d0.9 has the blocks of rexnet_100: rounding undid the factors" in found.stderr
    )
    assert "rounding undid" not in here("nas.scale", "mixnet_m", "--width", "1.3").stderr
    assert "rounding undid" not in here("nas.scale", "mixnet_m", "--phi", "0").stderr


def test_every_published_network_of_the_table_is_reached(here):
    for phi, (_, _, pixels) in enumerate(EFFICIENTNET):
        words = ("nas.scale", "efficientnet_b0", "--phi", str(phi), "--json")
        data = json.loads(here(*words).stdout)
        assert data["resolution"] == pixels
        assert "published" in data["method"]


def test_the_scaled_network_is_written(here, tmp_path):
    words = ("nas.scale", "mobilenet_v2", "--width", "0.5", "--out")
    assert here(*words, "half.yaml", "--json").returncode == 0
    half = load_network(str(tmp_path / "half.yaml"))
    assert (half.name, count(half).params) == ("half", 1_968_680)
    assert here(*words, "specs").returncode == 0
    assert load_network(str(tmp_path / "specs" / "mobilenet_v2_w0.5.yaml")) == half


def test_the_grid_is_listed_and_written(here, tmp_path):
    words = ("nas.scale", "mobilenet_v2", "--grid", "--step", "0.1")
    rows = json.loads(here(*words, "--out", "grid", "--json").stdout)
    assert all(1.9 <= row["product"] <= 2.1 for row in rows)
    different = {row["name"]: row for row in rows if row["same_as"] is None}
    assert 1 < len(different) < len(rows)
    assert all(row["same_as"] in different for row in rows if row["same_as"] is not None)
    written = {path.stem: load_network(str(path)) for path in (tmp_path / "grid").iterdir()}
    assert written.keys() == different.keys()
    for name, spec in written.items():
        assert count(spec).madds == different[name]["madds"]
    text = " ".join(here(*words).stdout.split())
    assert f"{len(rows)} triples, {len(different)} different networks" in text


def test_files_are_not_overwritten(here, refused, tmp_path):
    words = ("nas.scale", "mobilenet_v2", "--width", "0.5", "--out", "half.yaml")
    assert here(*words).returncode == 0
    assert refused(*words) == "half.yaml already exists; choose another --out"
    both = ("nas.scale", "mixnet_s", "mixnet_m", "--phi", "1", "--out", "both.yaml")
    assert "--out both.yaml is one file for 2 networks; give a folder" in refused(*both)
    assert "two networks would be specs/half_phi1.yaml" in refused(
        *("nas.scale", "half.yaml", "./half.yaml", "--phi", "1", "--out", "specs")
    )
    assert [path.name for path in tmp_path.iterdir()] == ["half.yaml"]


def test_a_name_is_no_path(here, refused, tmp_path):
    spec = load_network("mobilenet_v2").replace(name="../evil")
    spec.save(tmp_path / "own.yaml")
    words = ("nas.scale", "own.yaml", "--phi", "1", "--out")
    assert "'../evil_phi1.yaml' cannot be the name of a file" in refused(*words, "specs")
    assert here(*words, "kind.yaml").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kind.yaml", "own.yaml"]


def test_mistakes_are_told_in_one_line(refused):
    assert "nothing to scale by" in refused("nas.scale", "mixnet_m")
    assert "did you mean 'mixnet_m'" in refused("nas.scale", "mixnet_mm", "--phi", "1")
    assert "a width factor of 0 is not possible" in refused("nas.scale", "mixnet_m", "--width", "0")
    assert "resolution: input should be greater than or equal to 8; found 4" in refused(
        "nas.scale", "mixnet_m", "--resolution", "4"
    )
    assert "unknown strategy 'all'" in refused(
        "nas.scale", "mixnet_m", "--factor", "2", "--strategy", "all"
    )
