"""The records that the agent's modules exchange."""

import dataclasses
import hashlib
import json
import re

import pytest
from pydantic import ValidationError

from nas.latency.agent.messages import (
    ANSWERS,
    MEGABYTE,
    WORKER_INPUT,
    JobLimits,
    JobResult,
    JobSpec,
    WorkerInput,
)
from nas.latency.conditions import MeasurementSettings
from nas.latency.protocol import Effort
from tests.latency.records import CONDITIONS, latency

SPEC = JobSpec("measurement", "onnxruntime:cpu", resolution=64, take="1")


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "profile"},
        {"device": "onnxruntime:cuda"},
        {"settings": MeasurementSettings(threads=2)},
        {"effort": Effort(rounds=17)},
        {"resolution": 65},
        {"take": "2"},
    ],
)
def test_the_digest_depends_on_everything(changes):
    assert dataclasses.replace(SPEC, **changes).digest() != SPEC.digest()


def test_the_digest_depends_on_the_model():
    assert re.fullmatch("[0-9a-f]{64}", SPEC.digest())
    assert len({SPEC.digest(), SPEC.digest("a"), SPEC.digest("b")}) == 3
    assert SPEC.digest("a") == dataclasses.replace(SPEC).digest("a")


def test_the_input_of_a_worker_survives_json():
    original = WorkerInput(job_spec=SPEC, folder="/tmp/x", seconds=9, memory_bytes=None)
    assert WORKER_INPUT.validate_json(WORKER_INPUT.dump_json(original)) == original


def test_answers_are_checked_by_kind():
    conditions, measured = dataclasses.asdict(CONDITIONS), dataclasses.asdict(latency())
    assert ANSWERS["conditions"].validate_python(conditions) == CONDITIONS
    assert ANSWERS["measurement"].validate_python(measured) == latency()
    for kind, answer in (("conditions", measured), ("measurement", conditions), ("profile", {})):
        with pytest.raises(ValidationError):
            ANSWERS[kind].validate_python(answer)


def test_a_result_has_neither_answer_nor_failure_by_default():
    assert JobResult().model_dump() == {"answer": None, "failure": None}


def test_default_limits():
    limits = JobLimits()
    assert MEGABYTE == 10**6
    assert limits.body_bytes == 256 * 10**6
    assert (limits.receive_seconds, limits.seconds, limits.profile_seconds) == (120, 120, 1800)
    assert (limits.memory_bytes, limits.kept_results) == (None, 256)


def test_ids_stay_the_same():
    # A client that asks again after the agent was restarted finds its measurement by this id.
    text = json.dumps({**dataclasses.asdict(SPEC), "model": "m"}, sort_keys=True)
    assert SPEC.digest("m") == hashlib.sha256(text.encode()).hexdigest()
