import numpy as np
import torch
from sklearn import datasets

from nas.data.digits import load_digits

digits = load_digits()


def test_digits_are_split_once_and_for_all():
    sizes = {part: len(labels) for part, labels in digits.labels.items()}
    assert sizes == {"train": 1077, "validation": 360, "test": 360}
    # Changing this makes accuracies of older runs incomparable: say so in the changelog.
    assert digits.fingerprint() == load_digits().fingerprint() == "e5f8c33fd2d9f787"


def test_every_part_has_every_class_in_the_same_share():
    for labels in digits.labels.values():
        shares = torch.bincount(labels, minlength=10) / len(labels)
        assert (shares - 0.1).abs().max() < 0.012


def test_the_gray_levels_of_scikit_learn_are_stretched_to_bytes():
    """0 to 16 become 0 to 255, so that every value is a rounded multiple of 255 / 16."""
    values = torch.unique(digits.images["train"]).tolist()
    assert values == [round(level * 255 / 16) for level in range(17)]
    assert digits.classes == tuple("0123456789")
    assert (digits.images["test"][:, 0] == digits.images["test"][:, 2]).all()


def test_images_have_the_labels_of_scikit_learn():
    raw = datasets.load_digits()
    known = {
        np.rint(image * 255 / 16).astype(np.uint8).tobytes(): label
        for image, label in zip(raw.images, raw.target, strict=True)
    }
    for part, images in digits.images.items():
        found = [known[image[0].numpy().tobytes()] for image in images]
        assert found == digits.labels[part].tolist()
