"""How a folder of images is laid out: which of its folders are splits, and which are classes.

Folders are splits by their names (``train``, ``Testing``, ``seg_train``) and by what they hold: a
split holds class folders, whereas a class called ``train`` holds images.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.data.images import PARTS, Part
from nas.errors import MixnasError

IMAGE_SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".avif"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    ]
)
_UNREAD_SUFFIXES = frozenset(
    [
        *(".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k", ".tga", ".psd", ".xcf", ".svg", ".ico"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".raw"),
        *(".exr", ".hdr", ".pcx", ".eps", ".dcm", ".dicom", ".fits", ".npy", ".mat"),
    ]
)
"""Images of types that are not read."""
PART_NAMES: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "trainset": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "valset": "validation",
    "test": "test",
    "testing": "test",
    "testset": "test",
}
"""Splits by the names that users give them, in lower case."""
_WORDS = re.compile("[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True)
class Layout:
    """The folders of a data set.

    Attributes:
        parts: Folder of class folders of each split that is given; train is among them.
        left_out: What else holds images, and is not used: a sentence each.
    """

    parts: Mapping[Part, Path]
    left_out: tuple[str, ...]


def subfolders(root: Path) -> list[Path]:
    """Return the folders in a folder, sorted, except hidden ones."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not is_hidden((p.name,)))


def is_image(path: Path) -> bool:
    """Tell whether a path is an image file, by its name."""
    # A leading dot marks hidden files and the metadata of other systems, such as ._001.png.
    named_so = path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    return named_so and path.is_file()


def images_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the image files below a folder, and those of types that are not read, both sorted.

    Hidden folders are passed over, such as the copies that notebooks make in .ipynb_checkpoints.
    """
    depth = len(folder.parts)
    images: list[Path] = []
    unread: list[Path] = []
    for path in sorted(folder.rglob("*")):
        if is_hidden(path.parts[depth:]):
            continue
        if is_image(path):
            images.append(path)
        elif path.suffix.lower() in _UNREAD_SUFFIXES and path.is_file():
            unread.append(path)
    return images, unread


def is_hidden(parts: Sequence[str]) -> bool:
    """Tell whether a path within a data set is hidden, or in a folder that is, by its parts."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def on_unread(paths: Sequence[Path]) -> list[str]:
    """Return a sentence about image files of types that are not read, if there are any."""
    counts = Counter(path.suffix.lower() for path in paths)
    if not counts:
        return []
    types = ", ".join(f"{count:,} {suffix}" for suffix, count in counts.most_common())
    return [f"images of types that are not read ({types}); convert them to JPEG or PNG"]


def parts_in(name: str) -> set[Part]:
    """Return the splits that the words of a name tell: ``seg_train`` and ``TrainSet`` are train."""
    words = (word.lower() for word in _WORDS.findall(name))
    return {PART_NAMES[word] for word in words if word in PART_NAMES}


def find_layout(name: str) -> Layout:
    """Find the splits of a data set.

    Args:
        name: Path of the folder, as given on the command line.

    Raises:
        MixnasError: If its folders can be understood in two ways, or two are of the same split.
    """
    root = Path(name).expanduser()
    folders = subfolders(root)
    named = {folder: part for folder in folders if (part := _part_of(folder)) is not None}
    splits = {folder: part for folder, part in named.items() if _holds_classes(folder)}
    if not named or not _are_splits(root, folders, named, splits):
        return Layout({"train": root}, (*_parallel(folders), *_strays([root])))
    # A split without any images is not passed over; that it is empty is told when it is read.
    exact = {f: part for f, part in named.items() if _is_exact(f)}
    _refuse_flat(root, [f for f in exact if f not in splits and _holds_images(f)])
    splits = {**splits, **exact}
    parts: dict[Part, Path] = {}
    for folder, part in splits.items():
        if part in parts:
            raise MixnasError(
                f"{root} has two folders for the {part} split, {parts[part].name} and "
                f"{folder.name}; merge them, or move one of them away"
            )
        parts[part] = folder
    others = [f for f in folders if f not in splits and _holds_images(f)]
    unused = [f"{folder} is neither a split nor in one" for folder in others]
    ordered: dict[Part, Path] = {part: parts[part] for part in PARTS if part in parts}
    return Layout(ordered, (*unused, *_strays([root, *ordered.values()])))


