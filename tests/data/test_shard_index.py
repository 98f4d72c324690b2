import gzip
import io
import json
import os
import tarfile
import time
from types import SimpleNamespace

import numpy as np
import pytest

from nas.data import shard_index
from nas.data.shard_index import read_index
from nas.errors import MixnasError
from tests.data.writing import jpeg, samples, write_shard
from tests.fuzzing import mutants, outcomes


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))


def told(path):
    with pytest.raises(MixnasError) as error:
        read_index(path)
    return str(error.value).removeprefix(str(path))


def test_images_are_found_with_their_labels(tmp_path):
    members = {
        "info.json": b"{}",
        "._0001.jpg": b"of another system",
        "a/.ipynb_checkpoints/0001.jpg": b"a copy",
        "./c/0001.jpg": b"jpeg",
        "./c/0001.cls": b"2",
        "a/0001.JPEG": jpeg(),
        "a/0001.cls": b" 3\n",
        "a/0001.txt": b"a caption",
        "a/0002.json": json.dumps({"label": 4, "caption": "x"}).encode(),
        "a/0002.png": b"png",
        "a/0002.seg.png": b"segments",
        "b/0001.webp": b"webp",
        "b/0001.json": b'{"cls": 1}',
        f"{'long' * 50}/ä.jpg": b"jpeg",
        f"{'long' * 50}/ä.cls": b"0",
    }
    path = write_shard(tmp_path / "a.tar", members)
    index = read_index(path)
    names = [index.name(row) for row in range(len(index.labels))]
    assert names == [
        "./c/0001.jpg",
        "a/0001.JPEG",
        "a/0002.png",
        "b/0001.webp",
        f"{'long' * 50}/ä.jpg",
    ]
    assert index.labels.tolist() == [2, 3, 4, 1, 0]
    whole = path.read_bytes()
    for name, offset, size in zip(names, index.offsets, index.sizes, strict=True):
        assert whole[offset : offset + size] == members[name]


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_kinds_of_tar_files_are_read(tmp_path, layout):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=layout) as tar:
        for name, content in {"d" * 90 + "/e.jpg": b"image", "d" * 90 + "/e.cls": b"1"}.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    assert read_index(path).name(0) == "d" * 90 + "/e.jpg"


def test_headers_are_read_once(tmp_path, monkeypatch):
    path = write_shard(tmp_path / "a.tar", samples(6))
    first = read_index(path)
    monkeypatch.setattr(shard_index, "_indexed", lambda _: pytest.fail("read again"))
    assert (read_index(path).offsets == first.offsets).all()
    monkeypatch.undo()
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    write_shard(path, samples(9))
    assert len(read_index(path).labels) == 9
    os.utime(path, (0, 0))
    for cached in (tmp_path / "cache" / "shards").iterdir():
        cached.write_bytes(b"damaged")
    assert len(read_index(path).labels) == 9


def test_shards_that_are_damaged_are_refused(tmp_path):
    path = write_shard(tmp_path / "a.tar", samples(6))
    whole = path.read_bytes()
    ends = whole.rindex(b"0005.cls")
    path.write_bytes(whole[: ends + 600])
    assert told(path).endswith(" is damaged or no tar file: unexpected end of data")
    path.write_bytes(whole[: ends - 700])
    assert "0005.jpg goes beyond the end of the file" in told(path)
    path.write_bytes(whole[: ends + 100])
    assert "is damaged or no tar file: there is no valid header" in told(path)
    middle = whole.index(b"0003.jpg")
    path.write_bytes(whole[:middle] + b"\xff" * 512 + whole[middle + 512 :])
    assert "is damaged or no tar file: there is no valid header" in told(path)
    path.write_bytes(b"no tar file at all" * 100)
    assert "is damaged or no tar file" in told(path)
    path.write_bytes(b"")
    assert "is damaged or no tar file" in told(path)
    path.write_bytes(gzip.compress(whole))
    assert "is compressed; unpack it" in told(path)


