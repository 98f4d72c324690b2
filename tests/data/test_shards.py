import copy
import os

import numpy as np
import pytest

from nas.data import FolderData, ShardData, load_data
from nas.data.shards import ShardMember, is_shards
from nas.errors import MixnasError
from tests.data.writing import samples, write_shard


def write(root, shards, n=30, begin=0):
    for number, name in enumerate(shards):
        write_shard(root / f"{name}.tar", samples(n, begin=begin + n * number))


def sizes(data):
    return tuple(data.count(part) for part in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("shards", "pattern", "expected"),
    [
        (["pets"], "pets.tar", (15, 9, 6)),  # about 60/20/20, by the names of the images,
        (["s-00", "s-01"], "s-{00..01}.tar", (38, 11, 11)),
        (["train-0", "train-1"], "train-{0..1}.tar", (33, 13, 14)),
        (["train-0", "train-1", "val-0"], "train-{0..1}.tar::ROOT/val-0.tar", (47, 13, 30)),
        (["train-0", "test-0"], "{train,test}-0.tar", (23, 7, 30)),
        (["train-0", "val-0", "test-0"], "{train,val,test}-0.tar", (30, 30, 30)),
        (["train/0", "validation/0", "test/0"], "{train,validation,test}/0.tar", (30, 30, 30)),
    ],
)
def test_layouts(tmp_path, shards, pattern, expected):
    write(tmp_path, shards)
    data = load_data(f"{tmp_path}/{pattern.replace('ROOT', str(tmp_path))}")
    assert isinstance(data, ShardData)
    assert isinstance(data, FolderData)
    assert data.classes == ("0", "1", "2")
    assert sizes(data) == expected
    assert data.own_side() == 32
    train, validation = ({str(f) for f, _ in data.files[p]} for p in ("train", "validation"))
    assert not train & validation
    images = data.at(16)
    for part, labels in images.labels.items():
        assert labels.tolist() == data.labels_of(part).tolist()
        brightness = images.images[part][:, 0].float().mean((1, 2))
        assert (brightness - (labels * 80.0 + 10)).abs().max() < 3


def test_a_shard_that_is_added_moves_no_image(tmp_path):
    write(tmp_path, ["s-0", "s-1"], n=90)
    before, after = (load_data(f"{tmp_path}/{name}") for name in ("s-0.tar", "s-{0..1}.tar"))
    for part in before.files:
        names = [{str(file) for file, _ in data.files[part]} for data in (before, after)]
        assert names[0] == {name for name in names[1] if "s-0.tar" in name}
    assert sizes(after) == (98, 38, 44)


def test_an_edited_shard_is_known_by_its_content(tmp_path, monkeypatch):
    """Names and sizes stay, and the time of modification is set back."""
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    members = {name: raw if name.endswith(".cls") else ppm(10) for name, raw in samples(30).items()}
    members = {name.replace(".jpg", ".ppm"): raw for name, raw in members.items()}
    path = write_shard(tmp_path / "a.tar", members)
    data, before = load_data(str(path)), path.stat()
    known_as = data.fingerprint()
    assert (data.at(8).images["train"] == 10).all()
    write_shard(path, {n: ppm(200) if n.endswith(".ppm") else raw for n, raw in members.items()})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert data.fingerprint() != known_as
    assert (load_data(str(path)).at(8).images["train"] == 200).all()


def ppm(shade, side=8):
    return b"P6 %d %d 255\n" % (side, side) + bytes([shade]) * (3 * side**2)


def test_splits_are_told_by_one_word(tmp_path):
    write(tmp_path, ["training-0", "valid-0", "Testing-0"])
    data = load_data(f"{tmp_path}/{{training,valid,Testing}}-0.tar")
    assert sizes(data) == (30, 30, 30)
    write(tmp_path, ["train-test-0"])
    with pytest.raises(MixnasError, match=r"train-test-0.tar may be for test or train by its name"):
        load_data(f"{tmp_path}/{{train-test,valid}}-0.tar")


