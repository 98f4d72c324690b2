import pytest
import torch

from nas.data import load_data
from nas.errors import MixnasError

digits = load_data("digits")


def test_digits_are_split_once_and_for_all():
    sizes = {part: len(labels) for part, labels in digits.labels.items()}
    assert sizes == {"train": 1077, "validation": 360, "test": 360}
    # Changing this makes accuracies of older runs incomparable: say so in the changelog.
    assert digits.fingerprint() == load_data("digits").fingerprint() == "e5f8c33fd2d9f787"


def test_every_part_has_every_class_in_the_same_share():
    for labels in digits.labels.values():
        shares = torch.bincount(labels, minlength=10) / len(labels)
        assert (shares - 0.1).abs().max() < 0.012


def test_images_are_bytes_in_three_channels():
    images = digits.images["train"]
    assert images.dtype == torch.uint8
    assert images.shape == (1077, 3, 8, 8)
    assert images.max() == 255
    resized = digits.resized(40)
    assert resized.images["test"].shape == (360, 3, 40, 40)
    assert resized.images["test"].dtype == torch.uint8
    assert digits.resized(8) is digits


def test_statistics_are_of_the_training_part():
    mean, std = digits.statistics()
    pixels = digits.images["train"].float() / 255
    assert torch.allclose(mean, pixels.mean((0, 2, 3)))
    assert (std > 0.2).all()


def test_unknown_data_is_refused():
    with pytest.raises(MixnasError, match=r"unknown data set 'digit' \(did you mean 'digits'\?\)"):
        load_data("digit")