def test_no_more_is_read_than_there_is(tmp_path):
    """A header may claim that a name, or a file, has exabytes."""
    for kind, name in ((tarfile.GNUTYPE_LONGNAME, "././@LongLink"), (tarfile.REGTYPE, "0.jpg")):
        about = tarfile.TarInfo(name)
        about.size, about.type = 1 << 60, kind
        path = tmp_path / "a.tar"
        path.write_bytes(about.tobuf(tarfile.GNU_FORMAT) + b"0" * 1024)
        assert "is damaged or no tar file" in told(path)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"0.jpg": b""}, ": 0.jpg has no label; expected a number in 0.cls, or 'label' or 'cls'"),
        ({"0.jpg": b"", "0.json": b'{"id": 1}'}, ": 0.jpg has no label"),
        ({"0.jpg": b"", "0.json": b"[1]"}, ": 0.jpg has no label"),
        ({"0.cls": b"0"}, ": 0.cls is a label without an image"),
        ({"0.txt": b"0"}, " has no images; expected samples such as 0001.jpg with 0001.cls"),
        ({"0.jpg": b"", "0.cls": b"cat"}, ": 0.cls contains b'cat'; expected a number"),
        ({"0.jpg": b"", "0.cls": b"-1"}, ": 0.cls has the label -1; expected a number, 0 to"),
        ({"0.jpg": b"", "0.cls": b"9" * 20}, ": 0.cls has the label 99999999999999999999;"),
        ({"0.jpg": b"", "0.cls": b"1" * 65}, ": 0.cls has 65 bytes; a label has at most 64"),
        ({"0.jpg": b"", "0.json": b"{"}, ": 0.json contains b'{'; expected JSON"),
        ({"0.jpg": b"", "0.json": b"[" * 9999}, "; expected JSON"),
        ({"0.jpg": b"", "0.json": b'{"label": "cat"}'}, ": 0.json has the label cat; expected"),
        ({"0.jpg": b"", "0.json": b'{"label": true}'}, ": 0.json has the label True; expected"),
        ({"0.jpg": b"", "0.png": b""}, ": 0.png is a second image of the same sample"),
    ],
)
def test_samples_that_are_none_are_refused(tmp_path, members, expected):
    assert expected in told(write_shard(tmp_path / "a.tar", members))


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(shard_index, "write_atomic", full)
    assert len(read_index(write_shard(tmp_path / "a.tar", samples(6))).labels) == 6


def test_shards_that_cannot_be_opened_are_refused(tmp_path, monkeypatch):
    path = write_shard(tmp_path / "a.tar", samples(6))

    def refused(*_):
        raise PermissionError("Permission denied")

    monkeypatch.setattr(shard_index, "_indexed", refused)
    assert told(path) == " cannot be read: Permission denied"


def test_a_member_that_is_too_large_for_an_image_is_refused(tmp_path):
    about = SimpleNamespace(name="0.jpg", size=2 << 30, offset_data=512)
    with pytest.raises(MixnasError, match=r"a\.tar: 0\.jpg has 2147483648 bytes, too many for an"):
        shard_index._take(tmp_path / "a.tar", io.BytesIO(), about, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [("offsets", 1 << 40), ("sizes", -1), ("labels", 10**9), ("ends", -5), ("sizes", 1 << 62)],
)
def test_an_index_that_is_not_of_its_shard_is_made_anew(tmp_path, name, value):
    path = write_shard(tmp_path / "a.tar", samples(6))
    first = read_index(path)
    (cached,) = (tmp_path / "cache" / "shards").iterdir()
    wrong = {key: array.copy() for key, array in vars(first).items()}
    wrong[name][2] = value
    np.savez(cached, **wrong)
    assert getattr(read_index(path), name).tolist() == getattr(first, name).tolist()


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_whatever_is_in_a_shard_it_is_read_or_refused(tmp_path, layout):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=layout) as tar:
        for name, content in {f"{'d' * 90}/e{'ä' * 20}.jpg": b"image", "f.json": b"{}"}.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
        about = tarfile.TarInfo(f"{'d' * 90}/e{'ä' * 20}.cls")
        about.size = 1
        tar.addfile(about, io.BytesIO(b"1"))
    whole = path.read_bytes().rstrip(b"\0") + bytes(1024)

    def read(raw):
        path.write_bytes(raw)
        index = read_index(path)
        assert index.is_within(len(raw))

    counts = outcomes(read, [whole, *mutants(whole, 150)], megabytes=5)
    assert counts[0] >= 1
    assert counts[1] > 50


def test_labels_that_were_edited_are_read_again_whatever_the_size_and_time(tmp_path):
    path = write_shard(tmp_path / "a.tar", samples(30))
    assert read_index(path).labels[:3].tolist() == [0, 1, 2]
    before = path.stat()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    members = {n: b"2" if n.endswith(".cls") else raw for n, raw in samples(30).items()}
    write_shard(path, members)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert read_index(path).labels[:3].tolist() == [2, 2, 2]
