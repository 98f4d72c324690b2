import dataclasses

import numpy as np
import torch

from nas.data import load_data
from nas.data.images import (
    MAX_VALIDATION,
    ImageData,
    key_of,
    split_by_key,
    split_in_three,
    split_off_validation,
)

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


def test_keys_follow_from_names_and_are_even():
    assert key_of("ant/001.png") == 0.36111136045552045
    keys = np.array([key_of(f"ant/{number}.png") for number in range(10_000)])
    assert np.abs(np.sort(keys) - np.linspace(0, 1, 10_000)).max() < 0.0163  # KS test at 1%
    assert key_of("caf\u00e9.png") == key_of("cafe\u0301.png")  # as Linux and macOS spell it
    assert key_of("\udcff.png") != key_of("\udcfe.png")  # names that are not UTF-8


def test_a_part_follows_from_the_key():
    keys = np.array([0.0, 0.1999, 0.2, 0.3999, 0.4, 0.9, 1.0])
    labels = np.zeros(7, int)
    parts = split_by_key(labels, keys)
    assert {part: index.tolist() for part, index in parts.items()} == {
        "train": [4, 5, 6], "validation": [2, 3], "test": [0, 1],
    }  # fmt: skip
    without_test = split_by_key(labels, keys, in_three=False)
    assert without_test["validation"].tolist() == [2, 3]
    assert without_test["train"].tolist() == [0, 1, 4, 5, 6]
    assert "test" not in without_test


def test_a_class_that_would_miss_a_part_gives_it_one_image():
    keys = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.1, 0.3, 0.5, 0.01, 0.02, 0.03])
    labels = np.array([0] * 5 + [1] * 3 + [2] * 3)
    parts = split_by_key(labels, keys)
    assert {part: index.tolist() for part, index in parts.items()} == {
        "train": [2, 3, 4, 7, 8], "validation": [0, 6, 9], "test": [1, 5, 10],
    }  # fmt: skip


def test_a_large_set_gives_few_images_by_key_to_validation():
    keys = np.random.default_rng(0).random(200_000)
    parts = split_by_key(np.arange(200_000) % 4, keys, in_three=False)
    assert abs(len(parts["validation"]) - MAX_VALIDATION) < 400  # four standard deviations
    more = split_by_key(np.arange(200_001) % 4, np.append(keys, 0.99), in_three=False)
    assert len(np.setdiff1d(parts["validation"], more["validation"])) <= 1


def test_a_remark_names_some_of_the_broken_files():
    broken = dataclasses.replace(digits, broken=tuple("abcde"), notes=("a note",))
    assert broken.remarks() == [
        "5 of 1802 images cannot be read and are left out: a; b; c; and 2 more",
        "a note",
    ]
    (remark,) = dataclasses.replace(digits, broken=("a",)).remarks()
    assert remark.endswith("left out: a")
    assert digits.remarks() == []


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
