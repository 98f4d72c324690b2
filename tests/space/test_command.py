import json

import pytest

from nas.spec import load_network


def test_list_and_show(command):
    names = [row["name"] for row in json.loads(command("nas.space", "list", "--json").stdout)]
    assert "mixnet" in names
    shown = json.loads(command("nas.space", "show", "mixnet", "--json").stdout)
    assert shown["size_is_exact"] is True
    assert len(shown["variables"]) == 61
    kernels = next(v for v in shown["variables"] if v["name"] == "s5.rest.kernels")
    assert "3.5.7.9.11" in kernels["values"]
    assert "s5.rest.kernels" in command("nas.space", "show", "mixnet").stdout


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
