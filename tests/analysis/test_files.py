"""Files are written whole or not at all."""

import pytest

from analysis.files import write_atomic


@pytest.mark.parametrize(("content", "data"), [("é\n", b"\xc3\xa9\n"), (b"\x00\xff", b"\x00\xff")])
def test_content_replaces_a_file(tmp_path, content, data):
    path = tmp_path / "file"
    path.write_bytes(b"a longer text that was here before")
    write_atomic(path, content)
    assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")

    def fail(self, target):
        assert self.read_bytes() == b"new"
        raise OSError("no space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomic(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_the_folder_must_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomic(tmp_path / "absent" / "file", "text")
