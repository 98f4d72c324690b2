"""What the examination of a device found, in words."""

from __future__ import annotations

from collections.abc import Iterator

from nas.latency.profile import CURVE_CHANNELS, CURVE_SIZE, DeviceProfile, Finding
from nas.latency.tuning import cliff


def describe(profile: DeviceProfile) -> Iterator[str]:
    """Yield lines on the speed of a device and on the forms of layers that are fastest on it."""
    yield f"the reference network takes {profile.reference_ms:.2f} ms"
    if profile.depthwise_ms:
        yield (
            f"a depthwise convolution of {CURVE_CHANNELS} channels at {CURVE_SIZE}x{CURVE_SIZE} "
            "takes, as trained:"
        )
        for kernel, ms in profile.depthwise_ms.items():
            yield f"  {kernel}x{kernel}: {ms:.3f} ms, {1000 * ms / kernel**2:.2f} µs per tap"
    if jump := cliff(profile.depthwise_ms):
        yield (
            f"kernels of {jump}x{jump} and larger take far longer per tap than smaller ones; "
            "lowering writes them as sums of smaller ones where that is faster"
        )
    yield from map(_line, profile.findings)


def _line(finding: Finding) -> str:
    layer = finding.layer
    kernels = ".".join(map(str, layer.kernels))
    width = f", group width {layer.width}" if layer.width > 1 else ""
    return (
        f"{layer.kind} {kernels}, {layer.channels} channels at {layer.size}x{layer.size}, "
        f"stride {layer.stride}{width}: {finding.best}, {finding.times[finding.best]:.2f} times as "
        "long as trained"
    )
