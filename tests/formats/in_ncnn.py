"""Networks that are written as models and run in ncnn."""

import tempfile
from functools import partial

import numpy as np
import pytest

from nas.formats.ncnn import to_ncnn
from tests.formats import outputs
from tests.formats.random_weights import random_weights

ncnn = pytest.importorskip("ncnn")


def in_ncnn(tree, shape, weights, images):
    """Return the outputs of a tree that is written as a model and run in ncnn."""
    model = to_ncnn(tree, shape, weights)
    net = ncnn.Net()
    net.opt.num_threads = 1
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic"):
        setattr(net.opt, f"use_{option}", False)
    assert net.load_param_mem(model.param) == 0
    with tempfile.NamedTemporaryFile() as file:
        file.write(model.weights)
        file.flush()
        assert net.load_model(file.name) == 0
    assert (net.input_names(), net.output_names()) == (["images"], ["logits"])
    found = []
    for image in images:
        extractor = net.create_extractor()
        extractor.input("images", ncnn.Mat(image).clone())
        status, logits = extractor.extract("logits")
        assert status == 0
        found.append(np.array(logits.numpy()))
    return np.stack(found)


difference = partial(outputs.difference, in_ncnn)
of_spec = partial(outputs.of_spec, in_ncnn)


def layers(tree, shape):
    """Return the types of a model's layers after the input, and the lines of its text."""
    lines = to_ncnn(tree, shape, random_weights(tree)).param.splitlines()
    return [line.split()[0] for line in lines[3:]], lines
