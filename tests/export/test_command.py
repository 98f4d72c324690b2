"""The command that exports networks."""

import json

import onnx

from nas.spec import load_network


def test_a_spec_file_is_exported_next_to_itself(command, tmp_path):
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
    error = refused("nas.export", "mixnet_s", "--device", "onnxruntime:cpu", "--out", "b.onnx")
    assert "--device onnxruntime:cpu only has an effect with --lowered" in error


def test_mistakes_are_refused(refused, tmp_path):
    assert "unknown format 'onx'" in refused("nas.export", "mixnet_s", "--format", "onx")
    (tmp_path / "mixnet_s.onnx").write_text("mine")
    assert "already exists; choose another --out" in refused("nas.export", "mixnet_s")
    assert (tmp_path / "mixnet_s.onnx").read_text() == "mine"
    assert "folder a does not exist" in refused("nas.export", "mixnet_s", "--out", "a/b.onnx")
    words = ("nas.export", "mixnet_s", "--out", "b.onnx", "--weights", "w.safetensors")
    assert "w.safetensors: no such file" in refused(*words)
