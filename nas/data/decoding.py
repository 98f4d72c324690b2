"""One image file, decoded and resized: quickly, and to the same pixels on every machine.

JPEG files are most of what is trained on. libjpeg-turbo, called without a detour, decodes them to
the pixels that Pillow decodes them to, and torch resizes these by the vector instructions of the
processor. Where the package that calls it is missing, Pillow decodes: slower, but to equal pixels.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch.nn import functional as F

DECODING = 3
"""Version of the pixels that `read_image` returns, which names of cached pixels contain."""
Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge of a crop, in pixels."""
_UPRIGHT = 1  # value of the EXIF tag of the orientation
# Pillow knows further formats; for some of them it starts other programs.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "TIFF", "PPM")
_MOST_BYTES = 1 << 30  # of an image file
_ALWAYS_DECODED = 4_000_000  # pixels that any file may have
_MOST_PIXELS_PER_BYTE = 1_000  # further ones; formats reach this for images of one colour
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")  # of 16 bits
_DEEPEST = (1 << 16) - 1
_STRIP = 256  # rows that are scaled at once
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ZERO_IS_BLACK = 258, 262, 1  # of TIFF
_BACKGROUND = (255, 255, 255, 255)  # white, as of paper and of web pages


class _UnclearImageError(Exception):
    """An image that is whole, but whose pixels have no certain meaning here."""


class ImageFile(Protocol):
    """What an image is read from: a `pathlib.Path`, or a member of a shard."""

    def read_bytes(self) -> bytes:
        """Return the content of the file."""
        ...


def read_image(
    file: ImageFile, resolution: int, crop: Callable[[int, int], Box] | None = None
) -> np.ndarray | str:
    """Read an image file, turned upright and resized to a square.

    Args:
        file: Where the image is.
        resolution: Side R of the result, in pixels.
        crop: Returns the crop for a width and a height; None for the central square. The edges of
            crops may be rounded to whole pixels.

    Returns:
        Pixels, uint8, shape (3, R, R), contiguous and writable; or the reason why the file cannot
        be read.
    """
    try:
        raw = file.read_bytes()
        # Warnings are about odd metadata and large images; real failures are returned.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(raw), formats=_FORMATS) as image,
        ):
            size = image.size
            image.draft("RGB", (2 * resolution, 2 * resolution))  # decodes large photographs faster
            _check_size(image, len(raw))
            if _is_plain_jpeg(image) and image.size == size:
                return _resized(_jpeg_pixels(raw, image), resolution, crop)
            return _by_pillow(image, resolution, crop)
    except UnidentifiedImageError:  # its text would name an object in memory
        return "UnidentifiedImageError: the file is not an image of a known format"
    except _UnclearImageError as error:
        return str(error)
    except Exception as error:  # decoders raise all kinds on damaged files
        return f"{type(error).__name__}: {error}".partition("\n")[0]


def _check_size(image: Image.Image, packed: int) -> None:
    """Refuse an image whose header claims more pixels than its file can be expected to hold."""
    width, height = image.size
    if width * height > _ALWAYS_DECODED + _MOST_PIXELS_PER_BYTE * packed:
        raise _UnclearImageError(f"it claims to have {width}x{height} pixels in {packed} bytes")


def shorter_side(file: ImageFile) -> int | None:
    """Return the shorter side of an image in pixels, from its header; None if it has none."""
    try:
        source: Any = file if isinstance(file, Path) else io.BytesIO(file.read_bytes())
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(source, formats=_FORMATS) as image,
        ):
            return min(image.size)
    except Exception:  # as above
        return None


def largest_deep_value(file: ImageFile) -> int | None:
    """Return the largest value in an image of 16 bits, 0..65535; None if it has none of 16 bits.

    Of images in colours, Pillow keeps the higher 8 bits; the lower ones count as set.
    """
    try:
        # Of other images, the header only is read.
        source: Any = file if isinstance(file, Path) else io.BytesIO(file.read_bytes())
        size = file.stat().st_size if isinstance(file, Path) else len(source.getbuffer())
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(source, formats=_FORMATS) as image,
        ):
            is_gray = image.mode in _DEEP_MODES
            if not is_gray and not _is_deep_png(image):
                return None
            _check_size(image, size)
            _check_tiff(image)
            values = np.asarray(image)
            if is_gray:
                return int(values.max())
            colours = values[..., :-1] if image.mode in ("LA", "RGBA") else values
            largest = int(colours.max())
            return largest << 8 | 0xFF if largest else 0  # a black image tells nothing
    except Exception:  # as above
        return None


def _is_deep_png(image: Image.Image) -> bool:
    return image.format == "PNG" and any(
        ";16" in str(tile[3]) for tile in getattr(image, "tile", ())
    )


def _is_plain_jpeg(image: Image.Image) -> bool:
    """Tell whether an image is a JPEG in colours that is upright as it is stored."""
    if image.format != "JPEG" or image.mode != "RGB":
        return False
    return bool(image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) == _UPRIGHT)


