"""Small data sets, written as their publishers and users write them."""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
from PIL import Image


def pictures(n, side=32, channels=3, seed=0):
    """Random images (n, side, side, channels) and labels 0, 1, 2 in turn."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, side, side, channels), np.uint8), np.arange(n) % 3


def write_folder(root, parts=("",), n=30, classes=("ant", "bee", "cat"), side=24, kind="png"):
    """Class folders with images, in the given parts; class i is of brightness i."""
    for part in parts:
        for index in range(n):
            label = index % len(classes)
            folder = root / part / classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            color = (80 * label + 10, index % 256, len(part))
            Image.new("RGB", (side, side + 8), color).save(folder / f"{index:03}.{kind}")
    return root


def write_cifar10(root, pickled=False, n=30):
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    return _write_cifar(root, names, pickled, n, b"labels", ("batches.meta", b"label_names"))


def write_cifar100(root, pickled=False, n=30):
    about = ("meta" if pickled else "fine_label_names", b"fine_label_names")
    return _write_cifar(root, ("train", "test"), pickled, n, b"fine_labels", about)


def _write_cifar(root, names, pickled, n, key, about):
    """Batches of `names` with labels under `key`, and class names in the file of `about`."""
    root.mkdir(parents=True)
    is_fine = key == b"fine_labels"
    for seed, name in enumerate(names):
        images, labels = pictures(n, seed=seed)
        rows = images.transpose(0, 3, 1, 2).reshape(n, -1)
        if pickled:
            batch = {b"data": rows, key: labels.tolist(), b"batch_label": name.encode()}
            more = {b"coarse_labels": [0] * n} if is_fine else {}
            (root / name).write_bytes(pickle.dumps({**batch, **more}, protocol=2))
        else:
            coarse = np.zeros((n, int(is_fine)), np.uint8)
            records = np.concatenate([coarse, labels[:, None].astype(np.uint8), rows], 1)
            (root / f"{name}.bin").write_bytes(records.tobytes())
    file, named = about
    if pickled:
        (root / file).write_bytes(pickle.dumps({named: [b"ant", b"bee", b"cat"]}, protocol=2))
    else:
        (root / f"{file}.txt").write_text("ant\nbee\ncat\n\n")
    return root


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(root, n=30, packed=False):
    root.mkdir(parents=True)
    for seed, name in enumerate(("train", "t10k")):
        images, labels = pictures(n, 28, 1, seed)
        for what, array in (("images-idx3", images[..., 0]), ("labels-idx1", labels)):
            raw = idx(array)
            path = root / f"{name}-{what}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(raw) if packed else raw)
    return root


def jpeg(side=32, color=(90, 20, 30), **options):
    """A JPEG file of side x (side + 8) pixels."""
    content = io.BytesIO()
    Image.new("RGB", (side, side + 8), color).save(content, "JPEG", **options)
    return content.getvalue()


def photograph(width=200, height=150, seed=0):
    """An image with structures of all sizes."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noisy = smooth + rng.normal(0, 8, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def samples(n=30, classes=3, begin=0):
    """Members of a shard: JPEG files and labels, class i of brightness i."""
    members = {}
    for index in range(begin, begin + n):
        label = index % classes
        members[f"{index:04}.jpg"] = jpeg(color=(80 * label + 10,) * 3)
        members[f"{index:04}.cls"] = str(label).encode()
    return members


def write_shard(path, members):
    """A tar file of members, given by name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return path
