import dataclasses

import numpy as np
import pytest
import torch

from nas.data import load_data
from nas.data.images import MOST_VALIDATION, split_in_three, split_off_validation
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
    resized = digits.at(40)
    assert resized.images["test"].shape == (360, 3, 40, 40)
    assert resized.images["test"].dtype == torch.uint8
    assert digits.at(8) is digits


def test_statistics_are_of_the_training_part():
    mean, std = digits.statistics()
    pixels = digits.images["train"].float() / 255
    assert torch.allclose(mean, pixels.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(std, pixels.std((0, 2, 3)), atol=1e-4)
    flat = dataclasses.replace(
        digits, images={**digits.images, "train": torch.full_like(digits.images["train"], 7)}
    )
    assert (flat.statistics()[1] > 0).all()


def test_unknown_data_is_refused():
    with pytest.raises(MixnasError, match=r"unknown data set 'digit' \(did you mean 'digits'\?\)"):
        load_data("digit")
    with pytest.raises(MixnasError, match="there is no data at pets/cats"):
        load_data("pets/cats")


def test_splits_are_even_and_repeat():
    labels = np.repeat([0, 1, 2], [50, 100, 850])
    parts = split_in_three(labels)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1000))
    assert {part: len(index) for part, index in parts.items()} == {
        "train": 600, "validation": 200, "test": 200,
    }  # fmt: skip
    for index in parts.values():
        assert np.allclose(np.bincount(labels[index]) / len(index), [0.05, 0.1, 0.85], atol=0.006)
    again = split_in_three(labels)
    assert all((parts[part] == again[part]).all() for part in parts)
    assert (split_in_three(labels, seed=1)["test"] != parts["test"]).any()


def test_a_large_set_gives_few_of_its_images_to_validation():
    rest, taken = split_off_validation(np.arange(200_000) % 4)
    assert len(taken) == MOST_VALIDATION
    assert len(rest) == 200_000 - MOST_VALIDATION
    rest, taken = split_off_validation(np.arange(1_000) % 4)
    assert len(taken) == 200
