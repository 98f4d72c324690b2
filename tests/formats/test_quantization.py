import logging
import sys
import warnings

import numpy as np
import pytest

from nas.formats.quantization import batches, calibration_images, quietly

SHAPE = (3, 4, 4)


def test_noise_stands_in_for_images():
    noise = calibration_images(None, SHAPE)
    assert (noise.shape, noise.dtype) == ((4, 3, 4, 4), np.float32)
    assert np.array_equal(noise, calibration_images(None, SHAPE))
    assert abs(noise.std() - 1) < 0.1


def test_images_are_taken_as_they_are():
    images = np.arange(96, dtype=np.float64).reshape(2, *SHAPE)
    taken = calibration_images(images, SHAPE)
    assert taken.dtype == np.float32
    assert np.array_equal(taken, images)
    for wrong in (images[:0], images[:, :, :3]):
        with pytest.raises(ValueError, match="calibration needs images of shape"):
            calibration_images(wrong, SHAPE)


def test_batches_are_small():
    assert [len(batch) for batch in batches(np.zeros((35, 1)))] == [16, 16, 3]


def test_quantizers_are_quiet_and_the_log_level_is_restored(capsys):
    logger = logging.getLogger("loud")
    logger.setLevel(logging.INFO)
    with quietly("loud"):
        print("working")
        print("working", file=sys.stderr)
        warnings.warn("slow", stacklevel=1)  # an error outside
        assert logger.level == logging.ERROR
    assert logger.level == logging.INFO
    assert capsys.readouterr() == ("", "")
