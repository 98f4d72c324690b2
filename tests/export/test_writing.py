"""The files of an export are written together, after they were checked."""

import json
import resource
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nas.errors import MixnasError
from nas.export.base import Written
from nas.export.device import ExportDevice
from nas.export.registry import FORMATS, Format
from nas.export.writing import write_export
from tests.export.exporting import MINI, export_of, logits, trained_like
from tests.formats.test_metadata import METADATA

MODEL = trained_like(MINI)
PAIR = Format((".cfg", ".weights"), "tests_own_format", "two files")


@pytest.fixture
def writer(monkeypatch):
    """Let a function write the two files of a format."""

    def use(run, facts=None, **options):
        def write(export, path):
            path.write_text("cfg")
            path.with_suffix(".weights").write_bytes(b"weights")
            return Written(run, facts=facts or {}, **options)

        monkeypatch.setitem(sys.modules, PAIR.module, SimpleNamespace(write=write))

    return use


def right(images):
    import torch

    return logits(MODEL, torch.from_numpy(images))


def test_all_files_are_written_with_what_is_known_of_them(writer, tmp_path):
    writer(right, {"bflops": 1.5})
    told = write_export(export_of(MODEL), PAIR, tmp_path / "m.cfg", {"format": "pair"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.cfg", "m.cfg.json", "m.weights"]
    assert (tmp_path / "m.weights").read_bytes() == b"weights"
    assert (tmp_path / "m.cfg").stat().st_mode & 0o777 == 0o644
    about = json.loads((tmp_path / "m.cfg.json").read_text())
    assert about == {**told, "spec": MINI.to_dict()}
    assert told == {
        "file": "m.cfg",
        "format": "pair",
        "largest_relative_difference": pytest.approx(0, abs=1e-6),
        "checked_images": 8,
        "same_class": 8,
        "bflops": 1.5,
    }
    told = write_export(export_of(MODEL, metadata=METADATA), PAIR, tmp_path / "m.cfg", {})
    assert json.loads((tmp_path / "m.cfg.json").read_text()) == {**told, **METADATA.to_dict()}


def test_nothing_is_written_if_the_outputs_differ(writer, tmp_path):
    (tmp_path / "m.weights").write_text("mine")
    writer(lambda images: 2 * right(images))
    with pytest.raises(MixnasError, match=r"differ by 1.0e\+00 from torch's"):
        write_export(export_of(MODEL), PAIR, tmp_path / "m.cfg", {})
    assert [path.name for path in tmp_path.iterdir()] == ["m.weights"]
    assert (tmp_path / "m.weights").read_text() == "mine"


def test_a_format_can_have_a_check_of_its_own(writer, tmp_path):
    seen = []
    writer(lambda images: np.zeros((len(images), 10)), check=seen.append)
    write_export(export_of(MODEL), PAIR, tmp_path / "m.cfg", {})
    assert seen[0].difference == 1.0
    assert (tmp_path / "m.cfg").read_text() == "cfg"


def test_an_error_of_the_disk_names_the_file(monkeypatch, writer, tmp_path):
    writer(right)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left") as raised:
        write_export(export_of(MODEL), PAIR, tmp_path / "m.cfg", {})
    assert raised.value.filename == str(tmp_path / "m.weights")
    assert list(tmp_path.iterdir()) == []


def test_an_error_about_a_file_elsewhere_keeps_its_name(monkeypatch, writer, tmp_path):
    def missing(images):
        (tmp_path / "pets" / "bee.jpg").read_bytes()

    writer(missing)
    with pytest.raises(FileNotFoundError) as raised:
        write_export(export_of(MODEL), PAIR, tmp_path / "m.cfg", {})
    assert raised.value.filename == str(tmp_path / "pets" / "bee.jpg")


def test_the_file_that_is_read_first_is_never_beside_others_of_another_export(
    monkeypatch, writer, tmp_path
):
    names = ("m.cfg", "m.weights", "m.cfg.json")
    for name in names:
        (tmp_path / name).write_text("old")
    rename, replace, seen = Path.rename, Path.replace, []

    def watched(move):
        def moved(source, target):
            found = move(source, target)
            seen.append({n: (tmp_path / n).read_text() for n in names if (tmp_path / n).exists()})
            return found

        return moved

    monkeypatch.setattr(Path, "rename", watched(rename))
    monkeypatch.setattr(Path, "replace", watched(replace))
    writer(right)
    write_export(export_of(MODEL), PAIR, tmp_path / "m.cfg", {})
    assert len(seen) >= 3
    for files in seen[:-1]:  # as a process that is killed there leaves them
        assert "m.cfg" not in files
    assert seen[-1].keys() == set(names)
    assert "old" not in seen[-1].values()


@pytest.fixture
def full_disk():
    """Let the system refuse to write more than a few bytes to a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    @contextmanager
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.mark.parametrize("name", [name for name, found in FORMATS.items() if not found.int8])
def test_a_full_disk_is_told_in_every_format(name, full_disk, request, tmp_path):
    if name == "timm":
        request.getfixturevalue("timm")
    form = FORMATS[name]
    path = tmp_path / f"net{form.endings[0]}"
    form.writer()
    with full_disk(), pytest.raises(OSError, match=r"File too large|cannot write") as raised:
        write_export(export_of(MODEL), form, path, {})
    assert Path(raised.value.filename) in form.files(path)
    assert str(raised.value).count(str(tmp_path)) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_timed_on_a_device(monkeypatch, writer, tmp_path):
    seen = []

    def latency(device, written, spec):
        seen.append((device, written.model(), spec))
        return {"file_latency": {"steady_ms": 1.5}}

    monkeypatch.setattr("nas.export.writing.file_latency", latency)
    writer(right, model=lambda: b"model")
    device = ExportDevice(PAIR, "onnxruntime:cpu")
    told = write_export(export_of(MODEL), PAIR, tmp_path / "m.cfg", {}, device)
    assert seen == [(device, b"model", MINI)]
    assert told["file_latency"] == {"steady_ms": 1.5}
    assert json.loads((tmp_path / "m.cfg.json").read_text())["file_latency"]["steady_ms"] == 1.5
