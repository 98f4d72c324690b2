"""What holds for every format with int8."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from nas.errors import MixnasError
from nas.export.base import Export
from nas.export.int8.request import request_for
from nas.export.registry import find_format
from nas.export.trained import find_trained
from nas.export.writing import write_export
from nas.lowering import MERGE_ALL
from nas.torch_model import build, load_weights
from tests.export.int8.training import trained, write_run


def export(name, folder, path, choice=None, scale=1.0):
    """Export a training, calibrated on images times a factor; return what is told of it."""
    found = find_trained(str(folder))
    model = build(found.spec, 0)
    load_weights(model, found.weights)
    request = request_for(found, count=64)
    request = dataclasses.replace(request, calibration=scale * request.calibration)
    images = torch.from_numpy(next(request.validation.batches())[0][:8])
    prepared = Export(model, found, choice, images=images, int8=request)
    return write_export(prepared, find_format(name), path, {})


def check_format(name, tmp_path):
    """Check a format; return the path of a file, and the images that it was compared on."""
    ending = find_format(name).endings[0]
    run = write_run(tmp_path / "run")
    path = tmp_path / f"net{ending}"
    for choice in (None, MERGE_ALL):
        facts = export(name, run, path, choice)
        found = facts["int8"]["accuracy"]
        assert found["images"] == 360
        assert found["fp32"] == pytest.approx(trained()[1], abs=1 / 360)
        assert abs(found["loss_points"]) < 3
        assert found["same_class"] > 0.9
        assert 0 < facts["largest_relative_difference"] < 0.1  # at batch sizes 1, 3 and 8
        assert json.loads((tmp_path / f"net{ending}.json").read_text())["int8"] == json.loads(
            json.dumps(facts["int8"])
        )
    before = {file.name for file in tmp_path.iterdir()}
    check_refusal(name, run, tmp_path / f"ruined{ending}", scale=0.01)
    assert {file.name for file in tmp_path.iterdir()} == before
    images = next(request_for(find_trained(str(run)), count=2).validation.batches())[0][:5]
    return path, images


def check_refusal(name, run, path, scale=1.0):
    """Check that a network is refused, since int8 loses too much."""
    with pytest.raises(MixnasError, match=r"int8 loses \d+.\d percentage points of accuracy"):
        export(name, run, path, scale=scale)


def same_rows(run, images):
    """Check that the outputs of an image are the same in any batch."""
    rows = np.concatenate([run(image[None]) for image in images])
    assert np.allclose(run(images), rows, atol=1e-6)
