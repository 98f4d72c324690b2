"""Networks of ncnn that are checked before they are written."""

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.export.parity import noise
from nas.export.writers.ncnn_file import run_ncnn
from nas.lowering import MERGE_ALL
from tests.export.exporting import MINI, agree, logits, trained_like, write

ncnn = pytest.importorskip("ncnn")


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_ncnn_gives_the_outputs_of_torch(tmp_path, choice):
    model, images = trained_like(MINI), noise(MINI)
    told = write("ncnn", tmp_path / "m.ncnn.param", model, choice, images=images)
    assert told["largest_relative_difference"] < 1e-5
    assert (told["checked_images"], told["same_class"]) == (8, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.ncnn.bin",
        "m.ncnn.param",
        "m.ncnn.param.json",
    ]
    net = ncnn.Net()
    assert net.load_param(str(tmp_path / "m.ncnn.param")) == 0
    assert net.load_model(str(tmp_path / "m.ncnn.bin")) == 0
    extractor = net.create_extractor()
    extractor.input("images", ncnn.Mat(images[0].numpy()).clone())
    _, found = extractor.extract("logits")
    assert agree(np.array(found), logits(model, images[:1])[0], 0.01)  # with its usual 16 bits


def test_a_file_that_ncnn_cannot_read_is_refused(tmp_path):
    (tmp_path / "m.ncnn.param").write_text("7767517\n1 1\nNothing a 0 1 a\n")
    with pytest.raises(MixnasError, match="ncnn cannot read the written network"):
        run_ncnn(tmp_path / "m.ncnn.param", (3, 8, 8))
