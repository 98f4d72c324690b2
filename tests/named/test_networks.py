import pytest

from nas.errors import DocumentError, MixnasError
from nas.named import TimmNetwork, network_from_yaml, open_network
from nas.spec import load_network
from tests.networks import TINY


def test_specs_are_opened_by_name_and_path(tmp_path):
    TINY.save(tmp_path / "tiny.yaml")
    assert open_network(str(tmp_path / "tiny.yaml")) == TINY
    assert open_network("mixnet_s", 7, 64) == load_network("mixnet_s").at(64).replace(num_classes=7)


def test_networks_of_timm_are_opened_by_their_prefix(stand_in_for_timm):
    assert open_network("timm:resnet18", 7, 64) == TimmNetwork("timm:resnet18", 7, 64)
    assert open_network("timm:resnet18") == TimmNetwork("timm:resnet18", 1000, 160)


def test_unknown_names_are_refused(stand_in_for_timm):
    with pytest.raises(MixnasError, match="timm has no network 'resnt'; similar names: resnet18"):
        open_network("timm:resnt")
    with pytest.raises(DocumentError, match="unknown network 'mixnet_ss'"):
        open_network("mixnet_ss")


def test_where_a_spec_is_needed_timm_is_refused():
    with pytest.raises(DocumentError, match="timm:resnet18 is a network of timm and has no spec"):
        load_network("timm:resnet18")


@pytest.mark.parametrize("network", [TINY, TimmNetwork("timm:resnet18", 7, 64)])
def test_networks_can_be_written_and_read_again(network):
    assert network_from_yaml(network.to_yaml()) == network


def test_damaged_text_is_refused():
    with pytest.raises(DocumentError, match="<network>"):
        network_from_yaml("timm: [")
