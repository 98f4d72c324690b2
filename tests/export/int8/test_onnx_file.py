import json

import onnx

from nas.export.writers.onnx_file import run_onnx
from tests.export.int8.checks import check_format, check_refusal, same_rows
from tests.export.int8.training import fragile, write_run


def test_a_trained_network(tmp_path, instant):
    path, images = check_format("onnx-int8", tmp_path)
    same_rows(run_onnx(path), images)
    model = onnx.load(path)
    assert "QuantizeLinear" in {node.op_type for node in model.graph.node}
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(properties["classes"]) == [str(digit) for digit in range(10)]
    assert json.loads(properties["preprocessing"])["resolution"] == 16


def test_a_network_with_one_channel_of_huge_values_is_refused(tmp_path, instant):
    run = write_run(tmp_path / "run", fragile())
    check_refusal("onnx-int8", run, tmp_path / "net.onnx")
