"""The ONNX graph against torch, on references, random members and every kind of block."""

import json
import random

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.errors import MixnasError
from nas.export import onnx_file
from nas.export.onnx_file import export_onnx, largest_difference
from nas.formats.onnx import to_onnx
from nas.space import load_space
from nas.spec import Input, NetworkSpec, load_network, reference_names
from nas.torch_model import Network, build
from tests.test_spec import specs


def trained_like(spec: NetworkSpec) -> Network:
    """A network whose every number is drawn, BN statistics too."""
    model = build(spec, seed=1).eval()
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, torch.nn.Linear) or getattr(module, "bias", None) is not None:
            torch.nn.init.normal_(module.bias, 0, 0.1)
    return model


def difference(spec: NetworkSpec) -> float:
    model = trained_like(spec)
    weights = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    graph = to_onnx(spec.tree(), spec.in_shape, weights)
    return largest_difference(model, graph.SerializeToString())


@pytest.mark.parametrize("name", reference_names())
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_references(name, padding):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=65))
    assert difference(spec) < 1e-5


@given(specs)
@settings(max_examples=40)
def test_every_kind_of_block(spec):
    assert difference(spec) < 1e-4


@given(st.integers(0, 10**9), st.sampled_from(["symmetric", "same"]))
@settings(max_examples=10)
def test_random_members_of_mixnet(seed, padding):
    space = load_space("mixnet")
    spec = space.decode(space.draw(random.Random(seed)))
    spec = spec.replace(padding=padding, num_classes=10, input=Input(resolution=40 + seed % 25))
    assert difference(spec) < 1e-4


def test_the_batch_size_is_free(tmp_path):
    spec = load_network("mixnet_s").replace(input=Input(resolution=32))
    export_onnx(build(spec, 0), tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    images = np.zeros((3, 3, 32, 32), dtype=np.float32)
    assert session.run(None, {"images": images})[0].shape == (3, 1000)


def test_a_difference_is_refused_and_nothing_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "largest_difference", lambda model, graph: 0.5)
    spec = load_network("mixnet_s").replace(input=Input(resolution=32))
    with pytest.raises(MixnasError, match=r"differ by 5.0e-01 .* nothing was written"):
        export_onnx(build(spec, 0), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_command(command, tmp_path):
    load_network("mixnet_s").save(tmp_path / "best.yaml")
    result = command("nas.export", "best.yaml", "--format", "onnx")
    assert result.returncode == 0, result.stderr
    assert "best.onnx: outputs within" in result.stdout
    assert "the weights are random" in result.stderr
    onnx.checker.check_model(onnx.load(tmp_path / "best.onnx"))


def test_the_deployed_form_is_written(command, refused, tmp_path):
    result = command("nas.export", "mixnet_s", "--lowered", "--out", "low.onnx", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["lowered"] is True
    kinds = {node.op_type for node in onnx.load(tmp_path / "low.onnx").graph.node}
    assert "Split" not in kinds
    assert "BatchNormalization" not in kinds
    told = refused("nas.export", "mixnet_s", "--device", "onnxruntime:cpu", "--out", "b.onnx")
    assert "give --lowered with it" in told


def test_command_refuses(refused, tmp_path):
    assert "unknown format 'onx'" in refused("nas.export", "mixnet_s", "--format", "onx")
    (tmp_path / "mixnet_s.onnx").write_text("mine")
    assert "exists; choose another --out" in refused("nas.export", "mixnet_s")
    assert (tmp_path / "mixnet_s.onnx").read_text() == "mine"
    assert "is no folder" in refused("nas.export", "mixnet_s", "--out", "a/b.onnx")
    words = ("nas.export", "mixnet_s", "--out", "b.onnx", "--weights", "w.safetensors")
    assert "w.safetensors: no such file" in refused(*words)
