import json

import pandas as pd
import pytest

from experiments.mixnet_table import __main__ as command
from experiments.mixnet_table.__main__ import main
from nas.accuracy.table import read_networks
from nas.spec import NetworkSpec, load_network


@pytest.fixture
def small(monkeypatch):
    """Networks that are trained within a second or two."""
    spec = load_network("mobilenet_v2_0_5").replace(num_classes=10)
    stages = spec.stages
    made = [
        NetworkSpec.replace(spec, name=f"mixnet-{number:03}", stages=stages[: 2 + number])
        for number in range(3)
    ]
    monkeypatch.setattr(command, "references", lambda: made[:1])
    monkeypatch.setattr(command, "spread", lambda number, given, seed: made[1 : 1 + number])


def test_networks_are_trained_on_images_and_a_second_command_continues(small, tmp_path, capsys):
    words = ["--data", "digits", "--out", str(tmp_path / "table"), "--images", "192"]
    main([*words, "--networks", "2", "--seeds", "1"])
    assert "3 of 3: mixnet-002, seed 0, accuracy " in capsys.readouterr().out
    main([*words, "--seeds", "2"])
    said = capsys.readouterr().out
    assert "3 of 6 trainings are done" in said
    assert '"networks_with_both_seeds": 3' in said
    rows = pd.read_csv(tmp_path / "table" / "table.csv")
    assert len(rows) == 6
    assert rows["test_accuracy"].between(0, 1).all()
    assert {"test_loss", "validation_accuracy", "seconds", "core_seconds"} <= set(rows)
    found = read_networks(tmp_path / "table" / "table.json")
    assert [len(network.accuracies) for network in found] == [2, 2, 2]
    document = json.loads((tmp_path / "table" / "table.json").read_text())
    assert document["training"].startswith("short:images=192,width=1,")
    refused = {
        ("--networks", "5"): "has 2 networks, not 5",
        ("--images", "64"): "images was 192, and is 64 now",
    }
    for wrong, said in refused.items():
        with pytest.raises(SystemExit) as end:
            main([*words, *wrong])
        assert end.value.code == 2
        assert said in capsys.readouterr().err
