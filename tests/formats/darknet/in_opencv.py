"""Networks that are written for darknet and read by OpenCV."""

from functools import partial

import numpy as np
import pytest

from nas.formats.darknet import to_darknet
from nas.ir import Flatten, Linear, end_shape, walk
from tests.formats import outputs

cv2 = pytest.importorskip("cv2")


def in_opencv(tree, shape, weights, images):
    """Return the outputs of a tree that is written for darknet and run in OpenCV."""
    model = to_darknet(tree, shape, weights)
    buffers = [np.frombuffer(data, np.uint8) for data in (model.cfg.encode(), model.weights)]
    network = cv2.dnn.readNetFromDarknet(*buffers)
    network.setInput(images)
    end = end_shape(tree, shape)
    # darknet has no rows of features, only images of one pixel.
    flat = any(isinstance(layer.leaf, Flatten | Linear) for layer in walk(tree, shape))
    return np.array(network.forward()).reshape(len(images), *(end[:1] if flat else end))


difference = partial(outputs.difference, in_opencv)
of_spec = partial(outputs.of_spec, in_opencv)
