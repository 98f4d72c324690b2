import gzip
import os
import pickle

import numpy as np
import pytest

from nas.data import load_data
from nas.errors import MixnasError
from tests.data.writing import idx, pictures, write_cifar10, write_cifar100, write_idx
from tests.fuzzing import mutants, outcomes


def check(data, classes, train, test, side=32):
    assert data.classes == classes
    sizes = {part: len(labels) for part, labels in data.labels.items()}
    assert sizes == {"train": train - train // 5, "validation": train // 5, "test": test}
    assert data.images["train"].shape[1:] == (3, side, side)


@pytest.mark.parametrize("pickled", [False, True])
def test_cifar10_is_read_from_its_own_files(tmp_path, pickled):
    data = load_data(str(write_cifar10(tmp_path / "cifar", pickled)))
    check(data, ("ant", "bee", "cat"), 150, 30)
    images, labels = pictures(30, seed=5)
    assert (data.images["test"].numpy() == images.transpose(0, 3, 1, 2)).all()
    assert data.labels["test"].tolist() == labels.tolist()


def test_both_forms_of_cifar_are_the_same_data(tmp_path):
    for write in (write_cifar10, write_cifar100):
        plain = load_data(str(write(tmp_path / f"{write.__name__}1", False)))
        pickled = load_data(str(write(tmp_path / f"{write.__name__}2", True)))
        assert plain.fingerprint() == pickled.fingerprint()


@pytest.mark.parametrize("pickled", [False, True])
def test_cifar100_has_the_fine_labels(tmp_path, pickled):
    check(load_data(str(write_cifar100(tmp_path / "c", pickled))), ("ant", "bee", "cat"), 30, 30)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_is_read_from_its_idx_files(tmp_path, packed):
    data = load_data(str(write_idx(tmp_path / "mnist", packed=packed)))
    check(data, ("0", "1", "2"), 30, 30, side=28)
    images, _ = pictures(30, 28, 1, seed=1)
    assert (data.images["test"][:, 1].numpy() == images[..., 0]).all()


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_pickle_with_more_than_arrays_is_not_let_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = write_cifar10(tmp_path / "cifar", pickled=True)
    (root / "data_batch_3").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(
        MixnasError, match=r"it needs posix\.system, but only arrays of numbers and"
    ):
        load_data(str(root))
    nested = np.array([Evil()], dtype=object)
    (root / "data_batch_3").write_bytes(pickle.dumps({b"data": nested}))
    with pytest.raises(MixnasError, match="only arrays of numbers and plain values are"):
        load_data(str(root))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("write", "file", "content", "message"),
    [
        (
            write_cifar10,
            "data_batch_2.bin",
            b"abc",
            "data_batch_2.bin has 3 bytes, which is not a multiple",
        ),
        (write_cifar10, "data_batch_4.bin", None, "No such file"),
        (write_idx, "train-images-idx3-ubyte", b"\0\0\x08\x03\0\0", "cannot be read"),
        (
            write_idx,
            "train-images-idx3-ubyte",
            b"\0\0\x0d\x03" + bytes(12),
            "not an IDX file of bytes",
        ),
        (write_idx, "t10k-labels-idx1-ubyte", None, "t10k-images-idx3-ubyte or t10k-labels-idx1"),
        (
            write_idx,
            "t10k-labels-idx1-ubyte",
            idx(np.zeros(31)),
            "need 30 integer labels, but their labels have",
        ),
        (write_idx, "t10k-labels-idx1-ubyte", idx(np.zeros(30))[:-1], "truncated or too long"),
        (
            write_idx,
            "t10k-labels-idx1-ubyte",
            b"\0\0\x08\x01\xff\xff\xff\xff",
            "is truncated or too long",
        ),
        (write_idx, "t10k-labels-idx1-ubyte", idx(np.full(30, 3)), "has 0"),
    ],
)
def test_damaged_files_are_told(tmp_path, write, file, content, message):
    root = write(tmp_path / "data")
    if content is None:
        (root / file).unlink()
    else:
        (root / file).write_bytes(content)
    with pytest.raises(MixnasError, match=message):
        load_data(str(root))


@pytest.mark.parametrize(
    ("write", "file"),
    [
        (write_idx, "train-images-idx3-ubyte"),
        (write_idx, "t10k-labels-idx1-ubyte"),
        (write_cifar10, "data_batch_2.bin"),
        (lambda root: write_idx(root, packed=True), "train-images-idx3-ubyte.gz"),
    ],
)
def test_whatever_is_in_a_file_it_is_read_or_refused(tmp_path, write, file):
    root = write(tmp_path / "data")

    def read(raw):
        (root / file).write_bytes(raw)
        load_data(str(root))

    whole = (root / file).read_bytes()
    heads = [raw + whole[32:] for raw in mutants(whole[:32], 60)]
    counts = outcomes(read, [whole, *heads, *mutants(whole, 40)])
    assert counts[0] >= 1
    assert counts[1] > 20


def test_a_header_that_claims_more_than_a_packed_file_can_hold_is_refused(tmp_path):
    root = write_idx(tmp_path / "data", packed=True)
    head = b"\0\0\x08\x03" + (1 << 14).to_bytes(4, "big") * 3
    (root / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(head))
    with pytest.raises(MixnasError, match="claims to have 4398046511104 bytes, more than"):
        load_data(str(root))


def test_more_images_than_packed_files_can_hold_are_refused(tmp_path):
    root = write_idx(tmp_path / "data", packed=True)
    count = 1_000_000
    for what, array in (
        ("images-idx3", np.zeros((count, 1, 1), np.uint8)),
        ("labels-idx1", np.repeat([0, 1], count // 2)),
    ):
        (root / f"train-{what}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    # Those of the test, 30 of 28x28, are counted, too.
    needed = count * 101 + 30 * (28 * 28 + 100)
    with pytest.raises(
        MixnasError, match=rf"has 1000030 images in \d+ bytes: they would take {needed} bytes"
    ):
        load_data(str(root))
