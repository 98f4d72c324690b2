import dataclasses

import pytest
import torch

from nas.accuracy import fidelity
from nas.accuracy.fidelity import (
    MOST_SIDE,
    least_resolution,
    prepare_data,
    shared_data,
    widened,
)
from nas.data import load_data
from nas.spec import load_network
from tests.networks import DEEP, TINY


def test_data_are_loaded_once():
    assert shared_data("digits", 16, 30) is shared_data("digits", 16, 30)


def test_the_validation_part_is_reduced_to_images_in_their_order():
    whole = load_data("digits").at(16)
    count = len(whole.labels["validation"])
    some = shared_data("digits", 16, 30)
    assert torch.equal(some.images["train"], whole.images["train"])
    # The numbers of the images drawn with seed 0, in ascending order.
    index = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:30].sort().values
    assert torch.equal(some.images["validation"], whole.images["validation"][index])
    assert torch.equal(some.labels["validation"], whole.labels["validation"][index])


@pytest.mark.parametrize(("more", "expected"), [(-1, -1), (0, 0), (1, 0)])
def test_a_validation_part_that_is_small_enough_is_kept(more, expected):
    count = len(load_data("digits").at(16).labels["validation"])
    reduced = shared_data("digits", 16, count + more)
    assert len(reduced.labels["validation"]) == count + expected


def test_preparing_returns_a_remark_on_broken_images(monkeypatch):
    assert prepare_data("digits", 16, None) == []
    broken = dataclasses.replace(load_data("digits").at(16), broken=("a.png: truncated",))

    class Source:
        def at(self, resolution, step):
            step(1, 1)
            return broken

    monkeypatch.setattr(fidelity, "load_data", lambda name: Source())
    steps = []
    (remark,) = prepare_data("folder", 16, lambda *step: steps.append(step))
    assert "a.png: truncated" in remark
    assert steps == [(1, 1)]


def test_the_last_maps_have_two_pixels_at_least():
    assert least_resolution(TINY, 16) == 16
    assert least_resolution(DEEP, 8) == 12  # a stride of 8: 9 pixels end in 2x2
    deep = load_network("mixnet_s")  # a stride of 32: 33 pixels end in 2x2
    assert least_resolution(deep, 16) == 36
    assert least_resolution(deep, 33) == 33
    assert least_resolution(deep, 32) == 36
    assert least_resolution(deep, 48) == 48
    assert least_resolution(deep, MOST_SIDE) == MOST_SIDE


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
