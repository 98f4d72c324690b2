"""Device profiles: their files, and the forms that they choose."""

import dataclasses
import json
import math

import pytest

from nas.ir import Conv, MixConv, SqueezeExcite
from nas.latency.profile import DeviceProfile, Finding, LayerSignature, load_profile
from nas.lowering import Form
from tests.latency.records import CONDITIONS


def depthwise(channels, size, *kernels, **more):
    shares = (1000 // len(kernels),) * len(kernels)
    return LayerSignature("depthwise", channels, size, kernels, shares, **more)


PROFILE = DeviceProfile(
    conditions=CONDITIONS,
    reference_ms=1.0,
    findings=(
        Finding(depthwise(480, 14, 3, 9), "padded", {"merge": 1.0, "padded": 0.8}),
        Finding(depthwise(144, 56, 3, 5), "merge", {"merge": 1.0}),
        Finding(depthwise(144, 56, 3, 5, stride=2), "split", {"split": 1.0}),
        Finding(LayerSignature(kind="gate", channels=480, size=14), "wide", {"wide": 1.0}),
        Finding(LayerSignature(kind="gate", channels=144, size=56), "plain", {"plain": 1.0}),
    ),
)


def mix(channels, kernels, stride=1):
    width = channels // len(kernels)
    return MixConv(tuple(Conv(width, width, k, stride, groups=width) for k in kernels))


def test_layers_take_the_form_of_the_most_similar_one():
    assert PROFILE.form(mix(400, (3, 9)), (400, 14, 14)) == Form((2,), padded=True)
    assert PROFILE.form(mix(120, (3, 5)), (120, 56, 56)) == Form((2,))
    assert PROFILE.form(mix(120, (3, 5), 2), (120, 56, 56)) == Form((1, 1))
    se = SqueezeExcite(Conv(480, 20), Conv(20, 480), "relu")
    assert PROFILE.wide_gate(se, (480, 14, 14))
    assert not PROFILE.wide_gate(se, (480, 56, 56))


def test_layers_unlike_all_measured_ones_stay_as_trained():
    assert PROFILE.form(MixConv((Conv(32, 64),) * 2), (64, 14, 14)) == Form((1, 1))
    dilated = MixConv((Conv(240, 240, 3, groups=240, dilation=2),) * 2)
    assert PROFILE.form(dilated, (480, 14, 14)) == Form((1, 1))
    # Too far from the layers of 14 and of 56 pixels.
    assert PROFILE.form(mix(8, (3, 9)), (8, 224, 224)) == Form((1, 1))


def test_without_any_finding_layers_take_the_default_form():
    empty = dataclasses.replace(PROFILE, findings=())
    assert empty.form(mix(400, (3, 9)), (400, 14, 14)) == Form((2,))
    assert not empty.wide_gate(SqueezeExcite(Conv(4, 1), Conv(1, 4), "relu"), (4, 7, 7))


def test_a_form_that_the_layer_does_not_have_is_not_taken():
    # The most similar layer was fastest padded, which convolutions at stride 2 cannot be.
    finding = Finding(depthwise(144, 56, 3, 5, stride=2), "padded", {"padded": 1.0})
    profile = dataclasses.replace(PROFILE, findings=(finding,))
    assert profile.form(mix(144, (3, 5), 2), (144, 56, 56)) == Form((1, 1))


def test_signatures_of_layers():
    assert LayerSignature.of(mix(480, (3, 5, 9), 2), (480, 14, 10)) == LayerSignature(
        "depthwise", 480, 14, (3, 5, 9), (333, 333, 333), stride=2
    )
    uneven = MixConv((Conv(12, 12, 3, groups=12), Conv(4, 4, 7, groups=4)))
    assert LayerSignature.of(uneven, (16, 7, 7)).shares == (750, 250)
    dilated = MixConv((Conv(8, 8, 3, groups=8, dilation=2), Conv(8, 8, 5, groups=8)))
    signature = LayerSignature.of(dilated, (16, 7, 7))
    assert (signature.kernels, signature.dilated) == ((5, 5), True)  # both span five pixels
    assert not LayerSignature.of(mix(16, (3, 5)), (16, 7, 7)).dilated
    blocks = LayerSignature.of(MixConv((Conv(16, 32),) * 2), (32, 7, 7))
    assert (blocks.kind, blocks.channels, blocks.aligned) == ("pointwise", 32, True)
    assert not LayerSignature.of(MixConv((Conv(12, 72),) * 2), (24, 7, 7)).aligned
    se = SqueezeExcite(Conv(480, 20), Conv(20, 480), "relu")
    assert LayerSignature.of(se, (480, 14, 14)) == LayerSignature("gate", 480, 14)


def test_layers_of_other_families_take_measured_forms():
    # A large kernel with a bias, as in ConvNeXt.
    finding = Finding(LayerSignature("depthwise", 96, 56, (7,)), "phases", {"phases": 1.0})
    profile = dataclasses.replace(PROFILE, findings=(*PROFILE.findings, finding))
    large = MixConv((Conv(96, 96, 7, groups=96, bias=True),))
    assert profile.form(large, (96, 56, 56)) == Form((1,), phased=True)
    hard = SqueezeExcite(Conv(480, 20), Conv(20, 480), "relu", gate="hard_sigmoid")
    assert PROFILE.wide_gate(hard, (480, 14, 14))
    # Kernels that are not square count by their longer side; explicit padding rules forms out.
    row = MixConv((Conv(96, 96, 1, groups=96, padding=(0, 3, 0, 3), columns=7),))
    assert LayerSignature.of(row, (96, 56, 56)).kernels == (7,)
    assert profile.form(row, (96, 56, 56)) == Form((1,))


def test_distances_between_layers():
    layer = depthwise(100, 14, 3, 5)
    assert layer.distance(layer) == 0
    # An octave of channels counts 1, an octave of size 2.
    assert layer.distance(depthwise(200, 14, 3, 5)) == pytest.approx(1)
    assert layer.distance(depthwise(100, 7, 3, 5)) == pytest.approx(2)
    # Two pixels of the largest kernel, and two for half of the channels.
    large = depthwise(100, 14, 3, 7)
    assert large.distance(depthwise(100, 14, 3, 9)) == pytest.approx(2 + 1)
    # A quarter for a further kernel, and two pixels for a sixth of the channels.
    assert layer.distance(depthwise(100, 14, 3, 3, 5)) == pytest.approx(0.25 + 2 / 6, abs=0.05)
    shares = dataclasses.replace(layer, shares=(750, 250))
    assert layer.distance(shares) == pytest.approx(2 / 4)
    for changes in (
        {"kind": "pointwise"}, {"aligned": False}, {"stride": 2}, {"dilated": True},
        {"kernels": (5,), "shares": (1000,)}, {"width": 8},
        {"kernels": (3, 7)},  # more taps than every runtime has fast code for
    ):  # fmt: skip
        other = dataclasses.replace(layer, **changes)
        assert layer.distance(other) == other.distance(layer) == math.inf


def test_the_digest_depends_on_what_decides_latencies():
    digest = PROFILE.digest()
    for other in (
        dataclasses.replace(PROFILE, reference_ms=1.1),
        dataclasses.replace(PROFILE, findings=PROFILE.findings[1:]),
    ):
        assert other.digest() != digest
    first, *rest = PROFILE.findings
    timed = dataclasses.replace(first, times={"merge": 1.0, "padded": 0.5})
    assert dataclasses.replace(PROFILE, findings=(timed, *rest)).digest() == digest
    chosen = dataclasses.replace(first, best="merge")
    assert dataclasses.replace(PROFILE, findings=(chosen, *rest)).digest() != digest


def test_a_profile_is_loaded_for_its_own_conditions_only(own_cache):
    path = PROFILE.save()
    assert load_profile(CONDITIONS) == PROFILE
    assert load_profile(dataclasses.replace(CONDITIONS, batch=2)) is None
    content = json.loads(path.read_text())
    damaged = ["{", json.dumps({**content, "schema": "mixnas.device/1"})]
    damaged.append(json.dumps({**content, "reference_ms": 0}))
    first, *rest = content["findings"]
    wrong = (
        {**first, "best": "unheard of"},
        {**first, "layer": {**first["layer"], "channels": 0}},
        {**first, "layer": {**first["layer"], "kernels": []}},
        {**first, "layer": {**first["layer"], "shares": [1000]}},
    )
    damaged += [json.dumps({**content, "findings": [one, *rest]}) for one in wrong]
    foreign = {**content["conditions"], "machine": "another"}
    for text in (*damaged, json.dumps({**content, "conditions": foreign})):
        path.write_text(text)
        assert load_profile(CONDITIONS) is None


# -- wider groups --------------------------------------------------------------------------------


def grouped(width, kernels, channels=480):
    share = channels // len(kernels)
    return MixConv(tuple(Conv(share, share, k, groups=share // width) for k in kernels))


def test_signatures_hold_the_group_width():
    signature = LayerSignature.of(grouped(8, (3, 9)), (480, 14, 14))
    assert signature == LayerSignature("grouped", 480, 14, (3, 9), (500, 500), width=8)
    # As wide as a kernel's share of the channels: dense, but no 1x1 convolution.
    share = LayerSignature.of(grouped(240, (3, 9)), (480, 14, 14))
    assert (share.kind, share.width) == ("grouped", 240)
    assert LayerSignature.of(grouped(1, (3, 9)), (480, 14, 14)).width == 1
    assert LayerSignature.of(MixConv((Conv(16, 32),) * 2), (32, 7, 7)).width == 1


def test_forms_are_never_carried_over_to_another_group_width():
    layer = (480, 14, 14)
    # Depthwise layers of that size were fastest padded, pointwise ones dense.
    pointwise = LayerSignature("pointwise", 480, 14, (1, 1), (500, 500), aligned=False)
    findings = (*PROFILE.findings, Finding(pointwise, "dense", {"dense": 1.0}))
    profile = dataclasses.replace(PROFILE, findings=findings)
    assert profile.form(grouped(1, (3, 9)), layer) == Form((2,), padded=True)
    for width in (2, 8, 24, 240):
        assert profile.form(grouped(width, (3, 9)), layer) == Form((1, 1))
    # One that was measured for this width is taken for this width alone.
    eight = LayerSignature("grouped", 480, 14, (3, 9), (500, 500), width=8)
    measured = dataclasses.replace(
        profile, findings=(*findings, Finding(eight, "merge", {"merge": 1.0}))
    )
    assert measured.form(grouped(8, (3, 9)), layer) == Form((2,))
    assert measured.form(grouped(24, (3, 9)), layer) == Form((1, 1))


def test_the_nearest_layer_is_that_of_least_distance():
    near, far = depthwise(480, 14, 3, 7), depthwise(960, 7, 3, 7)
    profile = dataclasses.replace(
        PROFILE,
        findings=(Finding(far, "merge", {"merge": 1.0}), Finding(near, "split", {"split": 1.0})),
    )
    assert profile.form(mix(480, (3, 7)), (480, 14, 14)) == Form((1, 1))
    assert profile.form(mix(960, (3, 7)), (960, 7, 7)) == Form((2,))
    assert PROFILE.wide_gate(SqueezeExcite(Conv(400, 20), Conv(20, 400), "relu"), (400, 14, 14))


def test_distances_of_unequal_pairs():
    # 3 octaves of channels, 2 octaves of size at 2 each, 2 further kernels at a quarter.
    one, other = depthwise(64, 56, 3, 5), depthwise(512, 14, 3, 3, 5, 5)
    assert one.distance(other) == other.distance(one) == pytest.approx(3 + 4 + 0.5)
    # Strides above 1 are alike.
    strided = depthwise(64, 56, 3, 5, stride=2)
    assert strided.distance(dataclasses.replace(strided, stride=3)) == 0
