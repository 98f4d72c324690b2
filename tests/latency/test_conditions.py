"""Latency records and their conditions."""

import dataclasses
import json
import re

import pytest
from pydantic import ValidationError

from nas.document import digest
from nas.errors import MixnasError
from nas.latency.conditions import (
    Conditions,
    Latency,
    MeasurementSettings,
    measurement_settings,
    utc_now,
)
from tests.latency.records import CONDITIONS, latency


def test_settings_of_a_command_line():
    assert measurement_settings(None, 1, "fp32", True) == MeasurementSettings()
    assert measurement_settings(2, 8, "int8", False) == MeasurementSettings(
        threads=2, batch=8, precision="int8", lowered=False
    )
    assert measurement_settings(None, 1, "fp32", True, "0.2s").interval_ms == 200
    with pytest.raises(MixnasError, match=r"unknown precision 'fp8'.*allowed: fp32, int8"):
        measurement_settings(None, 1, "fp8", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 0},
        {"threads": 1025},
        {"batch": 0},
        {"precision": "fp16"},
        {"interval_ms": -1},
        {"interval_ms": 10_001},
        {"interval_ms": float("nan")},
        {"x": 1},
    ],
)
def test_settings_are_checked(changes):
    with pytest.raises(ValidationError, match=next(iter(changes))):
        MeasurementSettings(**changes)


def test_differences_name_the_other_value_first():
    other = dataclasses.replace(CONDITIONS, threads=4, runtime="r 2")
    assert CONDITIONS.differences(CONDITIONS) == []
    assert CONDITIONS.differences(other) == ["runtime r 2, not r 1", "threads 4, not 1"]
    paused = dataclasses.replace(CONDITIONS, interval_ms=200.0)
    assert paused.differences(CONDITIONS) == ["interval_ms 0, not 200"]


@pytest.mark.parametrize("field", dataclasses.fields(CONDITIONS), ids=lambda field: field.name)
def test_the_digest_depends_on_every_condition(field):
    assert re.fullmatch("[0-9a-f]{16}", CONDITIONS.digest())
    value = getattr(CONDITIONS, field.name)
    other = not value if isinstance(value, bool) else (value + value or 1.0)
    assert dataclasses.replace(CONDITIONS, **{field.name: other}).digest() != CONDITIONS.digest()


def test_records_of_versions_without_pauses_keep_their_digest_and_stay_readable():
    recorded = {
        "device": "d",
        "runtime": "r 1",
        "machine": "m",
        "threads": 1,
        "batch": 1,
        "precision": "fp32",
        "lowered": True,
    }
    assert Conditions(**recorded) == CONDITIONS
    assert CONDITIONS.identity() == recorded
    assert CONDITIONS.digest() == digest(recorded)
    assert dataclasses.replace(CONDITIONS, interval_ms=5.0).identity() == {
        **recorded,
        "interval_ms": 5.0,
    }
    old = latency().to_dict()
    assert old.pop("interval_ms") == 0
    assert Latency.from_dict(old) == latency()
    paused = latency(interval_ms=200.0)
    assert paused.conditions.interval_ms == Latency.from_dict(paused.to_dict()).interval_ms == 200


def test_a_latency_survives_a_round_trip_through_json():
    original = latency(noise=("a", "b"))
    assert Latency.from_dict(json.loads(json.dumps(original.to_dict()))) == original
    assert original.conditions == CONDITIONS


@pytest.mark.parametrize(
    "changes",
    [{"median_ms": -0.1}, {"p90_ms": float("nan")}, {"high_ms": float("inf")}, {"source": "x"}],
)
def test_impossible_latencies_are_refused(changes):
    with pytest.raises(ValidationError, match=next(iter(changes))):
        latency(**changes)


def test_times_are_in_utc_and_whole_seconds():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", utc_now())
