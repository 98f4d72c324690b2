import pytest
import torch
from safetensors.torch import save_file

from nas.errors import MixnasError
from nas.spec import load_network
from nas.torch_model import build, load_weights, read_weights
from tests.networks import TINY


def test_weights_are_read_from_safetensors(tmp_path):
    spec = load_network("mixnet_s").replace(num_classes=10)
    one, two = build(spec, 1), build(spec, 2)
    save_file(one.state_dict(), tmp_path / "w.safetensors")
    load_weights(two, tmp_path / "w.safetensors")
    assert torch.equal(one.stem.conv.weight, two.stem.conv.weight)
    with pytest.raises(MixnasError, match="no such file"):
        load_weights(two, tmp_path / "none.safetensors")
    with pytest.raises(MixnasError, match="belong to another network"):
        load_weights(build(load_network("mixnet_s"), 1), tmp_path / "w.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(MixnasError, match="not a safetensors file"):
        load_weights(two, tmp_path / "bad.safetensors")


def test_tensors_are_read_by_name(tmp_path):
    save_file({"a": torch.arange(3.0), "b.c": torch.ones(1)}, tmp_path / "w.safetensors")
    tensors = read_weights(tmp_path / "w.safetensors")
    assert sorted(tensors) == ["a", "b.c"]
    assert tensors["a"].tolist() == [0, 1, 2]


def test_the_first_difference_is_named_and_the_model_kept(tmp_path):
    model = build(TINY, 0)
    weights = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for change in ({"classifier.bias": torch.zeros(3)}, {"classifier.extra": torch.zeros(3)}):
        save_file(weights | change, tmp_path / "w.safetensors")
        with pytest.raises(MixnasError, match=rf"first difference: '{next(iter(change))}'"):
            load_weights(model, tmp_path / "w.safetensors")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
