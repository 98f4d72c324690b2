import io
import resource
import struct
import sys
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageOps

from nas.data.decoding import largest_deep_value, read_image, shorter_side
from tests.data.writing import jpeg, photograph
from tests.fuzzing import mutants


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


RAMP = np.linspace(0, 65_535, 32 * 32).astype(np.uint16).reshape(32, 32)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_images_of_16_bits_are_scaled(kind):
    square = read_image(encoded(Image.fromarray(RAMP), kind), 32)
    assert square.min() == 0
    assert square.max() == 255
    assert (square == np.rint(RAMP / 257).astype(np.uint8)).all()


@pytest.mark.parametrize(
    ("bits", "photometric", "told"),
    [
        (12, 1, "12 bits in which zero is black"),
        (16, 0, "16 bits in which zero is not black"),
    ],
)
def test_deep_tiffs_whose_numbers_mean_something_else_are_told(bits, photometric, told):
    """Pillow reads both as if 65,535 were white."""
    file = encoded(Image.fromarray(RAMP), "TIFF")
    raw = bytearray(file.raw)
    for tag, value in ((258, bits), (262, photometric)):
        entry = raw.index(struct.pack("<HHI", tag, 3, 1))
        raw[entry + 8 : entry + 10] = struct.pack("<H", value)
    if bits == 12:
        with Image.open(io.BytesIO(bytes(raw))) as image:
            if image.mode != "I;16":
                pytest.skip("this Pillow reads 12 bits in another way")
    reason = read_image(Held(bytes(raw)), 32)
    assert told in reason
    assert reason.endswith("convert it to 8 bits, or to 16 bits in which zero is black")


def test_strips_of_a_deep_scan_are_its_whole(monkeypatch):
    tall = np.tile(RAMP, (40, 1))
    monkeypatch.setattr("nas.data.decoding._STRIP", 100)
    square = read_image(encoded(Image.fromarray(tall), "PNG"), 32)
    monkeypatch.setattr("nas.data.decoding._STRIP", 10_000)
    assert (square == read_image(encoded(Image.fromarray(tall), "PNG"), 32)).all()


def test_of_16_bits_a_colour_may_be_transparent():
    file = encoded(Image.fromarray(RAMP), "PNG", transparency=0)
    assert read_image(file, 32)[:, 0, 0].tolist() == [255, 255, 255]
    assert read_image(file, 32)[:, 0, -1].tolist() == [round(int(RAMP[0, -1]) / 257)] * 3


def test_floating_point_images_are_read_from_0_to_1():
    shares = (RAMP / 65_535).astype(np.float32)
    square = read_image(encoded(Image.fromarray(shares), "TIFF"), 32)
    assert (square == np.rint(shares * 255).astype(np.uint8)).all()
    for values, told in ((shares * 255, "are from 0 to 255;"), (shares - 0.5, "from -0.5 to 0.5;")):
        reason = read_image(encoded(Image.fromarray(values), "TIFF"), 32)
        assert told in reason
        assert reason.endswith("convert it to 8 or 16 bits, or to values from 0 to 1")
    shares[3, 3] = np.nan
    reason = read_image(encoded(Image.fromarray(shares), "TIFF"), 32)
    assert reason == "some of its floating-point values are not numbers (NaN)"


def test_whole_numbers_without_a_known_range_are_not_guessed():
    reason = read_image(encoded(Image.fromarray(RAMP.astype(np.int32)), "TIFF"), 32)
    assert reason.endswith("so that their range is not known; convert it to 8 or 16 bits")


def drawing(mode):
    """Black on black that is transparent, with an opaque red pixel and a half transparent one."""
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255))
    image.putpixel((2, 0), (255, 0, 0, 255))
    image.putpixel((3, 0), (0, 0, 0, 128))
    return image.convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparent_images_are_laid_on_white(kind):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    square = read_image(encoded(drawing("RGBA"), kind, **options), 8)
    assert square[:, 0, :4].T.tolist() == [[255] * 3, [0] * 3, [255, 0, 0], [127] * 3]
    assert (square[:, 1:] == 255).all()


def test_transparency_has_many_forms():
    gray = read_image(encoded(drawing("LA"), "PNG"), 8)
    assert gray[:, 0, :2].T.tolist() == [[255] * 3, [0] * 3]
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0] * 2)
    palette.putpixel((1, 0), 0)
    for kind in ("PNG", "GIF"):
        square = read_image(encoded(palette, kind, transparency=1), 8)
        assert square[:, 5, 5].tolist() == [255] * 3
        assert square[:, 0, 1].tolist() == [0] * 3
    key = encoded(Image.new("RGB", (8, 8), (9, 0, 0)), "PNG", transparency=(9, 0, 0))
    assert (read_image(key, 8) == 255).all()
    solid = encoded(photograph(40, 40).convert("RGBA"), "PNG")
    assert (read_image(solid, 40) == by_pillow(solid, 40)).all()


def png_header(width, height, content=b""):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(content)) + chunk(b"IEND", b"")
    return Held(b"\x89PNG\r\n\x1a\n" + head + body)


def test_headers_that_claim_too_much_are_not_believed():
    reason = read_image(png_header(12_000, 12_000), 8)
    assert reason.startswith("it claims to have 12000x12000 pixels in 6")
    assert "exceeds limit" in read_image(png_header(60_000, 60_000), 8)


def test_formats_for_which_other_programs_are_started_are_not_opened():
    page = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    assert Image.open(io.BytesIO(page)).format == "EPS"
    assert read_image(Held(page), 8).endswith("the file is not an image of a known format")
    assert shorter_side(Held(page)) is None


@pytest.mark.parametrize(
    ("kind", "image"),
    [
        ("JPEG", photograph(48, 40)),
        ("PNG", photograph(24, 20).convert("RGBA")),
        ("GIF", photograph(24, 20).convert("P")),
        ("WEBP", photograph(48, 40)),
        ("BMP", photograph(24, 20)),
        ("TIFF", Image.fromarray(RAMP)),
        ("PPM", Image.fromarray(RAMP)),
    ],
)
def test_whatever_is_in_a_file_it_is_read_or_told(kind, image):
    whole = encoded(image, kind).raw
    read = told = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for raw in [whole, *mutants(whole, 100), *mutants(whole[:64], 50)]:
        result = read_image(Held(raw), 16)
        if isinstance(result, str):
            assert result
            assert "\n" not in result
            told += 1
        else:
            assert result.shape == (3, 16, 16)
            read += 1
    assert read >= 1
    assert told >= 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB


def deep_png(values):
    """A PNG of 16 bits: gray (H, W), gray and opacity (H, W, 2), colours (H, W, 3) or (H, W, 4)."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name, content):
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return Held(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_the_largest_value_of_16_bits_is_found():
    gray = np.array([[0, 4095], [17, 300]], np.uint16)
    assert largest_deep_value(deep_png(gray)) == 4095
    colours = np.stack([gray, gray // 2, gray // 4], axis=2)
    opaque = np.full((2, 2, 1), 65535, np.uint16)
    for values in (colours, np.concatenate([colours, opaque], axis=2)):
        assert largest_deep_value(deep_png(values)) == 4095  # 15, and the lower 8 bits
    assert largest_deep_value(deep_png(np.concatenate([gray[..., None], opaque], axis=2))) == 4095
    assert largest_deep_value(deep_png(np.zeros((2, 2, 3), np.uint16))) == 0  # black
    shallow = io.BytesIO()
    Image.fromarray(gray.astype(np.uint8)).save(shallow, "png")
    assert largest_deep_value(Held(shallow.getvalue())) is None
    assert largest_deep_value(Held(b"no image")) is None
