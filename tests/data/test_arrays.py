import numpy as np
import pytest

from nas.data import load_data
from nas.data.arrays import (
    UNKNOWN,
    absent_classes,
    assemble,
    check_counts,
    numbered,
    repeated_images,
    split,
)
from nas.errors import MixnasError
from tests.data.writing import pictures
from tests.fuzzing import mutants, outcomes


def sizes(data):
    return {part: len(labels) for part, labels in data.labels.items()}


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_one_part_is_split_in_three(tmp_path, axes):
    images, labels = pictures(60, side=20)
    np.savez(tmp_path / "a.npz", images=images.transpose(axes), labels=labels)
    data = load_data(str(tmp_path / "a.npz"))
    assert sizes(data) == {"train": 36, "validation": 12, "test": 12}
    assert data.classes == ("0", "1", "2")
    originals = {tuple(image.ravel()): label for image, label in zip(images, labels, strict=True)}
    for part, tensor in data.images.items():
        assert tensor.shape[1:] == (3, 20, 20)
        for image, label in zip(tensor.numpy(), data.labels[part].tolist(), strict=True):
            assert originals[tuple(image.transpose(1, 2, 0).ravel())] == label


def test_parts_that_are_given_stay_as_they_are(tmp_path):
    arrays = {}
    for seed, part in enumerate(("train", "val", "test")):
        images, labels = pictures(30 + seed, seed=seed)
        arrays |= {f"{part}_images": images, f"{part}_labels": labels[:, None]}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    data = load_data(str(tmp_path / "a.npz"))
    assert sizes(data) == {"train": 30, "validation": 31, "test": 32}
    expected = arrays["val_images"].transpose(0, 3, 1, 2)
    assert (data.images["validation"].numpy() == expected).all()


def test_validation_is_split_off_where_there_is_a_test(tmp_path):
    (x, y), (a, b) = pictures(50), pictures(20, seed=1)
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=a, y_test=b)
    data = load_data(str(tmp_path / "a.npz"))
    assert sizes(data) == {"train": 40, "validation": 10, "test": 20}
    assert (data.images["test"].numpy() == a.transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (("valid_images", "valid_labels"), "valid_images, valid_labels would not be used beside"),
        (("test_images",), "test_images would not be used beside train_images; the arrays of a"),
        (("train_mean", "classes"), None),
    ],
)
def test_no_split_is_passed_over(tmp_path, extra, told):
    images, labels = pictures(30)
    arrays = {"train_images": images, "train_labels": labels, **dict.fromkeys(extra, labels)}
    np.savez(tmp_path / "a.npz", **arrays)
    if told is None:
        assert load_data(str(tmp_path / "a.npz")).count("train") == 18
        return
    with pytest.raises(MixnasError, match=told):
        load_data(str(tmp_path / "a.npz"))


def test_gray_images_are_repeated(tmp_path):
    images, labels = pictures(30, channels=1)
    np.savez(tmp_path / "a.npz", images=images[..., 0], labels=labels)
    tensor = load_data(str(tmp_path / "a.npz")).images["train"]
    assert tensor.shape[1] == 3
    assert (tensor[:, 0] == tensor[:, 2]).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((30, 8, 8), np.float32)}, "have type float32; expected uint8"),
        ({"images": np.zeros((30, 8), np.uint8)}, r"have shape \(30, 8\); expected \(N, H, W\)"),
        ({"images": np.zeros((30, 8, 8, 5), np.uint8)}, r"have shape \(30, 8, 8, 5\)"),
        (
            {"labels": np.arange(29) % 3},
            r"need 30 integer labels, but their labels have type int64 and shape \(29,\)",
        ),
        ({"labels": np.arange(30) % 3 / 2}, r"their labels have type float64"),
        ({"labels": np.arange(30) % 3 - 1}, "there is a label -1; labels must be 0 or more"),
        ({"labels": np.zeros(30, int)}, "has only one class, '0'; give at least two"),
        ({"labels": np.arange(30)}, "at least 5 training images, but 0 has 1, 1 has 1,"),
        ({"labels": np.arange(30) % 3 * 499_999}, "a label 999998, but only 30 training images"),
        ({"labels": np.arange(30) % 3 * 10**9}, "a label 2000000000; labels must be less than"),
        ({"labels": np.full(30, 2**64 - 1, np.uint64)}, "a label 18446744073709551615;"),
        ({"images": np.zeros((30, 0, 8), np.uint8)}, r"have shape \(30, 0, 8\)"),
        ({"labels": np.array(["a"] * 30, object)}, "cannot be read: Object arrays"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, message):
    images, labels = pictures(30)
    np.savez(tmp_path / "a.npz", **{"images": images, "labels": labels} | arrays)
    with pytest.raises(MixnasError, match=message):
        load_data(str(tmp_path / "a.npz"))


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", pixels=np.zeros(3))
    with pytest.raises(MixnasError, match=r"contains pixels; expected images and labels, or"):
        load_data(str(tmp_path / "a.npz"))
    (tmp_path / "b.npz").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(MixnasError, match=r"b\.npz cannot be read"):
        load_data(str(tmp_path / "b.npz"))


