import json

from experiments.benchmarks.ranking_mixnets import members
from experiments.mixnet_table.networks import CLASSES, references
from nas.space import load_space


def test_networks_that_the_space_does_not_hold_are_left_out(tmp_path):
    rows = [{"spec": spec.to_dict(), "accuracies": [0.5, 0.6]} for spec in references()]
    (tmp_path / "table.json").write_text(json.dumps({"networks": rows}))
    found = members(tmp_path / "table.json", load_space("mixnet").with_classes(CLASSES))
    assert [network.spec.name for network in found] == ["mixnet_s", "mixnet_m"]
