import datetime
import os
import re
import subprocess
import sys

import pytest

from nas.errors import MixnasError
from nas.files import (
    cache_folder,
    claim_folder,
    is_occupied,
    new_run_path,
    refuse_occupied,
    write_atomic,
)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "f.txt"
    write_atomic(path, "one")
    with pytest.raises(TypeError):
        write_atomic(path, 3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "none" / "f.txt", "two")
    assert path.read_text() == "one"
    assert [file.name for file in tmp_path.iterdir()] == ["f.txt"]
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    assert cache_folder("a", "b") == tmp_path / "cache" / "a" / "b"
    assert (tmp_path / "cache" / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "file"))
    with pytest.raises(MixnasError, match=r"cannot be created .*; set MIXNAS_CACHE to a folder"):
        cache_folder("a")


def test_runs_are_named_after_the_time():
    before = datetime.datetime.now().replace(microsecond=0)
    path = new_run_path("mine")
    found = re.fullmatch(r"runs/mine-(\d{8}-\d{6})", path.as_posix())
    assert found
    then = datetime.datetime.strptime(found[1], "%Y%m%d-%H%M%S")
    assert before <= then <= datetime.datetime.now()


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
