import dataclasses
from types import SimpleNamespace

import pytest
import torch

from nas.accuracy import fidelity
from nas.accuracy.base import EstimateError
from nas.accuracy.fidelity import (
    MOST_SIDE,
    Images,
    decoding_of,
    least_resolution,
    shared_data,
    shown_at,
    widened,
)
from nas.accuracy.short import ShortTraining
from nas.blocks import PoolBlock
from nas.data import load_data
from nas.data.cache import PixelCache
from nas.errors import MixnasError
from nas.spec import Head, load_network
from nas.train.batches import Batches
from nas.train.placement import Placement
from nas.train.streaming import StreamedBatches
from tests.data.writing import write_folder
from tests.networks import DEEP, TINY

DIGITS = Images("digits", 16)


@pytest.fixture(autouse=True)
def nothing_loaded():
    """Each test loads what it says, whatever others have loaded under the same name."""
    for cached in (fidelity.shared_data, fidelity._streamed, fidelity._placed):
        cached.cache_clear()
    yield
    for cached in (fidelity.shared_data, fidelity._streamed, fidelity._placed):
        cached.cache_clear()


def test_data_are_loaded_once():
    some = dataclasses.replace(DIGITS, validation=30)
    assert shared_data(some) is shared_data(dataclasses.replace(DIGITS, validation=30))


def test_estimators_that_keep_other_images_for_validation_share_those_for_training():
    some = dataclasses.replace(DIGITS, validation=30)
    assert shared_data(some).images["train"] is shared_data(DIGITS).images["train"]
    placed = [fidelity._placed(images, "cpu")[0].images["train"] for images in (some, DIGITS)]
    assert placed[0] is placed[1]


def test_the_validation_part_is_reduced_to_images_in_their_order():
    whole = load_data("digits").at(16)
    count = len(whole.labels["validation"])
    some = shared_data(dataclasses.replace(DIGITS, validation=30))
    assert torch.equal(some.images["train"], whole.images["train"])
    # The numbers of the images drawn with seed 0, in ascending order.
    index = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:30].sort().values
    assert torch.equal(some.images["validation"], whole.images["validation"][index])
    assert torch.equal(some.labels["validation"], whole.labels["validation"][index])


@pytest.mark.parametrize(("more", "expected"), [(-1, -1), (0, 0), (1, 0)])
def test_a_validation_part_that_is_small_enough_is_kept(more, expected):
    count = len(load_data("digits").at(16).labels["validation"])
    reduced = shared_data(dataclasses.replace(DIGITS, validation=count + more))
    assert len(reduced.labels["validation"]) == count + expected


def test_preparing_returns_a_remark_on_broken_images(monkeypatch):
    assert DIGITS.prepare("cpu", None) == []
    broken = dataclasses.replace(load_data("digits").at(16), broken=("a.png: truncated",))

    class Source:
        def at(self, resolution, step):
            step(1, 1)
            return broken

        def own_side(self):
            return 16

    monkeypatch.setattr(fidelity, "load_data", lambda *_: Source())
    steps = []
    (remark,) = Images("folder", 16).prepare("cpu", lambda *step: steps.append(step))
    assert "a.png: truncated" in remark
    assert steps == [(1, 1)]


def test_a_side_far_below_the_photographs_own_is_told_with_the_price_of_a_larger_one(monkeypatch):
    small = load_data("digits").at(36)
    source = SimpleNamespace(at=lambda resolution, step: small, own_side=lambda: 500)
    monkeypatch.setattr(fidelity, "load_data", lambda *_: source)
    (remark,) = Images("photographs", 36).prepare("cpu", None)
    assert remark == (
        "images of 500 px are used at 36 px, which is quick on a CPU; the estimator's setting "
        "resolution=112 shows more detail and takes about 10 times as long"
    )
    assert Images("photographs", 36).prepare("cuda", None) == []
    assert Images("photographs", 64).prepare("cpu", None) == []
    source.own_side = lambda: 70
    assert Images("photographs", 36).prepare("cpu", None) == []


def test_batches_are_shared_by_all_trainings_of_a_process():
    some = dataclasses.replace(DIGITS, validation=50)
    one, two = (some.batches(32, seed, Placement()) for seed in (0, 1))
    assert one.data is two.data
    assert (len(one.data.labels["validation"]), one.size, one.seed, two.seed) == (50, 32, 0, 1)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXNAS_CACHE", str(tmp_path / "cache"))
    write_folder(tmp_path / "pets", n=40, classes=("cat", "dog"))
    return str(tmp_path / "pets")


