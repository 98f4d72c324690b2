import os
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import described, folder, load_data
from nas.errors import MixnasError
from tests.data.writing import write_folder


def sizes(data):
    return {part: len(files) for part, files in data.files.items()}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("",), (21, 6, 3)),  # about 60/20/20, by the names of the files
        (("train",), (21, 6, 3)),
        (("train", "test"), (24, 6, 30)),
        (("train", "val"), (24, 6, 30)),
        (("Training", "Testing"), (24, 6, 30)),
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


def test_an_image_that_is_added_moves_no_other(tmp_path):
    root = write_folder(tmp_path / "pets", n=200, classes=("ant", "bee"), side=8)
    before = load_data(str(root))
    assert sizes(before) == {"train": 132, "validation": 35, "test": 33}
    for number in range(5):
        Image.new("RGB", (8, 8)).save(root / "ant" / f"a{number}.png")
        after = load_data(str(root))
        for part in before.files:
            assert set(before.files[part]) <= set(after.files[part])
    assert sum(sizes(after).values()) == 205
    root.rename(tmp_path / "moved")
    moved = load_data(str(tmp_path / "moved"))
    assert [moved.name_of(file) for file, _ in moved.files["test"]] == [
        after.name_of(file) for file, _ in after.files["test"]
    ]


