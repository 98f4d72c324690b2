import numpy as np

from nas.latency.runtimes.base import noise


def test_images_of_noise_are_always_the_same():
    images = noise(2, (3, 8, 5))
    assert (images.shape, images.dtype) == ((2, 3, 8, 5), np.float32)
    assert (images == noise(2, (3, 8, 5))).all()
    assert not (images[0] == images[1]).any()
