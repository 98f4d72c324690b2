import io
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageOps

from nas.data.decoding import read_image, shorter_side
from tests.data.writing import jpeg, photograph


@dataclass
class Held:
    """A file in memory."""

    raw: bytes

    def read_bytes(self):
        return self.raw


def encoded(image, kind="JPEG", **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return Held(content.getvalue())


def by_pillow(file, side):
    """The central square, the simplest way."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(file.raw))).convert("RGB")
    square = ImageOps.fit(image, (side, side), Image.Resampling.BILINEAR)
    return np.asarray(square).transpose(2, 0, 1)


def apart(a, b):
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_photographs_have_the_pixels_that_pillow_gives(subsampling, progressive):
    file = encoded(photograph(), quality=90, subsampling=subsampling, progressive=progressive)
    square = read_image(file, 112)
    assert square.flags.c_contiguous
    assert square.flags.writeable
    difference = apart(square, by_pillow(file, 112))
    assert difference.mean() < 0.05
    assert difference.max() <= 8
    whole = encoded(photograph(64, 64), quality=90, subsampling=subsampling)
    assert (read_image(whole, 64) == by_pillow(whole, 64)).all()  # nothing to resize


def test_without_the_package_pillow_decodes_to_the_same_pixels(monkeypatch):
    files = [encoded(photograph(*size), quality=85) for size in ((200, 150), (99, 101), (33, 7))]
    squares = [read_image(file, 64) for file in files]
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    assert all((read_image(f, 64) == s).all() for f, s in zip(files, squares, strict=True))


def test_photographs_are_decoded_small_for_small_sides():
    file = encoded(photograph(500, 375))
    with Image.open(io.BytesIO(file.raw)) as image:
        image.draft("RGB", (72, 72))
        assert image.size == (125, 94)
        expected = ImageOps.fit(image, (36, 36), Image.Resampling.BILINEAR)
    assert (read_image(file, 36) == np.asarray(expected).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(orientation):
    tag = Image.Exif()
    tag[0x0112] = orientation
    file = encoded(photograph(90, 60), exif=tag)
    assert apart(read_image(file, 60), by_pillow(file, 60)).mean() < 0.05
    seen = []

    def crop(width, height):
        seen.append((width, height))
        return (0.0, 0.0, 30.0, 20.0)

    read_image(file, 16, crop)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file.raw)))
    image = Image.open(io.BytesIO(file.raw))
    image.draft("RGB", (32, 32))
    scale = upright.size[0] / ImageOps.exif_transpose(image).size[0]
    assert seen == [(upright.size[0] // scale, upright.size[1] // scale)]


def test_jpegs_of_other_kinds_are_those_of_pillow():
    gray = encoded(photograph().convert("L"))
    inks = encoded(photograph().convert("CMYK"))
    for file in (gray, inks, encoded(photograph(), "PNG"), encoded(photograph(), "WEBP")):
        assert (read_image(file, 112) == by_pillow(file, 112)).all()
    plain_colours = encoded(photograph(), keep_rgb=True)
    assert apart(read_image(plain_colours, 112), by_pillow(plain_colours, 112)).mean() < 0.05


def test_damaged_jpegs_are_judged_by_pillow():
    whole = encoded(photograph()).raw
    assert "truncated" in read_image(Held(whole[: len(whole) // 2]), 112)
    blot = Held(whole[:3000] + b"\x55" * 40 + whole[3040:])
    assert apart(read_image(blot, 112), by_pillow(blot, 112)).mean() < 0.05


def test_what_is_no_image_is_told(tmp_path):
    told = read_image(Held(b"<html>not found</html>"), 8)
    assert told == "UnidentifiedImageError: the file is not an image of a known format"
    assert read_image(tmp_path / "none.png", 4).startswith("FileNotFoundError: ")


def test_a_crop_is_cut_out_and_resized(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    seen = []

    def crop(width, height):
        seen.append((width, height))
        return (28.0, 9.0, 38.0, 19.0)

    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=100)
    square = read_image(tmp_path / "a.png", 10, crop)
    assert seen == [(40, 20)]
    assert (square == pixels[9:19, 28:38].transpose(2, 0, 1)).all()
    assert read_image(tmp_path / "a.png", 4, crop).shape == (3, 4, 4)
    cut = np.asarray(Image.open(tmp_path / "a.jpg"))[9:19, 28:38].transpose(2, 0, 1)
    assert (read_image(tmp_path / "a.jpg", 10, crop) == cut).all()
    assert seen == [(40, 20)] * 3


def test_crops_are_rounded_to_at_least_one_pixel():
    file = encoded(photograph(40, 30))
    pixels = np.asarray(Image.open(io.BytesIO(file.raw)))
    for box, place in (((39.7, 29.8, 40.0, 30.0), (29, 39)), ((3.1, 4.2, 3.3, 4.4), (4, 3))):
        square = read_image(file, 20, lambda *_, box=box: box)
        assert (square == pixels[place][:, None, None]).all()


def test_the_shorter_side_is_in_the_header(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(side=100))
    assert shorter_side(tmp_path / "a.jpg") == 100
    assert shorter_side(Held(b"no image")) is None
    assert shorter_side(tmp_path / "none.jpg") is None