@pytest.mark.parametrize("kind", ["ppm", "bmp", "tiff"])
def test_images_of_equal_names_and_sizes_are_told_apart(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    shades = {}
    for shade in (10, 200):
        root = write_folder(tmp_path / f"pets{shade}", kind=kind)
        for path in root.rglob(f"*.{kind}"):
            Image.new("RGB", (24, 32), (shade,) * 3).save(path)
        shades[shade] = load_data(str(root))
    assert len({data.fingerprint() for data in shades.values()}) == 2
    for shade, data in shades.items():
        assert (data.at(16).images["train"] == shade).all()


def test_an_edited_image_is_decoded_again(tmp_path, monkeypatch):
    """Whatever its size, and whatever its time of modification was set to."""
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    root = write_folder(tmp_path / "pets", kind="bmp")
    data = load_data(str(root))
    known_as = data.fingerprint()
    assert data.at(8).images["test"].max() < 200
    for path in root.rglob("*.bmp"):
        before = path.stat()
        Image.new("RGB", (24, 32), (200,) * 3).save(path)
        assert path.stat().st_size == before.st_size
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert data.fingerprint() != known_as
    assert (load_data(str(root)).at(8).images["test"] == 200).all()


def test_images_that_change_while_they_are_read_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    root = write_folder(tmp_path / "pets")

    def change(*_):
        Image.new("RGB", (50, 50)).save(root / "ant" / "000.png")

    with pytest.raises(MixnasError, match="changed while they were read; repeat the command"):
        load_data(str(root)).at(16, change)
    assert not list((tmp_path / "cache" / "data").glob("*.npy"))
    steps = []
    load_data(str(root)).at(16, lambda *step: steps.append(step))
    assert steps == [(30, 30)]


def test_a_class_just_large_enough_is_in_every_split(tmp_path):
    for name in "abcdefgh":
        write_folder(tmp_path / "pets", n=5, classes=(name,), side=8)
    data = load_data(str(tmp_path / "pets"))
    for part in data.files:
        assert set(data.labels_of(part)) == set(range(8))
    assert set(data.at(8).labels["train"].tolist()) == set(range(8))


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
    data = load_data(str(root))
    assert len(data.at(16).labels["train"]) == data.count("train")


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
    for name in ("ant", "cat"):
        shutil.rmtree(tmp_path / name)
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


def test_hidden_folders_are_passed_over(tmp_path):
    root = write_folder(tmp_path / "pets")
    for hidden in ("ant/.ipynb_checkpoints", "__MACOSX/ant", "bee/more/.thumbs"):
        (root / hidden).mkdir(parents=True)
        shutil.copy(root / "cat" / "002.png", root / hidden / "002-checkpoint.png")
    shutil.copy(root / "bee" / "001.png", root / "bee" / "more" / "a.png")
    data = load_data(str(root))
    assert data.classes == ("ant", "bee", "cat")
    names = [data.name_of(file) for files in data.files.values() for file, _ in files]
    assert len(names) == 31
    assert "bee/more/a.png" in names


def test_images_of_types_that_are_not_read_are_counted(tmp_path):
    root = write_folder(tmp_path / "pets", ("train", "test"))
    for name in ("train/ant/a.heic", "train/bee/b.HEIC", "test/cat/c.dng", "train/ant/notes.txt"):
        (root / name).write_bytes(b"content")
    assert load_data(str(root)).left_out == (
        "images of types that are not read (2 .heic, 1 .dng); convert them to JPEG or PNG",
    )


def test_more_names_of_jpeg_and_avif_are_read(tmp_path):
    root = write_folder(tmp_path / "pets", n=27, kind="jpg")
    for index, kind in enumerate(("jfif", "jpe")):
        (root / "ant" / f"{3 * index:03}.jpg").rename(root / "ant" / f"{index}.{kind}")
    Image.new("RGB", (24, 24), (10, 0, 0)).save(root / "ant" / "a.avif")
    data = load_data(str(root))
    assert data.left_out == ()
    images = data.at(8)
    assert images.broken == ()
    assert sum(images.count(part) for part in images.labels) == 28


def test_names_that_are_not_utf8_are_used_and_shown(tmp_path):
    root = write_folder(tmp_path / "pets")
    (root / "ant").rename(root / os.fsdecode(b"\xffant"))
    for index, path in enumerate(sorted((root / "bee").iterdir())):
        path.rename(path.with_name(os.fsdecode(b"\xe4%d.png" % index)))
    (root / "bee" / os.fsdecode(b"\xe42.png")).write_bytes(b"no image")
    data = load_data(str(root))
    assert data.classes == ("bee", "cat", "\\xffant")
    images = data.at(8)
    assert len(data.fingerprint()) == 16
    assert sum(images.count(part) for part in images.labels) == 29
    shown = [*images.broken, *images.remarks(), *described(data)]
    assert f"{root}/bee/\\xe42.png: UnidentifiedImageError" in images.broken[0]
    for text in shown:
        text.encode("utf-8")


def test_a_class_of_five_images_is_large_enough(tmp_path):
    root = write_folder(tmp_path / "pets", n=15)
    data = load_data(str(root)).at(8)
    assert sum(data.count(part) for part in data.labels) == 15
    for part in data.labels:
        assert set(data.labels[part].tolist()) == {0, 1, 2}
    for path in sorted((root / "ant").iterdir()):
        path.write_bytes(b"no image")
    with pytest.raises(MixnasError, match="but ant has 0"):
        load_data(str(root)).at(8)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_part_without_images_that_can_be_read_is_found_at_once(tmp_path, part):
    root = write_folder(tmp_path / "pets", ("train", "val", "test"))
    data = load_data(str(root))
    data.check_readable()
    for path in (root / part).rglob("*.png"):
        path.write_bytes(b"no image")
    what = "validation" if part == "val" else part
    told = rf"none of the \d+ {what} images can be read: .*{part}/ant/000\.png: Unidentified"
    with pytest.raises(MixnasError, match=told):
        data.check_readable()


@pytest.mark.parametrize(
    ("largest", "told"),
    [
        (1023, "exceeds 1023, as if only 10 bits were used; .* multiply their values by 64, or"),
        (1024, "exceeds 1024, as if only 12 bits were used; .* multiply their values by 16, or"),
        (4095, "exceeds 4095, as if only 12 bits were used; .* multiply their values by 16, or"),
        (16383, "exceeds 16383, as if only 14 bits were used; .* multiply their values by 4, or"),
        (16384, None),
        (0, None),
    ],
)
def test_images_of_16_bits_that_hold_fewer_are_told(tmp_path, largest, told):
    for number in range(10):
        folder = tmp_path / "data" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = np.full((8, 8), largest * (number + 1) // 10, np.uint16)
        values[0, 0] = largest
        Image.fromarray(values).save(folder / f"{number}.png")
    data = load_data(str(tmp_path / "data"))
    remarks = data.dark_remarks()
    assert len(remarks) == (told is not None)
    if told is not None:
        assert re.search(told, remarks[0])
        assert remarks[0].startswith(f"{data.name}: no value of {data.count('train')} images of 16")
        assert remarks[0] in described(data)


def test_one_bright_image_is_enough_and_images_of_8_bits_do_not_count(tmp_path):
    write_folder(tmp_path / "data", n=40)
    assert load_data(str(tmp_path / "data")).dark_remarks() == []
    for file in (tmp_path / "data" / "ant").iterdir():
        Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(file)
    (remark,) = load_data(str(tmp_path / "data")).dark_remarks()
    assert "of 16 bits exceeds 4000" in remark
    for file in (tmp_path / "data" / "bee").iterdir():
        Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(file)
    assert load_data(str(tmp_path / "data")).dark_remarks() == []
