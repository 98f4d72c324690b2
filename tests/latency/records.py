"""Latency records to test with."""

from nas.latency.conditions import Conditions, Latency

CONDITIONS = Conditions(
    device="d",
    runtime="r 1",
    machine="m",
    threads=1,
    batch=1,
    precision="fp32",
    lowered=True,
)


def latency(**changes):
    """Return a measured latency, with other values for some fields."""
    values = {
        "device": "d",
        "runtime": "r 1",
        "machine": "m",
        "threads": 1,
        "batch": 1,
        "precision": "fp32",
        "lowered": True,
        "median_ms": 2.0,
        "p10_ms": 1.0,
        "p90_ms": 3.0,
        "low_ms": 1.9,
        "high_ms": 2.1,
        "n": 30,
        "steady_ms": 1.8,
        "reference_ms": 4.0,
        "noise": (),
        "resolution": 64,
        "source": "measured",
        "when": "2026-01-01T00:00:00+00:00",
    }
    return Latency(**{**values, **changes})