def _by_pillow(
    image: Image.Image, resolution: int, crop: Callable[[int, int], Box] | None
) -> np.ndarray:
    """Decode and resize any image by Pillow."""
    size = (resolution, resolution)
    _check_tiff(image)
    upright = _in_colours(ImageOps.exif_transpose(image), image.format)
    if crop is None:
        square = ImageOps.fit(upright, size, Image.Resampling.BILINEAR)
    else:
        box = crop(*upright.size)
        square = upright.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    return np.array(np.asarray(square).transpose(2, 0, 1), order="C")


def _check_tiff(image: Image.Image) -> None:
    """Refuse deep gray images that Pillow reads as if all 16 bits counted, and zero were black.

    Raises:
        _UnclearImageError: If it is such an image.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is None or image.mode not in _DEEP_MODES:
        return
    bits, meaning = tags.get(_BITS_PER_SAMPLE, (16,)), tags.get(_PHOTOMETRIC, _ZERO_IS_BLACK)
    bits = bits[0] if isinstance(bits, tuple) else bits
    if bits != 16 or meaning != _ZERO_IS_BLACK:
        raise _UnclearImageError(
            f"it is a gray TIFF of {bits} bits in which zero is "
            f"{'black' if meaning == _ZERO_IS_BLACK else 'not black'}; convert it to 8 bits, or to "
            "16 bits in which zero is black"
        )


def _in_colours(image: Image.Image, kind: str | None) -> Image.Image:
    """Return any image in RGB of 8 bits; `kind` is the format of its file.

    16 bits are scaled to 8, floating-point numbers from 0..1. Transparent images are laid on white:
    below transparency, files have any colour.

    Raises:
        _UnclearImageError: If numbers have no known range: floating-point ones beyond 0..1, and
            whole ones of 32 bits, except those to which Pillow scales deep PGM files.
    """
    if image.mode in _DEEP_MODES or (image.mode == "I" and kind == "PPM"):
        deep, clear = np.asarray(image), image.info.get("transparency")
        gray = np.empty(deep.shape, np.uint8)
        for top in range(0, len(deep), _STRIP):  # of 64 bits, a whole scan would take gigabytes
            strip = deep[top : top + _STRIP].astype(np.int64)
            if isinstance(clear, int):
                strip[strip == clear] = _DEEPEST
            gray[top : top + _STRIP] = (strip * 255 + _DEEPEST // 2) // _DEEPEST
        return _gray(gray)
    if image.mode == "F":
        values = np.asarray(image)
        low, high = float(values.min()), float(values.max())
        if math.isnan(low):
            raise _UnclearImageError("some of its floating-point values are not numbers (NaN)")
        if not 0 <= low <= high <= 1:
            raise _UnclearImageError(
                f"its floating-point values are from {low:.4g} to {high:.4g}; convert it to 8 or "
                "16 bits, or to values from 0 to 1"
            )
        return _gray(np.rint(values * 255))
    if image.mode == "I":
        raise _UnclearImageError(
            "its values are signed or have 32 bits, so that their range is not known; convert it "
            "to 8 or 16 bits"
        )
    if not image.has_transparency_data:
        return image.convert("RGB")
    drawing = image.convert("RGBA")
    background = Image.new("RGBA", drawing.size, _BACKGROUND)
    return Image.alpha_composite(background, drawing).convert("RGB")


def _gray(values: np.ndarray) -> Image.Image:
    """Return values 0..255, shape (H, W), as an image in RGB."""
    return Image.fromarray(values.astype(np.uint8, copy=False)).convert("RGB")


def _jpeg_pixels(raw: bytes, image: Image.Image) -> np.ndarray:
    """Decode a JPEG in colours; returns pixels (H, W, 3), the same whatever decodes them."""
    try:
        import simplejpeg

        pixels: np.ndarray = simplejpeg.decode_jpeg(raw, "RGB")
        return pixels
    except (ImportError, ValueError):  # not installed; or damaged, which Pillow judges
        return np.array(image)


def _resized(
    pixels: np.ndarray, resolution: int, crop: Callable[[int, int], Box] | None
) -> np.ndarray:
    """Cut (H, W, 3) to a crop, or the central square, and resize that to (3, R, R)."""
    height, width = pixels.shape[:2]
    if crop is None:
        side = min(height, width)
        left, upper = (width - side) // 2, (height - side) // 2
        right, lower = left + side, upper + side
    else:
        left, upper, right, lower = _whole(crop(width, height), width, height)
    # torch resizes contiguous pixels with interleaved channels in about half the time of others.
    cut = np.ascontiguousarray(pixels[upper:lower, left:right])
    image = torch.from_numpy(cut).permute(2, 0, 1)[None]
    if cut.shape[:2] != (resolution, resolution):
        size = (resolution, resolution)
        image = F.interpolate(image, size, mode="bilinear", antialias=True)
    # numpy's copy: torch's would be shared among threads, which costs more than the copy itself.
    return np.array(image[0].numpy(), order="C")


def _whole(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Round the edges of a crop to whole pixels, of which at least one is left."""
    left, upper = min(round(box[0]), width - 1), min(round(box[1]), height - 1)
    right = min(max(round(box[2]), left + 1), width)
    lower = min(max(round(box[3]), upper + 1), height)
    return left, upper, right, lower
