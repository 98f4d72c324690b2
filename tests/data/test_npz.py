import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest

from nas.data.npz import check_expansion, check_images, npz_names, read_at_most, read_npz
from nas.errors import MixnasError
from tests.fuzzing import outcomes


def header(shape, descr="|u1", version=(1, 0)):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}) if descr else shape
    raw = text.encode().ljust(117) + b"\n"
    width = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + len(raw).to_bytes(width, "little") + raw


def write(path, content, name="images.npy", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, content)
    return path


def test_arrays_are_read_as_they_were_written(tmp_path):
    arrays = {
        "a": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "b": np.asfortranarray(np.arange(6, dtype=">i8").reshape(2, 3)),
        "c": np.zeros((0, 3), np.float32),
        "d": np.array(7),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        assert npz_names(tmp_path / "a.npz") == list("abcd")
        read = read_npz(tmp_path / "a.npz", ["a", "b", "c", "d"])
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            assert read[name].shape == array.shape
            assert (read[name] == array).all()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (header((10**7, 8000, 8000)) + bytes(99), "claims to have the shape .* but has only 227"),
        (header((-1, 30)) + bytes(30), "claims to have the shape"),
        (header((40,)) + bytes(30), "but has only 158 bytes|does not have the 40 bytes"),
        (header((30,)) + bytes(40), "does not have the 30 bytes that its shape needs"),
        (header((3,), "|O") + bytes(24), "Object arrays cannot be read"),
        (header((3,), "|S99999999999") + bytes(24), "cannot be read|claims"),
        (header("(" * 90, None), "cannot be read"),
        (header("-" * 110, None), "cannot be read"),
        (header((3,), version=(3, 0)) + bytes(3), r"has version \(3, 0\) of the .npy format"),
        (b"\x93NUMPY", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_headers_are_not_believed(tmp_path, content, told):
    path = write(tmp_path / "a.npz", content)

    def read(_):
        with pytest.raises(MixnasError, match=told) as caught:
            read_npz(path, ["images"])
        assert str(caught.value).startswith(str(path))
        raise caught.value

    assert outcomes(read, [None], megabytes=2) == (0, 1)


def test_few_bytes_that_claim_to_hold_many_are_refused(tmp_path):
    zeros = header((100_000_000,)) + bytes(100_000_000)
    path = write(tmp_path / "a.npz", zeros, method=zipfile.ZIP_DEFLATED)
    del zeros
    assert path.stat().st_size < 110_000
    tracemalloc.start()
    with pytest.raises(MixnasError, match="images claims to have 100000128 bytes, more than"):
        read_npz(path, ["images"])
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    with pytest.raises(MixnasError, match=r"save.* without compression"):
        check_expansion("a.npz", 10**9, 1000)
    check_expansion("a.npz", 60_000_000, 10)  # a small file may well hold zeros


def test_other_ways_to_pack_are_refused(tmp_path):
    path = write(tmp_path / "a.npz", header((3,)) + b"abc", method=zipfile.ZIP_BZIP2)
    with pytest.raises(MixnasError, match=r"compressed in an unknown way; .* numpy\.savez"):
        read_npz(path, ["images"])


def test_files_that_are_none_are_told(tmp_path):
    with pytest.raises(MixnasError, match=r"none\.npz cannot be read: .*No such file"):
        npz_names(tmp_path / "none.npz")
    (tmp_path / "a.npz").write_text(json.dumps({}))
    with pytest.raises(MixnasError, match=r"a\.npz cannot be read: File is not a zip file"):
        npz_names(tmp_path / "a.npz")
    write(tmp_path / "a.npz", b"", name="notes.txt")
    assert npz_names(tmp_path / "a.npz") == []
    with pytest.raises(MixnasError, match=r"a\.npz cannot be read: it has no .*images"):
        read_npz(tmp_path / "a.npz", ["images"])


def test_no_more_is_read_than_is_there():
    assert read_at_most(io.BytesIO(b"abc"), 1 << 60) == b"abc"
    assert read_at_most(io.BytesIO(b"abc" * 10**6), 2_000_001) == (b"abc" * 10**6)[:2_000_001]
    assert read_at_most(io.BytesIO(b"abc"), 0) == b""


def test_more_images_than_a_file_can_hold_are_refused():
    free = 64 << 20
    most = free // (16 + 100)  # 4x4 pixels, and what is made of each image
    check_images("a.npz", [np.empty((most, 4, 4), np.uint8)], packed=0)
    check_images("a.npz", [np.empty((most + 1, 4, 4), np.uint8)], packed=1)
    halves = [np.empty((most, 4, 4), np.uint8), np.empty((1, 4, 4), np.uint8)]
    told = (
        f"a.npz has {most + 1} images in 0 bytes: they would take {116 * (most + 1)} bytes of "
        f"memory, more than the {free} that are made of so few; it is damaged, or should be saved "
        "without compression"
    )
    with pytest.raises(MixnasError) as caught:
        check_images("a.npz", halves, packed=0)
    assert str(caught.value) == told
