import errno
import json
import resource
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from nas.data import cache, load_data
from nas.data.cache import PixelCache, pixel_bytes
from nas.errors import MixnasError
from tests.data.writing import write_folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data"


@pytest.fixture
def data(tmp_path, home):
    return load_data(str(write_folder(tmp_path / "pets")))


def test_pixels_that_were_decoded_otherwise_are_not_used(data, home, monkeypatch):
    data.at(16)
    monkeypatch.setattr(cache, "DECODING", cache.DECODING + 1)
    steps = []
    data.at(16, lambda *done: steps.append(done))
    assert steps
    assert len(list(home.glob("*.npy"))) == 2


def test_a_disk_that_is_too_small_is_told_before_decoding(data, home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 << 30))
    assert data.cache_fits(16)
    assert not data.cache_fits(8000)
    with pytest.raises(MixnasError) as error:
        data.at(8000, lambda *_: pytest.fail("decoded"))
    told = str(error.value)
    assert f"the decoded images of {data.name} at 8000x8000 need 5.4 GiB" in told
    assert f"the disk of the cache {home} has 3.0 GiB free" in told
    assert "set MIXNAS_CACHE to a folder on a larger disk" in told
    assert "stream the images" in told
    assert not list(home.glob("*.npy"))


def test_a_disk_that_becomes_full_is_told_and_left_clean(data, home, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(MixnasError, match=r"cannot be written to the cache .*No space left"):
        data.at(16)
    monkeypatch.undo()
    assert not [path for path in home.iterdir() if path.suffix != ".lock"]


def test_a_disk_that_is_really_full_is_told_and_left_clean(data, home):
    """The system refuses to write on, as it does on a full disk; no signal ends the process."""
    data.cache_fits(16)  # creates the folder
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(MixnasError) as error:
            data.at(16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told = str(error.value)
    assert "cannot be written to the cache" in told
    assert "File too large" in told
    assert "make room, or set MIXNAS_CACHE to a folder on a larger disk" in told
    assert not [path for path in home.iterdir() if path.suffix != ".lock"]
    assert data.at(16).count("test") == data.count("test")


def test_a_disk_that_is_full_once_the_pixels_are_written_keeps_none(data, home, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache, "write_atomic", full)
    with pytest.raises(MixnasError, match=r"cannot be written to the cache .*No space left"):
        data.at(16)
    assert not [path for path in home.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("damage", ["index", "labels", "pixels", "no pixels"])
def test_what_is_damaged_is_decoded_again(data, home, damage):
    whole = data.at(16)
    (index,), (pixels,) = home.glob("*.json"), home.glob("*.npy")
    if damage == "index":
        index.write_text("[" * 9_999)
    elif damage == "labels":
        contents = json.loads(index.read_text())
        contents["labels"]["test"].pop()
        index.write_text(json.dumps(contents))
    elif damage == "pixels":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    else:
        pixels.unlink()
    assert not data.cache_is_filled(16)
    assert data.at(16).fingerprint() == whole.fingerprint()
    assert data.cache_is_filled(16)


def test_what_is_not_there_cannot_be_opened(data):
    with pytest.raises(MixnasError, match="have been removed from the cache"):
        PixelCache("pets", "0123", data.files, 8).open(data.classes)


def test_images_that_are_in_two_splits_are_counted_and_named(tmp_path, home):
    root = write_folder(tmp_path / "pets", ("train", "test"))
    assert load_data(str(root)).at(16).remarks() == []
    for index in (0, 3):
        copied = (root / "train" / "ant" / f"{index:03}.png").read_bytes()
        (root / "test" / "ant" / f"{index:03}.png").write_bytes(copied)
    source = load_data(str(root))
    parts = {str(file): part for part in ("train", "validation") for file, _ in source.files[part]}
    remarks = source.at(16).remarks()
    assert remarks == source.remarks()  # of images that are streamed
    told = " ".join(remarks)
    for index in (0, 3):
        original = str(root / "train" / "ant" / f"{index:03}.png")
        assert f"test images are {parts[original]} images as well, byte by byte" in told
    assert sum(int(remark.split()[0]) for remark in remarks) == 2
    assert f"({root / 'test' / 'ant' / '000.png'} is {root / 'train' / 'ant' / '000.png'})" in told


def test_a_split_without_an_image_that_can_be_read_is_refused(tmp_path, home):
    root = write_folder(tmp_path / "pets", ("train", "val", "test"))
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"no image")
    source = load_data(str(root))
    told = r"pets: none of the 30 validation images can be read: .*val/ant/000\.png: Unidentified"
    with pytest.raises(MixnasError, match=told):
        source.at(16)
    with pytest.raises(MixnasError, match=told):
        source.check_readable()


def test_classes_that_a_split_loses_are_told(tmp_path, home):
    root = write_folder(tmp_path / "pets", ("train", "test"))
    assert load_data(str(root)).at(16).remarks() == []
    for path in (root / "test" / "bee").iterdir():
        path.write_bytes(b"no image")
    remarks = load_data(str(root)).at(16).remarks()
    assert remarks[0].startswith("10 of 60 images cannot be read and are left out: ")
    assert remarks[1] == (
        "1 of 3 classes have no test images, so that the test accuracy says nothing of them: bee"
    )


def test_what_a_killed_process_left_is_removed(data, home):
    data.cache_fits(16)  # creates the folder
    name = f"{data.fingerprint()}-16-{cache.DECODING}.npy"
    (home / f".{name}.abcd").write_bytes(b"half")
    data.at(16)
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


def test_images_that_cannot_be_read_leave_no_gaps(tmp_path, home):
    root = write_folder(tmp_path / "pets")
    (root / "ant" / "000.png").write_bytes(b"no image")
    source = load_data(str(root))
    found = source.at(16)
    assert len(found.broken) == 1
    (pixels,) = home.glob("*.npy")
    assert pixels.stat().st_size == source.cached_bytes(16) == pixel_bytes(30, 16)
    assert np.load(pixels).shape == (30, 3, 16, 16)
    (index,) = home.glob("*.json")
    assert sum(map(len, json.loads(index.read_text())["labels"].values())) == 29
    for part, labels in found.labels.items():
        brightness = found.images[part][:, 0].float().mean((1, 2))
        assert (brightness == labels * 80.0 + 10).all()


def test_what_it_is_filled_with_can_be_opened(tmp_path, data):
    store = PixelCache("pets", "0123", data.files, 8)
    assert not store.is_filled()
    store.fill()
    assert store.is_filled()
    assert store.fits()
    assert store.open(data.classes).images["train"].shape == (data.count("train"), 3, 8, 8)


def test_files_that_cannot_be_read_are_nobody_s_copies(tmp_path, home):
    root = write_folder(tmp_path / "junk", ("train", "test"))
    for part in ("train", "test"):
        (root / part / "ant" / "000.png").write_bytes(b"no image")
    told = load_data(str(root)).at(16).remarks()
    assert told[0].startswith("2 of 60 images cannot be read")
    assert not any("byte by byte" in line for line in told)
