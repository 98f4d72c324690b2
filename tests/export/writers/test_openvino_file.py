import pytest

from nas.export.parity import noise
from nas.export.writers.openvino_file import run_openvino
from nas.imports import openvino_core
from nas.lowering import MERGE_ALL
from tests.export.exporting import MINI, agree, logits, trained_like, write
from tests.formats.test_metadata import METADATA


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_files_compute_what_torch_computes(tmp_path, choice):
    model = trained_like(MINI)
    told = write("openvino", tmp_path / "net.xml", model, choice, METADATA)
    assert told["largest_relative_difference"] < 1e-5
    assert {file.name for file in tmp_path.iterdir()} == {"net.xml", "net.bin", "net.xml.json"}
    images = noise(MINI)
    assert agree(run_openvino(tmp_path / "net.xml")(images.numpy()), logits(model, images))
    opened = openvino_core().read_model(tmp_path / "net.xml")
    assert opened.get_rt_info(["mixnas", "classes"]).astype(str) == '["bee", "ant"]'
