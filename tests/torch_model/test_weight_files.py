import pytest
import torch
from safetensors.torch import save, save_file

from nas.errors import MixnasError
from nas.spec import load_network
from nas.torch_model import build, load_weights, read_metadata, read_trained, read_weights
from tests.formats.test_metadata import METADATA
from tests.fuzzing import mutants, outcomes
from tests.networks import TINY


def test_weights_are_read_from_safetensors(tmp_path):
    spec = load_network("mixnet_s").replace(num_classes=10)
    one, two = build(spec, 1), build(spec, 2)
    save_file(one.state_dict(), tmp_path / "w.safetensors")
    load_weights(two, read_trained(tmp_path / "w.safetensors"))
    assert torch.equal(one.stem.conv.weight, two.stem.conv.weight)
    with pytest.raises(MixnasError, match="no such file"):
        load_weights(two, read_trained(tmp_path / "none.safetensors"))
    with pytest.raises(MixnasError, match="belong to another network"):
        load_weights(build(load_network("mixnet_s"), 1), read_trained(tmp_path / "w.safetensors"))
    (tmp_path / "bad.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(MixnasError, match="not a safetensors file"):
        load_weights(two, read_trained(tmp_path / "bad.safetensors"))


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
            load_weights(model, read_trained(tmp_path / "w.safetensors"))
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_whatever_is_in_a_file_it_is_read_or_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    whole = save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(4, dtype=torch.int64)})
    head = 8 + int.from_bytes(whole[:8], "little")

    def read(raw):
        path.write_bytes(raw)
        for tensor in read_weights(path).values():
            assert tensor.nbytes <= len(raw)

    heads = [raw + whole[head:] for raw in mutants(whole[:head], 100)]
    counts = outcomes(read, [whole, *heads, *mutants(whole, 100)])
    assert counts[0] >= 1
    assert counts[1] > 100


def test_metadata_are_read_without_the_tensors(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(1)}, path, METADATA.to_properties())
    assert read_metadata(path) == METADATA
    save_file({"a": torch.ones(1)}, path)
    assert read_metadata(path) is None
    with pytest.raises(MixnasError, match="no such file"):
        read_metadata(tmp_path / "none.safetensors")
    path.write_bytes(b"no tensors here")
    with pytest.raises(MixnasError, match="not a safetensors file"):
        read_metadata(path)