def test_any_image_is_read_on_its_own(tmp_path):
    write(tmp_path, ["a-0", "a-1"])
    files = load_data(f"{tmp_path}/a-{{0..1}}.tar").files["train"]
    file, label = files[-1]
    assert isinstance(file, ShardMember)
    number = int(file.name.removesuffix(".jpg"))
    assert label == number % 3
    assert file.read_bytes() == samples(60)[file.name]
    assert str(file) == f"{file.shard}/{file.name}"
    assert files[1:3] == (files[1], files[2])
    assert copy.deepcopy(files)[5] == files[5]
    with pytest.raises(IndexError):
        files[len(files)]
    file.shard.write_bytes(file.shard.read_bytes()[:512])
    with pytest.raises(OSError, match="the shard has become shorter"):
        file.read_bytes()


def test_fingerprints_change_with_images_and_not_with_places(tmp_path):
    write(tmp_path / "a", ["train-0", "train-1"])
    name = str(tmp_path / "a/train-{0..1}.tar")
    first = load_data(name).fingerprint()
    test = load_data(name).test_fingerprint()
    (tmp_path / "a").rename(tmp_path / "b")
    moved = str(tmp_path / "b/train-{0..1}.tar")
    assert load_data(moved).fingerprint() == first
    assert load_data(moved).test_fingerprint() == test
    assert load_data(str(tmp_path / "b/train-0.tar")).fingerprint() != first
    write(tmp_path / "b", ["train-0", "train-1"], begin=1)
    assert load_data(moved).fingerprint() != first


def test_broken_images_are_named(tmp_path):
    members = samples(30)
    members["0003.jpg"] = b"no image"
    path = write_shard(tmp_path / "a.tar", members)
    (broken,) = load_data(str(path)).at(8).broken
    assert broken.startswith(f"{path}/0003.jpg: UnidentifiedImageError")


def relabelled(change):
    return {
        name: str(change(int(raw))).encode() if name.endswith(".cls") else raw
        for name, raw in samples(30).items()
    }


def test_shards_that_are_no_data_are_refused(tmp_path):
    def told(pattern):
        with pytest.raises(MixnasError) as error:
            load_data(f"{tmp_path}/{pattern}")
        return str(error.value)

    assert told("a.tar") == f"there is no shard at {tmp_path}/a.tar"
    write(tmp_path, ["s-0", "s-2", "train-0", "val-0", "test-0"])
    assert told("s-{0..3}.tar").endswith(
        f"2 of 4 shards are missing; the first is {tmp_path}/s-1.tar"
    )
    assert told("s-{0,0}.tar").endswith(f"names a shard twice: {tmp_path}/s-0.tar")
    assert "s-0.tar does not tell its split" in told("{train-0,s-0}.tar")
    assert "has no shards for training" in told("{val,test}-0.tar")
    for change, expected in (
        (lambda label: label + 1, "there is a label 3 and none 0 among the training images"),
        (lambda label: 900_000 * label, "has the label 1800000; expected a number, 0 to 999999"),
        (lambda label: 2 * label, "there is a label 4 and none 1 among"),
        (lambda label: 0, "has only one class, '0'; give at least two"),
    ):
        write_shard(tmp_path / "l.tar", relabelled(change))
        assert expected in told("l.tar")
    write_shard(tmp_path / "val-0.tar", relabelled(lambda label: label + 1))
    assert "the validation shards have a label 3, but the training shards only 0 to 2" in told(
        "{train,val}-0.tar"
    )
    write_shard(tmp_path / "few.tar", samples(12))
    assert "at least 5 training images, but 0 has 4, 1 has 4, 2 has 4" in told("few.tar")


def test_patterns_are_told_from_other_names():
    names = ("a.tar", "a-{0..3}.tar", "a.tar::b.tar", "x/{a,b}.tar")
    assert all(map(is_shards, names))
    assert not any(map(is_shards, ("digits", "a{b}", "a.npz", "a.tar.gz", "tar")))


def test_labels_are_those_of_the_entries(tmp_path):
    write(tmp_path, ["a-0", "a-1"])
    data = load_data(f"{tmp_path}/a-{{0..1}}.tar")
    files = data.files["train"]
    index = np.array([4, 1])
    assert data.labels_of("train").tolist() == [label for _, label in files]
    some = data.only({"train": index})
    assert list(some.files["train"]) == [files[4], files[1]]
    assert some.labels_of("train").tolist() == [files[4][1], files[1][1]]
