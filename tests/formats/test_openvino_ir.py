"""Models of OpenVINO, read again from their files."""

import numpy as np
import openvino
import pytest

from nas.formats.onnx import to_onnx
from nas.formats.openvino_ir import quantize, save, to_openvino
from nas.imports import openvino_core
from nas.latency.evaluation import reference_outputs
from nas.latency.parity import difference
from nas.latency.runtimes.base import noise
from nas.latency.weights import realistic_weights
from tests.formats import every_node
from tests.formats.test_onnx_int8 import outputs as outputs_of_onnx
from tests.formats.test_tflite_int8 import PROPERTIES, SHAPE, TREE, images

WEIGHTS = realistic_weights(TREE)


def model():
    return to_openvino(TREE, SHAPE, WEIGHTS, "small", PROPERTIES)


def outputs(opened, given):
    compiled = openvino_core().compile_model(opened, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(given)[0]


@pytest.fixture(scope="module")
def quantized():
    return quantize(model(), SHAPE, images(8, seed=0))


def test_a_file_computes_what_onnx_computes(tmp_path):
    save(model(), tmp_path / "small.xml")
    assert (tmp_path / "small.bin").stat().st_size >= 4 * sum(w.size for w in WEIGHTS.values())
    opened = openvino_core().read_model(tmp_path / "small.xml")
    expected = outputs_of_onnx(to_onnx(TREE, SHAPE, WEIGHTS), images(3))
    assert np.allclose(outputs(opened, images(3)), expected, atol=1e-5)
    assert opened.input().any_name == "images"
    assert opened.output().any_name == "logits"
    assert opened.get_friendly_name() == "small"


def test_metadata_is_in_the_file(tmp_path, quantized):
    for name, written in (("plain", model()), ("int8", quantized)):
        save(written, tmp_path / f"{name}.xml")
        opened = openvino_core().read_model(tmp_path / f"{name}.xml")
        found = {key: opened.get_rt_info(["mixnas", key]).astype(str) for key in PROPERTIES}
        assert found == PROPERTIES


def test_outputs_of_int8_are_close_but_not_equal(quantized):
    given = images(8, seed=0)
    expected, actual = outputs(model(), given), outputs(quantized, given)
    assert 0 < np.abs(actual - expected).max() / np.abs(expected).max() < 0.06


def test_weights_are_int8_with_one_scale_per_channel(quantized, tmp_path):
    save(quantized, tmp_path / "int8.xml")
    opened = openvino_core().read_model(tmp_path / "int8.xml")
    constants = [op for op in opened.get_ops() if op.get_type_name() == "Constant"]
    (kernel,) = (op for op in constants if list(op.shape) == [8, 3, 3, 3])
    assert kernel.get_element_type() == openvino.Type.i8
    (convert,) = (target.get_node() for target in kernel.output(0).get_target_inputs())
    (scaled,) = (target.get_node() for target in convert.output(0).get_target_inputs())
    assert scaled.get_type_name() == "Multiply"
    assert list(scaled.input_value(1).shape) == [8, 1, 1, 1]


def test_rows_do_not_depend_on_the_batch(quantized):
    given = images(5)
    rows = np.concatenate([outputs(quantized, image[None]) for image in given])
    assert np.allclose(outputs(quantized, given), rows, atol=1e-6)


def test_quantizing_prints_nothing(capfd):
    quantize(model(), SHAPE)
    assert capfd.readouterr() == ("", "")


def test_every_node_is_read():
    weights = realistic_weights(every_node.TREE)
    opened = to_openvino(every_node.TREE, every_node.SHAPE, weights)
    for batch in (1, 3):
        given = noise(batch, every_node.SHAPE)
        expected = reference_outputs(every_node.TREE, weights, given)
        assert difference(outputs(opened, given), expected) < 1e-5
