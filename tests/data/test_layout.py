import shutil
from pathlib import Path

import pytest

from nas.data import load_data
from nas.data.layout import find_layout, parts_in
from nas.errors import MixnasError
from tests.data.writing import write_folder


def layout(root):
    found = find_layout(str(root))
    return {part: str(folder.relative_to(root)) for part, folder in found.parts.items()}


def told(root):
    with pytest.raises(MixnasError) as error:
        find_layout(str(root))
    return str(error.value).replace(str(root), "ROOT")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "test"), {"train": "train", "test": "test"}),
        (("Training", "Testing"), {"train": "Training", "test": "Testing"}),
        (("TRAIN", "Valid", "test"), {"train": "TRAIN", "validation": "Valid", "test": "test"}),
        (("seg_train", "seg_test"), {"train": "seg_train", "test": "seg_test"}),
        (("TrainSet", "TestSet"), {"train": "TrainSet", "test": "TestSet"}),
        (("training_set", "validation-set"),
         {"train": "training_set", "validation": "validation-set"}),
        (("train",), {"train": "train"}),
    ],
)  # fmt: skip
def test_splits_are_known_by_many_names(tmp_path, folders, expected):
    root = write_folder(tmp_path / "pets", folders)
    assert layout(root) == expected
    assert load_data(str(root)).classes == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    "classes",
    [
        ("bus", "car", "train"),
        ("bus", "test", "train"),
        ("steam_train", "test_tube"),
        ("train_station", "val_gardena"),
    ],
)
def test_a_class_may_be_called_like_a_split(tmp_path, classes):
    root = write_folder(tmp_path / "things", classes=classes)
    assert layout(root) == {"train": "."}
    assert load_data(str(root)).classes == classes


def test_a_class_called_so_may_have_folders_of_its_own(tmp_path):
    root = write_folder(tmp_path / "things", ("steam_train",), classes=("day", "night"))
    write_folder(root, classes=("bus", "car"))
    assert layout(root) == {"train": "."}
    assert load_data(str(root)).classes == ("bus", "car", "steam_train")


def test_two_folders_of_one_split_are_refused(tmp_path):
    root = write_folder(tmp_path / "pets", ("train", "val", "valid"))
    assert told(root) == (
        "ROOT has two folders for the validation split, val and valid; merge them, or move one of "
        "them away"
    )
    shutil.rmtree(root / "val")
    (root / "valid").rename(root / "Training")
    assert "two folders for the train split, Training and train" in told(root)


def test_what_may_be_a_split_or_a_class_is_refused(tmp_path):
    root = write_folder(tmp_path / "things", ("train",), classes=("day", "night"))
    write_folder(root, classes=("bus", "car"))
    assert told(root).startswith(
        "ROOT/train may be the training split or a class, since bus beside it has images as well; "
    )
    (root / "train").rename(root / "test")
    assert "has a folder test with class folders, but none for training" in told(root)


def test_splits_without_class_folders_are_refused(tmp_path):
    flat = write_folder(tmp_path / "flat", classes=("train", "test"))
    assert told(flat).startswith(
        "ROOT/test is named like a split and has images, but no class folders; expected "
        "ROOT/train/CLASS/*.jpg"
    )
    root = write_folder(tmp_path / "pets", ("train", "val"))
    (flat / "test").rename(root / "test")
    assert "ROOT/test is named like a split and has images" in told(root)
    shutil.rmtree(root / "val")
    assert "ROOT/test is named like a split and has images" in told(root)


def test_folds_that_look_like_classes_are_told(tmp_path):
    root = write_folder(tmp_path / "pets", ("fold1", "fold2"))
    assert find_layout(str(root)).left_out == (
        f"the names of the folders in {root}/fold1 (ant, bee, cat), which are those in "
        f"{root}/fold2, too; if these are splits and not classes, call them train, val and test",
    )
    (root / "fold2" / "cat").rename(root / "fold2" / "dog")
    assert find_layout(str(root)).left_out == ()


def test_what_is_not_used_is_told(tmp_path):
    root = write_folder(tmp_path / "pets", ("train", "test"))
    write_folder(root, n=2, classes=("unlabelled", "more"))
    for number in range(2):
        shutil.copy(root / "train" / "ant" / "000.png", root / "train" / f"{number}.png")
    shutil.copy(root / "train" / "ant" / "000.png", root)
    (root / "notes").mkdir()
    assert find_layout(str(root)).left_out == (
        f"{root}/more is neither a split nor in one",
        f"{root}/unlabelled is neither a split nor in one",
        f"an image directly in {root} is in no class folder",
        f"2 images directly in {root}/train are in no class folder",
    )
    plain = write_folder(tmp_path / "plain")
    assert find_layout(str(plain)).left_out == ()


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("train", {"train"}),
        ("XTrain", {"train"}),
        ("TRAIN_DATA", {"train"}),
        ("imagenet-val-03.tar", {"validation"}),
        ("train-val", {"train", "validation"}),
        ("trains", set()),
        ("pets", set()),
    ],
)
def test_words_tell_splits(name, parts):
    assert parts_in(name) == parts


def test_names_of_folders_are_paths(tmp_path, monkeypatch):
    write_folder(tmp_path / "pets", ("train", "test"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_layout("~/pets").parts["train"] == Path(tmp_path / "pets" / "train")
