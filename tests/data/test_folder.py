import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import folder, load_data
from nas.errors import MixnasError
from tests.data.writing import write_folder


def sizes(data):
    return {part: len(files) for part, files in data.files.items()}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("",), (18, 6, 6)),
        (("train",), (18, 6, 6)),
        (("train", "test"), (24, 6, 30)),
        (("train", "val"), (24, 6, 30)),
        (("train", "valid", "test"), (30, 30, 30)),
    ],
)
def test_layouts(tmp_path, parts, expected):
    data = load_data(str(write_folder(tmp_path / "pets", parts)))
    assert data.classes == ("ant", "bee", "cat")
    assert tuple(sizes(data).values()) == expected
    assert not {f for f, _ in data.files["train"]} & {f for f, _ in data.files["validation"]}
    images = data.at(16)
    for part, labels in images.labels.items():
        brightness = images.images[part][:, 0].float().mean((1, 2))
        assert torch.allclose(brightness, labels * 80.0 + 10)
        assert images.images[part].shape == (len(labels), 3, 16, 16)


def test_images_are_decoded_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    root = write_folder(tmp_path / "pets")
    steps = []
    first = load_data(str(root)).at(16, lambda done, total: steps.append((done, total)))
    assert steps == [(30, 30)]
    second = load_data(str(root)).at(16, lambda *_: pytest.fail("decoded again"))
    assert first.fingerprint() == second.fingerprint()
    Image.new("RGB", (50, 50)).save(root / "ant" / "000.png")
    assert load_data(str(root)).fingerprint() != first.fingerprint()
    assert load_data(str(root)).at(16).fingerprint() != first.fingerprint()


def test_the_middle_square_is_taken_upright(tmp_path):
    root = write_folder(tmp_path / "pets")
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255  # white in the middle third
    for path in root.rglob("*.png"):
        Image.fromarray(wide).save(path)
    assert (load_data(str(root)).at(20).images["train"] == 255).all()
    halves = np.zeros((32, 32, 3), np.uint8)
    halves[16:] = 255  # white below; turned by its tag, white on the left
    tag = Image.Exif()
    tag[0x0112] = 6
    for path in root.rglob("*.png"):
        Image.fromarray(halves).save(path, exif=tag)
    turned = load_data(str(root)).at(32).images["train"].float().mean((0, 1))
    assert (turned[:, :16] == 255).all()
    assert (turned[:, 16:] == 0).all()


def test_all_kinds_of_files_are_read(tmp_path):
    root = tmp_path / "pets"
    for kind in ("png", "jpg", "bmp", "gif", "webp", "tiff"):
        write_folder(root, n=6, kind=kind)
    (root / "ant" / "notes.txt").write_text("no image")
    (root / "ant" / "._001.png").write_bytes(b"of another system")
    gray = Image.new("L", (20, 20), 10)
    gray.save(root / "ant" / "gray.png")
    Image.new("RGBA", (20, 20), (10, 0, 0, 0)).save(root / "ant" / "clear.png")
    Image.new("I;16", (20, 20), 10).save(root / "ant" / "deep.png")
    data = load_data(str(root)).at(8)
    assert data.broken == ()
    assert sum(len(labels) for labels in data.labels.values()) == 39


def test_broken_images_are_counted_and_named_and_the_rest_is_used(tmp_path):
    root = write_folder(tmp_path / "pets", kind="jpg", side=64)
    whole = (root / "ant" / "000.jpg").read_bytes()
    (root / "ant" / "000.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "bee" / "001.jpg").write_bytes(b"")
    (root / "cat" / "002.jpg").write_bytes(b"<html>not found</html>")
    data = load_data(str(root)).at(16)
    assert len(data.broken) == 3
    assert {line.partition(":")[0] for line in data.broken} == {
        str(root / name) for name in ("ant/000.jpg", "bee/001.jpg", "cat/002.jpg")
    }
    assert sum(len(labels) for labels in data.labels.values()) == 27
    for part, labels in data.labels.items():
        brightness = data.images[part][:, 0].float().mean((1, 2))
        assert (brightness - labels * 80.0 - 10).abs().max() < 4


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    root = write_folder(tmp_path / "pets")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_data(str(root)).at(16, stop)
    assert not [p for p in (tmp_path / "cache" / "data").iterdir() if p.suffix != ".lock"]
    assert len(load_data(str(root)).at(16).labels["train"]) == 18


def test_folders_that_are_no_data_are_refused(tmp_path):
    def told():
        with pytest.raises(MixnasError) as error:
            load_data(str(tmp_path)).at(8)
        return str(error.value)

    assert "has no class folders; expected" in told()
    (tmp_path / "ant").mkdir()
    assert "has only one class, 'ant'; give at least two" in told()
    write_folder(tmp_path, n=12)
    assert "at least 5 training images, but ant has 4, bee has 4, cat has 4" in told()
    write_folder(tmp_path, n=30)
    (tmp_path / "empty").mkdir()
    assert told().endswith("but empty has 0")
    (tmp_path / "empty").rmdir()
    for path in (tmp_path / "bee").iterdir():
        path.write_bytes(b"broken")
    assert told().endswith("but bee has 0")
    shutil.rmtree(tmp_path / "bee")
    write_folder(tmp_path, ("train", "test"), n=30)
    write_folder(tmp_path, ("test",), n=30, classes=("dog", "eel"))
    assert "has a class 'dog' that the training split lacks" in told()
    shutil.rmtree(tmp_path / "test")
    (tmp_path / "test").mkdir()
    assert "test has no images" in told()


def test_the_side_of_files_is_read_from_their_headers(tmp_path, monkeypatch):
    root = write_folder(tmp_path / "pets", n=300)
    assert load_data(str(root)).own_side() == 24
    for path in sorted(root.rglob("*.png"))[::3]:
        Image.new("RGB", (50, 40)).save(path)
    opened = []
    monkeypatch.setattr(folder, "shorter_side", lambda file: opened.append(file) or 70)
    data = load_data(str(root))
    assert (data.own_side(), data.own_side()) == (70, 70)
    assert len(opened) == len(set(opened)) == 64
    monkeypatch.undo()
    whole = (root / "ant" / "000.png").read_bytes()
    for path in root.rglob("*.png"):
        path.write_bytes(whole[:60])  # the header, without pixels
    assert load_data(str(root)).own_side() == 40
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(MixnasError, match="none of 64 training images can be read, the first"):
        load_data(str(root)).own_side()


def test_the_cache_is_known_before_it_is_filled(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    data = load_data(str(write_folder(tmp_path / "pets")))
    assert data.cached_bytes(16) == 30 * 3 * 16 * 16 + 128
    assert data.cache_fits(16)
    data.at(16)
    (pixels,) = (tmp_path / "cache" / "data").glob("*.npy")
    assert pixels.stat().st_size == data.cached_bytes(16)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert data.cache_fits(16)  # it is there
    assert not data.cache_fits(20)
