"""Python files are run by Python alone before they stay."""

import dataclasses
import runpy
import subprocess
import sys

import pytest
import torch

from nas.errors import MixnasError
from nas.export.parity import noise
from nas.export.writers.pytorch_file import run_pytorch
from nas.lowering import MERGE_ALL
from tests.export.exporting import MINI, agree, logits, trained_like, write
from tests.formats.test_metadata import METADATA


def test_a_file_gives_the_outputs_of_torch_without_this_package(tmp_path):
    model, images = trained_like(MINI), noise(MINI)
    metadata = dataclasses.replace(METADATA, classes=("a", "b"))
    told = write("pytorch", tmp_path / "m.py", model, MERGE_ALL, metadata, images=images)
    assert told["largest_relative_difference"] < 1e-5
    assert (told["checked_images"], told["same_class"]) == (8, 8)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.pt", "m.py", "m.py.json"]
    done = subprocess.run(
        [sys.executable, "-I", "m.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "(1, 10)\n"
    names = runpy.run_path(str(tmp_path / "m.py"))
    assert agree(logits(names["load"](), images[:3]), logits(model, images[:3]))
    assert names["CLASSES"] == ["a", "b"]
    assert names["PREPROCESSING"]["mean"] == list(METADATA.preprocessing.mean)
    state = torch.load(tmp_path / "m.pt", weights_only=True)
    assert state["stages.0.0.depthwise.conv.weight"].shape == (48, 1, 5, 5)  # lowered
    assert names["TRAINING"]["command"] == METADATA.command


def test_a_file_that_needs_this_package_is_refused(tmp_path):
    (tmp_path / "m.py").write_text("import nas")
    message = "the written Python file cannot be run: ModuleNotFoundError: import of nas halted"
    with pytest.raises(MixnasError, match=message):
        run_pytorch(tmp_path / "m.py", [torch.zeros(1, 3, 16, 16)])
