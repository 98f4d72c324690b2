import dataclasses

import numpy as np
import torch

from nas.data import load_data
from nas.data.images import MAX_VALIDATION, ImageData, split_in_three, split_off_validation

digits = load_data("digits")


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
    assert len(taken) == MAX_VALIDATION
    assert len(rest) == 200_000 - MAX_VALIDATION
    rest, taken = split_off_validation(np.arange(1_000) % 4)
    assert len(taken) == 200


def test_a_remark_names_some_of_the_broken_files():
    broken = dataclasses.replace(digits, broken=tuple("abcde"))
    assert broken.remark(2) == (
        "5 of 1802 images cannot be read and are left out: a; b; and 3 more"
    )
    assert dataclasses.replace(digits, broken=("a",)).remark().endswith("left out: a")


def test_fingerprints_change_with_images_labels_and_split():
    names = ("train", "validation", "test")
    images = {part: torch.zeros(2, 3, 2, 2, dtype=torch.uint8) for part in names}
    labels = {part: torch.tensor([0, 1]) for part in names}
    data = ImageData("a", ("x", "y"), images, labels)
    assert dataclasses.replace(data, name="b").fingerprint() == data.fingerprint()
    images = {**images, "test": images["test"] + torch.eye(2, dtype=torch.uint8)}
    relabelled = {**labels, "train": torch.tensor([1, 0])}
    others = (
        dataclasses.replace(data, images=images),
        dataclasses.replace(data, labels=relabelled),
    )
    assert len({data.fingerprint(), *(other.fingerprint() for other in others)}) == 3


def test_resized_images_are_means_of_the_area():
    checks = torch.tensor([[0, 100], [200, 104]], dtype=torch.uint8).repeat(1, 3, 4, 4)
    data = ImageData("a", ("x",), {"train": checks}, {"train": torch.zeros(1, dtype=torch.int64)})
    small = data.at(1).images["train"]
    assert small.flatten().tolist() == [101] * 3
    assert data.resolution == 8
