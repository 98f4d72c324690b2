import numpy as np

from nas.ir import BatchNorm, walk
from nas.lowering import MERGE_ALL
from nas.torch_model import weights_of
from tests.export.exporting import MINI, export_of, trained_like
from tests.formats.test_metadata import METADATA

MODEL = trained_like(MINI)


def norms(tree):
    return [layer for layer in walk(tree, MINI.in_shape) if isinstance(layer.leaf, BatchNorm)]


def test_a_network_is_exported_as_it_was_trained_or_lowered():
    tree, weights = export_of(MODEL).form
    assert len(norms(tree)) == 5  # of the stem, the block's three convolutions and the head
    assert weights.keys() == weights_of(MODEL).keys()
    tree, weights = export_of(MODEL, MERGE_ALL).form
    assert norms(tree) == []
    assert weights["stages.0.0.depthwise.conv.weight"].shape == (48, 1, 5, 5)


def test_files_have_what_the_weights_were_trained_as():
    assert export_of(MODEL).properties == {}
    assert export_of(MODEL, metadata=METADATA).properties == METADATA.to_properties()


def test_outputs_are_compared_on_the_images_given_or_on_noise():
    assert export_of(MODEL).inputs.shape == (8, 3, 16, 16)
    images = export_of(MODEL).inputs[:2]
    assert np.array_equal(export_of(MODEL, images=images).inputs, images)