def test_what_decoding_takes_is_said_before_it_is_done(folder):
    estimator = ShortTraining(folder, resolution=16)
    assert decoding_of(estimator) == "decoding 40 images once at 16 px, 0.00 GiB on disk"
    assert estimator.prepare() == []
    assert decoding_of(estimator) is None
    assert decoding_of(ShortTraining("digits")) is None
    assert decoding_of(object()) is None


def test_images_that_do_not_fit_onto_the_disk_are_streamed(folder, monkeypatch):
    """The same images in the same order, and the same validation images."""
    images = Images(folder, 16, validation=4)
    cached = images.batches(8, 3, Placement())
    assert isinstance(cached, Batches)
    fidelity._streamed.cache_clear()
    monkeypatch.setattr(PixelCache, "fits", lambda self: False)
    streamed = images.batches(8, 3, Placement())
    assert isinstance(streamed, StreamedBatches)
    assert "the disk of" in Images(folder, 20).decoding()
    assert images.prepare("cpu", None) == []
    for ours, theirs in ((cached.train(1), streamed.train(1)),):
        for (pixels, labels), (others, names) in zip(ours, theirs, strict=True):
            assert torch.equal(labels, names)
            assert torch.equal(pixels, others)
    kept, found = (
        torch.cat([y for _, y in each.evaluate("validation")]) for each in (cached, streamed)
    )
    assert torch.equal(kept, found)
    assert len(found) == 4


def test_some_images_of_each_class_stand_for_all(folder):
    few = Images(folder, 16, per_class=6).source()
    assert few.count("train") == 12
    assert few.fingerprint() != Images(folder, 16).source().fingerprint()


def test_the_last_maps_have_two_pixels_at_least():
    assert least_resolution(TINY, 16) == 16
    assert least_resolution(DEEP, 8) == 12  # a stride of 8: 9 pixels end in 2x2
    deep = load_network("mixnet_s")  # a stride of 32: 33 pixels end in 2x2
    assert least_resolution(deep, 16) == 36
    assert least_resolution(deep, 33) == 33
    assert least_resolution(deep, 32) == 36
    assert least_resolution(deep, 48) == 48
    assert least_resolution(deep, MOST_SIDE) == MOST_SIDE
    # Not pooled at the end, and with a window of 7 pixels, of which 8 hold two.
    pooling = PoolBlock(channels=24, kernel=7, padding=0)
    large = TINY.replace(stages=(*TINY.stages, (pooling,)), head=Head(0, pool="none"))
    assert least_resolution(large, 16) == 32


def test_a_network_is_shown_images_of_another_size():
    shown = shown_at(TINY, 40)
    assert shown.in_shape == (3, 40, 40)
    assert (shown.stages, shown.num_classes) == (TINY.stages, TINY.num_classes)


def test_images_that_are_too_small_for_a_network_are_no_estimate(monkeypatch):
    def refuse(spec):
        raise ValueError(f"a window does not fit into {spec.input.resolution} pixels")

    monkeypatch.setattr(fidelity, "count", refuse)
    message = "it does not take images of 16 px: a window does not fit into 16 pixels"
    with pytest.raises(EstimateError, match=message):
        shown_at(TINY, 16)


def test_width_multiplies_all_channels():
    half = widened(DEEP, 0.5)
    assert half.stem.channels == 8
    assert [block.channels for stage in half.stages for block in stage] == [16, 16, 24]
    assert half.head.channels == 32
    assert half.stages[0][1].kernels == DEEP.stages[0][1].kernels
    assert widened(DEEP, 1) is DEEP
    twice = widened(DEEP, 2)
    assert [block.channels for stage in twice.stages for block in stage] == [48, 48, 80]


def test_width_leaves_a_network_without_head_convolution_without():
    headless = TINY.replace(head=dataclasses.replace(TINY.head, channels=0))
    assert widened(headless, 0.5).head.channels == 0


@pytest.mark.parametrize("fits", [True, False])
def test_a_validation_part_that_cannot_be_read_is_found_when_preparing(tmp_path, monkeypatch, fits):
    """Before a supernet is trained, whether pixels are kept or images are streamed."""
    root = write_folder(tmp_path / "pets", ("train", "val", "test"))
    for path in (root / "val").rglob("*.png"):
        path.write_bytes(b"no image")
    monkeypatch.setattr(PixelCache, "fits", lambda self: fits)
    with pytest.raises(MixnasError, match="none of the 30 validation images can be read"):
        Images(str(root), 16).prepare("cpu", None)