def test_given_parts_are_completed():
    train, other = np.arange(50) % 2, np.arange(20) % 2
    origins = {
        ("train",): ("train", "train", "train"),
        ("train", "test"): ("train", "train", "test"),
        ("train", "validation"): ("train", "train", "validation"),
        ("train", "validation", "test"): ("train", "validation", "test"),
    }
    for names, expected in origins.items():
        labels = {name: train if name == "train" else other for name in names}
        members = split(labels)
        assert tuple(members) == ("train", "validation", "test")
        assert tuple(origin for origin, _ in members.values()) == expected
        for name in names:  # nothing is lost, and nothing is used twice
            used = np.concatenate([index for origin, index in members.values() if origin == name])
            assert sorted(used) == list(range(len(labels[name])))


def test_a_class_needs_five_training_images():
    check_counts("pets", np.repeat([0, 1], 5), ("ant", "bee"))
    with pytest.raises(MixnasError, match=r"pets: every class needs at least 5 .* but bee has 4$"):
        check_counts("pets", np.repeat([0, 1], [5, 4]), ("ant", "bee"))
    with pytest.raises(MixnasError, match=r"4 has 0 and 2 more$"):
        check_counts("pets", np.array([], int), tuple("0123456"))


def test_labels_beyond_the_classes_are_refused():
    images, labels = pictures(30)
    with pytest.raises(MixnasError, match="a label 2, but only 2 classes; labels must be 0 to 1"):
        assemble("pets", {"train": (images, labels)}, ("ant", "bee"))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_whatever_is_in_a_file_it_is_read_or_refused(tmp_path, save):
    images, labels = pictures(30, side=8)
    path = tmp_path / "a.npz"
    save(path, images=images, labels=labels)
    whole = path.read_bytes()

    def read(raw):
        path.write_bytes(raw)
        load_data(str(path))

    counts = outcomes(read, [whole, *mutants(whole, 200)])
    assert counts[0] >= 1
    assert counts[1] > 100


def test_images_that_are_given_twice_are_told():
    (images, labels), (others, _) = pictures(30), pictures(30, seed=1)
    given = {"train": (images, labels), "validation": (others, labels)}
    assert assemble("pets", {**given, "test": (pictures(30, seed=2)[0], labels)}).remarks() == []
    mixed = np.concatenate([images[4:6], others[7:8], pictures(27, seed=2)[0]])
    assert assemble("pets", {**given, "test": (mixed, labels)}).remarks() == [
        "2 of 30 test images are train images as well, byte by byte (image 0 of those given for "
        "test is image 4 of those given for train): the test accuracy is too high; remove one of "
        "each two",
        "1 of 30 test images are validation images as well, byte by byte (image 2 of those given "
        "for test is image 7 of those given for validation): the test accuracy is too high; remove "
        "one of each two",
    ]


def test_unknown_contents_are_not_equal():
    digests = {"train": [b"", b"a", b"a"], "validation": [bytes(16)], "test": [b"", b"a", b"a"]}
    numbers = {part: numbered(found) for part, found in digests.items()}
    (remark,) = repeated_images(numbers, lambda part, row: f"{part}{row}")
    assert remark.startswith(
        "2 of 3 test images are train images as well, byte by byte (test1 is train2): the test"
    )


def test_digests_are_numbered_by_their_first_64_bits():
    assert numbered([b"", bytes(16), b"\1" + bytes(15), bytes(7) + b"\2" + bytes(8)]).tolist() == [
        *(UNKNOWN, UNKNOWN, 1 << 56, 2)
    ]


def test_classes_without_images_are_told():
    classes = tuple(f"c{i}" for i in range(9))
    labels = {"validation": np.arange(8), "test": np.array([0, 0, 1])}
    assert absent_classes(classes, labels) == [
        "1 of 9 classes have no validation images, so that the validation accuracy says nothing of "
        "them: c8",
        "7 of 9 classes have no test images, so that the test accuracy says nothing of them: c2, "
        "c3, c4, c5, c6 and 2 more",
    ]


def test_millions_of_tiny_images_in_a_small_file_are_refused_before_anything_is_made_of_them(
    tmp_path,
):
    path = tmp_path / "a.npz"
    count = 1_000_000
    labels = np.repeat(np.arange(2, dtype=np.uint8), count // 2)
    np.savez_compressed(path, images=np.zeros((count, 1, 1), np.uint8), labels=labels)
    assert path.stat().st_size < 4_000
    with pytest.raises(
        MixnasError, match=r"has 1000000 images in \d+ bytes: they would take 101000000 b"
    ):
        load_data(str(path))
