import numpy as np
import pytest

from nas.data import FolderData, ImageData, ShardData, load_data
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
