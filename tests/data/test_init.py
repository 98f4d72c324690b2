import shutil

import numpy as np
import pytest

from nas import defaults
from nas.data import DATA, FolderData, ImageData, ShardData, described, load_data
from nas.errors import MixnasError
from tests.data.writing import pictures, samples, write_folder, write_idx, write_shard


def test_unknown_data_is_refused():
    with pytest.raises(MixnasError, match=r"unknown data set 'digit' \(did you mean 'digits'\?\)"):
        load_data("digit")
    kinds = r"give digits, a folder of class folders, an \.npz file, or \.tar shards"
    with pytest.raises(MixnasError, match=f"there is no data set at pets/cats; {kinds}"):
        load_data("pets/cats")


def test_a_data_set_is_found_by_name_or_by_what_its_path_holds(tmp_path):
    images, labels = pictures(30)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    write_folder(tmp_path / "pets")
    write_idx(tmp_path / "mnist")
    write_shard(tmp_path / "a.tar", samples(30))
    kinds = {
        "digits": ImageData,
        str(tmp_path / "a.npz"): ImageData,
        str(tmp_path / "mnist"): ImageData,
        str(tmp_path / "pets"): FolderData,
        str(tmp_path / "a.tar"): ShardData,
    }
    for name, kind in kinds.items():
        data = load_data(name)
        assert type(data) is kind
        assert data.name == name
        assert data.at(12).images["test"].shape[1:] == (3, 12, 12)


def test_a_path_below_home_may_be_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_folder(tmp_path / "pets")
    data = load_data("~/pets")
    assert data.classes == ("ant", "bee", "cat")
    assert len(data.fingerprint()) == 16


def test_files_and_folders_that_are_none_are_refused(tmp_path):
    (tmp_path / "c.csv").write_text("1,2")
    with pytest.raises(MixnasError, match=r"c\.csv is not a data set; give a folder of class"):
        load_data(str(tmp_path / "c.csv"))
    with pytest.raises(MixnasError, match=r"there is no data set at pets\.npz"):
        load_data("pets.npz")


def test_a_folder_does_not_take_the_place_of_a_built_in_set(tmp_path, monkeypatch, caplog):
    assert tuple(DATA) == defaults.DATA_SETS
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "digits")
    assert load_data("digits").classes == tuple("0123456789")
    assert load_data("./digits").classes == ("ant", "bee", "cat")
    assert load_data("digits/").classes == ("ant", "bee", "cat")
    load_data("digits")
    assert [record.getMessage() for record in caplog.records] == [
        "note: digits is the built-in data set, not the folder of this name here; write ./digits "
        "for that"
    ]


def test_what_was_found_is_described(tmp_path):
    assert described(load_data("digits")) == [
        "digits: 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), 1,797 images: 1,077 for training, 360 "
        "for validation, 360 for the test"
    ]
    root = write_folder(tmp_path / "pets", ("Training", "Testing"), n=24, classes="abcdefghijkl")
    root = write_folder(root, ("Training",), n=72, classes="abcdefghijkl")
    write_folder(root, n=1, classes=("more",))
    assert described(load_data(str(root))) == [
        f"{root}: 12 classes (a, b, c, d, e, f, g, h, i, j, ...), 96 images: 51 for training, "
        "21 for validation, 24 for the test",
        f"not used: {root}/more is neither a split nor in one",
    ]


def test_classes_without_images_to_evaluate_on_are_told(tmp_path):
    root = write_folder(tmp_path / "pets", ("train", "test"))
    shutil.rmtree(root / "test" / "bee")
    assert described(load_data(str(root)))[-1] == (
        "1 of 3 classes have no test images, so that the test accuracy says nothing of them: bee"
    )
