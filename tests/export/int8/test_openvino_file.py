import json

from nas.export.writers.openvino_file import run_openvino
from nas.imports import openvino_core
from tests.export.int8.checks import check_format, same_rows


def test_a_trained_network(tmp_path, instant):
    path, images = check_format("openvino-int8", tmp_path)
    same_rows(run_openvino(path), images)
    model = openvino_core().read_model(path)
    classes = json.loads(model.get_rt_info(["mixnas", "classes"]).astype(str))
    assert classes == [str(digit) for digit in range(10)]
    assert "FakeQuantize" in {op.get_type_name() for op in model.get_ops()}
