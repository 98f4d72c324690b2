"""What tests of runtimes with a profiler share."""

from nas.latency.deployment import program_of
from nas.lowering import AS_TRAINED
from nas.spec import load_network

CONVOLUTIONS = {
    "convolution of one pixel",
    "convolution 1x1",
    "convolution 3x3",
    *(f"depthwise convolution {k}x{k}" for k in (3, 5, 7, 9, 11)),
}


def check_profile(runtime, own):
    """Check the profile of MixNet-S, which has operators of the runtime's `own` names as well."""
    program = program_of(load_network("mixnet_s").at(64), AS_TRAINED)
    times = runtime.operator_ms(program)
    assert set(times) >= CONVOLUTIONS | own
    assert list(times.values()) == sorted(times.values(), reverse=True)
    run = runtime.load(program)
    whole = min(run() for _ in range(30))
    # Profiling takes time, too, and other processes may run; a wrong unit is a factor of 1,000.
    assert 0.2 * whole < sum(times.values()) < 20 * whole
