import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import load_data
from nas.data.subset import drawn, drawn_images, images_of, some_images
from nas.errors import MixnasError
from tests.data.writing import samples, write_folder, write_shard


def counts(data, part):
    return np.bincount(data.labels_of(part)).tolist()


def test_at_most_so_many_files_of_each_class_are_kept(tmp_path):
    name = str(write_folder(tmp_path / "pets", ("train", "val", "test"), n=60))
    whole, some = load_data(name), load_data(name, images_per_class=7)
    assert [counts(some, part) for part in some.files] == [[7] * 3, [7] * 3, [20] * 3]
    assert set(some.files["train"]) < set(whole.files["train"])
    assert some.files["test"] == whole.files["test"]
    assert some.classes == whole.classes
    prints = {load_data(name, images_per_class=n).fingerprint() for n in (None, 5, 7, 100)}
    assert len(prints) == 3  # all images are the whole set
    assert load_data(name, images_per_class=100).fingerprint() == whole.fingerprint()
    assert some.at(8).images["train"].shape == (21, 3, 8, 8)


def test_images_that_are_added_leave_the_choice_as_it_is(tmp_path):
    root = write_folder(tmp_path / "pets", ("train", "val", "test"), n=60)
    before = load_data(str(root), images_per_class=7)
    Image.new("RGB", (9, 9)).save(root / "train" / "ant" / "new.png")
    write_folder(root, ("train",), n=60, classes=("dog", "eel"))
    after = load_data(str(root), images_per_class=7)

    def files(data, label):
        return {file for file, of in data.files["train"] if of == label}

    assert len(files(before, 0) - files(after, 0)) <= 1
    assert all(files(before, label) == files(after, label) for label in (1, 2))
    fingerprint = after.fingerprint()
    root.rename(tmp_path / "moved")
    moved = load_data(str(tmp_path / "moved"), images_per_class=7)
    assert moved.fingerprint() == fingerprint


def test_images_in_memory_are_drawn_by_their_pixels(tmp_path):
    whole, some = load_data("digits"), load_data("digits", images_per_class=20)
    assert [torch.bincount(some.labels[part]).tolist() for part in ("train", "validation")] == [
        [20] * 10, [20] * 10,
    ]  # fmt: skip
    assert torch.equal(some.images["test"], whole.images["test"])
    assert some.fingerprint() != whole.fingerprint()
    assert load_data("digits", images_per_class=20).fingerprint() == some.fingerprint()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (90, 8, 8, 3), np.uint8)
    labels = np.arange(90) % 3
    order = rng.permutation(90)
    parts = {"val_images": images, "val_labels": labels, "test_images": images}
    parts["test_labels"] = labels
    found = []
    for index in (np.arange(90), order):
        train = {"train_images": images[index], "train_labels": labels[index]}
        np.savez(tmp_path / "a.npz", **train, **parts)
        data = load_data(str(tmp_path / "a.npz"), images_per_class=6)
        found.append({image.numpy().tobytes() for image in data.images["train"]})
    assert len(found[0]) == 18
    assert found[0] == found[1]


def test_images_in_shards_are_drawn_by_their_names(tmp_path):
    for number, part in enumerate(("train", "val", "test")):
        write_shard(tmp_path / f"{part}-0.tar", samples(60, begin=60 * number))
    some = load_data(f"{tmp_path}/{{train,val,test}}-0.tar", images_per_class=8)
    assert [counts(some, part) for part in some.files] == [[8] * 3, [8] * 3, [20] * 3]
    write_shard(tmp_path / "train-1.tar", samples(6, begin=500))
    more = load_data(f"{tmp_path}/{{train-0,train-1,val-0,test-0}}.tar", images_per_class=8)
    before, after = ({str(file) for file, _ in data.files["train"]} for data in (some, more))
    assert len(before - after) <= 6


def test_too_few_are_refused():
    with pytest.raises(MixnasError, match="images per class is 4; at least 5 are needed"):
        load_data("digits", images_per_class=4)


def test_small_classes_stay_whole():
    labels = np.array([2, 0, 2, 0, 2, 2])
    index = drawn(labels, lambda row: bytes([row]), 2)
    assert labels[index].tolist().count(2) == 2
    assert {1, 3} < set(index.tolist())
    assert (np.diff(index) > 0).all()


def test_some_images_are_of_the_validation_split(tmp_path):
    digits = load_data("digits")
    some = some_images(digits, 5, 8)
    assert torch.equal(some, digits.images["validation"][[0, 89, 179, 269, 359]])
    assert some_images(digits, 3, 20).shape == (3, 3, 20, 20)
    root = write_folder(tmp_path / "pets", ("train", "val", "test"), n=30)
    (root / "val" / "ant" / "000.png").write_bytes(b"no image")
    data = load_data(str(root))
    found = some_images(data, 100, 16)
    assert found.shape == (29, 3, 16, 16)
    assert (found[:9, 0] == 10).all()  # of the first class
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(MixnasError, match="none of 8 validation images can be read"):
        some_images(data, 8, 16)


def test_images_are_drawn_by_seed_in_the_order_of_their_split(tmp_path):
    digits = load_data("digits")
    found = drawn_images(digits, "train", 5, 8, seed=0)
    rows = np.sort(np.random.default_rng(0).permutation(digits.count("train"))[:5])
    assert torch.equal(found, digits.images["train"][rows])
    assert torch.equal(found, drawn_images(digits, "train", 5, 8, seed=0))
    assert not torch.equal(found, drawn_images(digits, "train", 5, 8, seed=1))
    root = write_folder(tmp_path / "pets", ("train", "val", "test"), n=30)
    assert len(drawn_images(load_data(str(root)), "train", 100, 16, seed=0)) == 30
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(MixnasError, match="none of 8 train images can be read"):
        drawn_images(load_data(str(root)), "train", 8, 16, seed=0)


def test_chosen_images_come_with_their_labels_as_far_as_they_can_be_read(tmp_path):
    digits = load_data("digits")
    pixels, labels = images_of(digits, "validation", np.array([3, 5]), 16)
    assert torch.equal(pixels, digits.at(16).images["validation"][[3, 5]])
    assert torch.equal(labels, digits.labels["validation"][[3, 5]])
    data = load_data(str(write_folder(tmp_path / "pets", ("train", "val", "test"), n=30)))
    (tmp_path / "pets" / "val" / "ant" / "000.png").write_bytes(b"no image")
    pixels, labels = images_of(data, "validation", np.array([0, 1, 29]), 16)
    assert (pixels[:, 0, 0, 0].tolist(), labels.tolist()) == ([10, 170], [0, 2])
    pixels, labels = images_of(data, "validation", np.array([0]), 16)
    assert (pixels.shape, labels.shape) == ((0, 3, 16, 16), (0,))


def test_the_fingerprint_of_the_test_split_is_that_of_the_whole(tmp_path):
    some = load_data("digits", images_per_class=20)
    assert some.test_fingerprint() == load_data("digits").test_fingerprint() == "b66fe1b6abe1d8ea"
    root = write_folder(tmp_path / "data", ("train", "test"), n=60)
    whole = load_data(str(root))
    all_of_it, known = whole.fingerprint(), whole.test_fingerprint()
    assert load_data(str(root), images_per_class=5).test_fingerprint() == known
    (root / "train/ant/000.png").unlink()
    root.rename(tmp_path / "moved")
    moved = load_data(str(tmp_path / "moved"))
    assert moved.fingerprint() != all_of_it
    assert moved.test_fingerprint() == known
    (tmp_path / "moved/test/ant/000.png").unlink()
    assert load_data(str(tmp_path / "moved")).test_fingerprint() != known
