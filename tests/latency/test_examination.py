"""What the examination of a device found, in words."""

from nas.latency.examination import describe
from nas.latency.profile import DeviceProfile, Finding, LayerSignature
from tests.latency.records import CONDITIONS

LAYER = LayerSignature("grouped", 480, 14, (3, 9), (500, 500), stride=2, width=8)
FINDING = Finding(LAYER, "phases", {"split": 1.0, "phases": 0.254})


def test_the_curve_its_cliff_and_the_forms_are_told():
    profile = DeviceProfile(CONDITIONS, 3.217, (FINDING,), {5: 0.04, 7: 1.05})
    assert list(describe(profile)) == [
        "the reference network takes 3.22 ms",
        "a depthwise convolution of 240 channels at 14x14 takes, as trained:",
        "  5x5: 0.040 ms, 1.60 µs per tap",
        "  7x7: 1.050 ms, 21.43 µs per tap",
        "kernels of 7x7 and larger take far longer per tap than smaller ones; "
        "lowering writes them as sums of smaller ones where that is faster",
        "grouped 3.9, 480 channels at 14x14, stride 2, group width 8: phases, 0.25 times as long "
        "as trained",
    ]


def test_a_device_whose_layers_were_not_measured():
    assert list(describe(DeviceProfile(CONDITIONS, 3.2))) == ["the reference network takes 3.20 ms"]