def _part_of(folder: Path) -> Part | None:
    """Return the split that a folder's name tells, if it tells exactly one."""
    exact = PART_NAMES.get(folder.name.lower())
    found = parts_in(folder.name)
    return exact or (found.pop() if len(found) == 1 else None)


def _are_splits(
    root: Path,
    folders: Sequence[Path],
    named: Mapping[Path, Part],
    splits: Mapping[Path, Part],
) -> bool:
    """Tell whether folders are splits rather than classes.

    Args:
        root: Folder that they are in.
        folders: All of them.
        named: Those that are named like a split.
        splits: Those that are named like one and hold class folders.

    Raises:
        MixnasError: If they may be both, or neither.
    """
    found = set(splits.values())
    exact = [folder for folder in splits if _is_exact(folder)]
    others = [f for f in folders if f not in splits and _holds_images(f)]
    if "train" in found and len(found) > 1:
        return True
    if not found:
        flat = [folder for folder in others if folder in named]
        if flat == others and any(map(_is_exact, flat)):
            _refuse_flat(root, flat)
        return False
    if "train" in found and not others:
        return True
    if not exact:  # a class called steam_train, with folders of its own
        return False
    if "train" not in found:
        raise MixnasError(
            f"{root} has a folder {exact[0].name} with class folders, but none for training; name "
            "that one train, or give the folder that holds the classes"
        )
    _refuse_flat(root, [folder for folder in others if _is_exact(folder)])
    raise MixnasError(
        f"{exact[0]} may be the training split or a class, since {others[0].name} beside it has "
        "images as well; rename it if it is a class, or move the others away if they are none"
    )


def _is_exact(folder: Path) -> bool:
    """Tell whether a folder's name is that of a split, and not only one of its words."""
    return folder.name.lower() in PART_NAMES


def _refuse_flat(root: Path, flat: Sequence[Path]) -> None:
    """Refuse folders that are named like splits, but hold images instead of class folders."""
    if flat:
        raise MixnasError(
            f"{flat[0]} is named like a split and has images, but no class folders; expected "
            f"{root}/train/CLASS/*.jpg and {root}/test/CLASS/*.jpg: move it away if its images "
            "have no labels, or rename it if it is a class"
        )


def _parallel(folders: Sequence[Path]) -> Iterator[str]:
    """Yield a sentence about classes that hold the same folders, as folds of a data set do."""
    inner = [{f.name for f in subfolders(folder) if _holds_images(f)} for folder in folders]
    if len(inner) > 1 and len(inner[0]) > 1 and all(names == inner[0] for names in inner):
        yield (
            f"the names of the folders in {folders[0]} ({', '.join(sorted(inner[0])[:3])}), which "
            f"are those in {folders[1]}, too; if these are splits and not classes, call them "
            "train, val and test"
        )


def _holds_classes(folder: Path) -> bool:
    """Tell whether a folder has folders with images; images beside those do not count."""
    return any(map(_holds_images, subfolders(folder)))


def _holds_images(folder: Path) -> bool:
    depth = len(folder.parts)
    return any(is_image(path) and not is_hidden(path.parts[depth:]) for path in folder.rglob("*"))


def _strays(folders: Sequence[Path]) -> Iterator[str]:
    """Yield a sentence about images that lie beside the class folders."""
    for folder in folders:
        count = sum(map(is_image, folder.iterdir()))
        if count:
            images = f"{count:,} images" if count > 1 else "an image"
            yield f"{images} directly in {folder} {'are' if count > 1 else 'is'} in no class folder"
