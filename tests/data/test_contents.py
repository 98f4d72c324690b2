import hashlib
import os
import time

import pytest

from nas.data import contents
from nas.data.contents import ContentDigests


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "contents"


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    found = [root / f"{number}.bin" for number in range(3)]
    for number, path in enumerate(found):
        path.write_bytes(bytes([number]) * 1000)
        hour_ago = time.time() - 3600
        os.utime(path, (hour_ago, hour_ago))
    return found


@pytest.fixture
def settled(monkeypatch):
    """Files count as settled at once; the time of their last change cannot be set."""
    monkeypatch.setattr(contents, "_FRESH", -(10**12))


def of(files, step=None):
    return ContentDigests(files[0].parent).of(files, step)


def no_step(*_):
    pytest.fail("a file was read again")


def test_digests_are_those_of_the_contents(files):
    expected = [hashlib.blake2b(path.read_bytes(), digest_size=16).digest() for path in files]
    assert of(files) == expected


def test_each_file_is_read_once(files, settled):
    steps = []
    first = of(files, lambda *step: steps.append(step))
    assert steps == [(3, 3)]
    assert of(files, no_step) == first
    assert of(files[::-1], no_step) == first[::-1]
    assert ContentDigests(files[0].parent).are_known(files)


def test_an_edited_file_is_read_again_whatever_its_size_and_time(files, settled):
    first = of(files)
    before = files[1].stat()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    files[1].write_bytes(b"\7" * 1000)
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert files[1].stat().st_mtime_ns == before.st_mtime_ns
    assert not ContentDigests(files[0].parent).are_known(files)
    steps = []
    second = of(files, lambda *step: steps.append(step))
    assert steps == [(1, 1)]
    assert second[1] == hashlib.blake2b(b"\7" * 1000, digest_size=16).digest()
    assert (second[0], second[2]) == (first[0], first[2])


def test_files_that_were_just_written_are_not_remembered(files):
    """Their times might not show the next edit."""
    of(files)
    assert not ContentDigests(files[0].parent).are_known(files)


def test_what_cannot_be_read_has_zeros(files, tmp_path):
    assert of([files[0], tmp_path / "data" / "none.bin"])[1] == bytes(16)


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: raw[:40] + b"x" + raw[41:]])
def test_a_damaged_memory_is_forgotten(files, settled, cache, damage):
    first = of(files)
    (memory,) = cache.glob("*.bin")
    memory.write_bytes(damage(memory.read_bytes()))
    assert not ContentDigests(files[0].parent).are_known(files)
    assert of(files) == first


def test_equal_names_in_two_folders_are_two_files(files, settled, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "0.bin").write_bytes(b"\5" * 1000)
    assert of(files)[0] != ContentDigests(other).of([other / "0.bin"])[0]
