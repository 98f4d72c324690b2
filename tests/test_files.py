import datetime
import errno
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nas.errors import MixnasError
from nas.files import (
    absolute_path,
    cache_folder,
    claim_folder,
    in_turn,
    is_occupied,
    network_file_system,
    packaged,
    parsing,
    printable,
    refuse_occupied,
    taken_folder,
    write_atomic,
    write_changed,
    write_new,
    written_together,
)


def test_paths_that_exist_become_absolute(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    (tmp_path / "pets").mkdir()
    monkeypatch.chdir(tmp_path)
    assert absolute_path("pets", ["digits"]) == str((tmp_path / "pets").resolve())
    assert absolute_path("digits", ["digits"]) == "digits"
    assert absolute_path("nowhere", ()) == "nowhere"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "f.txt"
    write_atomic(path, "one")
    with pytest.raises(TypeError):
        write_atomic(path, 3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "f.txt", "two")
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '\S*/none/f\.txt'$"):
        write_atomic(tmp_path / "none" / "f.txt", "two")
    assert path.read_text() == "one"
    assert [file.name for file in tmp_path.iterdir()] == ["f.txt"]
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o644


def test_new_files_replace_none(tmp_path):
    one, two = tmp_path / "new" / "1.txt", tmp_path / "2.txt"
    write_new({one: "one"})
    assert one.read_text() == "one"
    with pytest.raises(MixnasError, match=r"1\.txt already exists; choose another --out"):
        write_new({two: "two", one: "other"})
    assert one.read_text() == "one"
    assert not two.exists()


def write_pair(folder, text):
    paths = [folder / "net.bin", folder / "net.xml"]
    with written_together(*paths) as temporary:
        for path in paths:
            (temporary / path.name).write_text(text)
        (temporary / "scrap").write_text("")


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_files_are_written_together(tmp_path):
    for text in ("one", "two"):
        write_pair(tmp_path, text)
        assert contents(tmp_path) == {"net.bin": text, "net.xml": text}
    assert (tmp_path / "net.bin").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("there", [("net.bin", "net.xml"), ("net.bin",), ("net.xml",), ()])
@pytest.mark.parametrize("moves", range(5))
def test_files_stay_as_they_were_if_one_cannot_take_its_place(tmp_path, monkeypatch, there, moves):
    for name in there:
        (tmp_path / name).write_text("old")
    rename, left = Path.rename, [moves]

    def broken(source, target):
        left[0] -= 1
        if left[0] == -1:
            raise PermissionError(errno.EACCES, "Permission denied", str(source))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", broken)
    try:
        write_pair(tmp_path, "new")
    except PermissionError:
        assert contents(tmp_path) == dict.fromkeys(there, "old")
    else:
        assert moves >= 2 + len(there)
        assert contents(tmp_path) == {"net.bin": "new", "net.xml": "new"}


def test_a_folder_does_not_make_place_for_a_file(tmp_path):
    (tmp_path / "net.bin").mkdir()
    (tmp_path / "net.bin" / "mine").write_text("")
    (tmp_path / "net.xml").write_text("old")
    with pytest.raises(IsADirectoryError, match=r"Is a directory: '.*net\.bin'"):
        write_pair(tmp_path, "new")
    assert (tmp_path / "net.bin" / "mine").exists()
    assert (tmp_path / "net.xml").read_text() == "old"


def test_files_stay_as_they_were_if_the_block_fails(tmp_path):
    write_pair(tmp_path, "old")
    xml = tmp_path / "net.xml"
    with (
        pytest.raises(FileNotFoundError) as raised,
        written_together(tmp_path / "net.bin", xml) as folder,
    ):
        (folder / "net.bin").write_text("new")
    assert raised.value.filename == str(xml)  # which was not written
    with (
        pytest.raises(OSError, match="No space left") as raised,
        written_together(tmp_path / "net.bin", xml),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(raised.value) == f"[Errno 28] No space left on device: '{xml}'"
    assert contents(tmp_path) == {"net.bin": "old", "net.xml": "old"}
    with (
        pytest.raises(FileNotFoundError) as raised,
        written_together(tmp_path / "none" / "net.xml"),
    ):
        pass
    assert raised.value.filename == str(tmp_path / "none" / "net.xml")


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    assert cache_folder("a", "b") == tmp_path / "cache" / "a" / "b"
    assert (tmp_path / "cache" / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(MixnasError, match=r"cannot be created .*; set MIXNAS_CACHE to a folder"):
        cache_folder("a")


def test_runs_are_named_after_the_time_and_numbered_within_a_second(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = datetime.datetime.now().replace(microsecond=0)
    with taken_folder(None, "mine") as (path, _lock):
        found = re.fullmatch(r"runs/mine-(\d{8}-\d{6})", path.as_posix())
        assert found
        then = datetime.datetime.strptime(found[1], "%Y%m%d-%H%M%S")
        assert before <= then <= datetime.datetime.now()
        assert path.is_dir()

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls):
            return then

    monkeypatch.setattr("nas.files.datetime.datetime", Frozen)
    with taken_folder(None, "mine") as (second, _other):
        assert second == Path(f"{path}-2")


def stop(path, write=False):
    """Take a folder and stop, with or without something in it."""
    with taken_folder(path, "mine") as (taken, _):
        assert taken.is_dir()
        if write:
            (taken / "result.txt").write_text("kept")
        raise KeyboardInterrupt


def test_a_taken_folder_is_removed_if_nothing_came_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out in (None, tmp_path / "runs" / "mine"):
        with pytest.raises(KeyboardInterrupt):
            stop(out)
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyboardInterrupt):
        stop(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        stop(tmp_path / "full", write=True)
    assert (tmp_path / "full" / "result.txt").read_text() == "kept"


def test_a_taken_folder_is_nobody_elses(tmp_path):
    with taken_folder(tmp_path / "a", "mine") as (path, _lock):
        with pytest.raises(MixnasError, match="another process is working in"):
            stop(path)
        (path / "file").write_text("")
    with pytest.raises(MixnasError, match="a already exists; choose another --out"):
        stop(path)
    with pytest.raises(MixnasError, match=r"cannot be created .*; choose another --out"):
        stop(path / "file" / "b")


def test_a_folder_with_a_lock_of_a_process_that_was_killed_is_free(tmp_path):
    (tmp_path / ".lock").write_text("")
    assert not is_occupied(tmp_path)
    with taken_folder(tmp_path, "mine") as (path, _):
        assert path == tmp_path


def test_waiting_for_another_process_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("nas.files._PATIENCE", 0.05)
    with in_turn(tmp_path / "lock", "another process trains"):
        assert capsys.readouterr().err == ""
        waiting = threading.Thread(target=enter, args=(tmp_path / "lock",))
        waiting.start()
        told = ""
        while not told:
            told = capsys.readouterr().err
        assert told == "waiting: another process trains\n"
    waiting.join(timeout=60)
    assert not waiting.is_alive()


def enter(path):
    with in_turn(path, "another process trains"):
        pass


@pytest.mark.parametrize(
    ("kind", "found"),
    [("nfs4", "nfs4"), ("fuse.sshfs", "fuse.sshfs"), ("fuse.glusterfs", "fuse.glusterfs"),
     ("CIFS", "cifs"), ("ext4", None), ("fuse.mergerfs", None)],
)  # fmt: skip
def test_network_file_systems_are_known(tmp_path, monkeypatch, kind, found):
    class Partition:
        def __init__(self, mountpoint, fstype):
            self.mountpoint, self.fstype = mountpoint, fstype

    there = [("/", "nfs"), (str(tmp_path), "xfs"), (str(tmp_path), kind), ("/other", "nfs")]
    partitions = [Partition(*entry) for entry in there]
    monkeypatch.setattr("psutil.disk_partitions", lambda **_: partitions)
    assert network_file_system(tmp_path / "runs" / "a") == found


def test_documents_that_come_with_the_program_are_there():
    assert packaged("mixnet.yaml").is_file()
    assert packaged("reference", "mixnet_s.yaml").is_file()


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    empty, full, file = tmp_path / "empty", tmp_path / "full", tmp_path / "file"
    empty.mkdir()
    full.mkdir()
    (full / ".hidden").write_text("")
    file.write_text("")
    found = [is_occupied(path) for path in (empty, full, file, tmp_path / "none")]
    assert found == [False, True, True, False]
    refuse_occupied(empty, "choose another")
    with pytest.raises(MixnasError, match=r"full already exists; choose another$"):
        refuse_occupied(full, "choose another")


def test_a_folder_is_claimed_by_one_process_until_it_ends(tmp_path):
    lock = claim_folder(tmp_path)
    code = (
        "import sys, pathlib\n"
        "from nas.errors import MixnasError\n"
        "from nas.files import claim_folder\n"
        "try:\n"
        "    lock = claim_folder(pathlib.Path(sys.argv[1]))\n"
        "except MixnasError as error:\n"
        "    sys.exit(str(error))\n"
    )

    def other():
        words = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(words, capture_output=True, text=True, env=dict(os.environ))

    refused = other()
    assert refused.returncode == 1
    assert f"another process is working in {tmp_path}; wait until" in refused.stderr
    lock.release()
    assert other().returncode == 0
    assert other().returncode == 0  # the process before it has let go


def test_a_disk_that_is_full_is_told_with_the_file(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*card\.json'"):
        write_atomic(tmp_path / "card.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_whatever_a_parser_raises_becomes_one_line(tmp_path):
    lines = {
        RecursionError(): "a.npz cannot be read: RecursionError",
        MemoryError("much"): "a.npz cannot be read: much",
        KeyError("data"): "a.npz cannot be read: it has no 'data'",
        ValueError("one\ntwo"): "a.npz cannot be read: one",
        ValueError("x" * 999): f"a.npz cannot be read: {'x' * 300}",
        MixnasError("as it is"): "as it is",
    }
    for error, told in lines.items():
        with pytest.raises(MixnasError) as caught, parsing("a.npz"):
            raise error
        assert str(caught.value) == told
    with pytest.raises(KeyboardInterrupt), parsing("a.npz"):
        raise KeyboardInterrupt


def test_names_that_are_not_utf8_can_be_printed():
    assert printable("Käfer") == "Käfer"
    assert printable(os.fsdecode(b"\xe4.png")) == "\\xe4.png"


def test_a_file_with_the_same_content_is_left_alone(tmp_path):
    path = tmp_path / "weights"
    write_changed(path, b"one")
    inode = path.stat().st_ino
    write_changed(path, b"one")
    assert path.stat().st_ino == inode
    write_changed(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_ino != inode
