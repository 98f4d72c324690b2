"""Networks of darknet that are checked in OpenCV before they are written."""

import json

import numpy as np
import pytest

from nas.blocks import MBConv
from nas.errors import MixnasError
from nas.export.parity import noise
from nas.lowering import MERGE_ALL
from tests.export.exporting import MINI, agree, logits, trained_like, write
from tests.formats.test_metadata import METADATA

cv2 = pytest.importorskip("cv2")

SQUEEZED = MINI.replace(
    stages=((MBConv(channels=24, stride=2, kernels=(3, 5), expansion=3, se_ratio=0.25),),)
)


@pytest.mark.parametrize("choice", [None, MERGE_ALL])
def test_opencv_gives_the_outputs_of_torch_at_every_batch_size(tmp_path, choice):
    model, images = trained_like(SQUEEZED), noise(SQUEEZED)
    told = write("darknet", tmp_path / "m.cfg", model, choice, METADATA, images=images)
    assert told["largest_relative_difference"] < 1e-5
    assert (told["checked_images"], told["same_class"]) == (8, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.cfg", "m.cfg.json", "m.weights"]
    network = cv2.dnn.readNetFromDarknet(str(tmp_path / "m.cfg"), str(tmp_path / "m.weights"))
    for size in (1, 3, 8):
        network.setInput(images[:size].numpy())
        assert agree(np.array(network.forward())[:, :, 0, 0], logits(model, images[:size]))
    cfg = (tmp_path / "m.cfg").read_text()
    assert f"# classes: {json.dumps(METADATA.classes)}\n" in cfg
    assert f"# command: {METADATA.command}\n" in cfg


def test_bflops_are_told(tmp_path):
    told = write("darknet", tmp_path / "m.cfg", trained_like(MINI))
    assert told["bflops"] == 0.000267008
    assert json.loads((tmp_path / "m.cfg.json").read_text())["bflops"] == 0.000267008


def test_a_network_without_an_equal_is_not_written(tmp_path):
    spec = MINI.replace(stages=((MBConv(channels=24, activation="gelu"),),))
    with pytest.raises(
        MixnasError, match=r"^darknet cannot write stages\.0\.0\.expand\.conv: it h"
    ):
        write("darknet", tmp_path / "m.cfg", trained_like(spec))
    assert list(tmp_path.iterdir()) == []
