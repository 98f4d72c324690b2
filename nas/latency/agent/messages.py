"""What the agent's parts tell each other: limits, what the worker is to do, what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from nas.latency.conditions import Conditions, Latency, MeasurementSettings
from nas.latency.profile import DeviceProfile
from nas.latency.protocol import Effort

MEGABYTE = 1_000_000
Kind = Literal["conditions", "profile", "measurement"]
ANSWERS: dict[Kind, TypeAdapter[Any]] = {
    "conditions": TypeAdapter(Conditions),
    "profile": TypeAdapter(DeviceProfile),
    "measurement": TypeAdapter(Latency),
}


@dataclass(frozen=True)
class JobLimits:
    """What one request may cost.

    Attributes:
        body_bytes: of a model.
        receive_seconds: until a model has arrived.
        seconds: of a measurement, from the start of its process to the end.
        profile_seconds: of a device's first examination, which may take a minute on a board.
        memory_bytes: of a measurement's process (Linux); None is no bound.
        kept: results that can still be asked for.
    """

    body_bytes: int = 256 * MEGABYTE
    receive_seconds: float = 120.0
    seconds: float = 120.0
    profile_seconds: float = 1800.0
    memory_bytes: int | None = None
    kept: int = 256


@dataclass(frozen=True)
class JobSpec:
    """What a worker is to do.

    Attributes:
        kind: of the answer.
        device: a runtime of this machine: ``onnxruntime:cpu``.
        settings: that it works under.
        effort: of a measurement.
        resolution: of a measurement: the side of the model's images in pixels.
        take: of a measurement: another text asks for another measurement of the same model.
    """

    kind: Kind
    device: str
    settings: MeasurementSettings = MeasurementSettings()  # noqa: RUF009
    effort: Effort = Effort()  # noqa: RUF009
    resolution: int = 0
    take: str = ""

    def digest(self, model: str = "") -> str:
        """Return the SHA-256 that names the order.

        Args:
            model: SHA-256 of the model, if there is one.
        """
        text = json.dumps({**dataclasses.asdict(self), "model": model}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class WorkerInput:
    """An order with all that the worker's process needs to know.

    Attributes:
        job_spec: what to do.
        folder: an empty folder to work in, with the model as ``model.onnx`` if there is one.
        seconds: after which the process ends itself, should nobody else end it.
        memory_bytes: that it may use; None is no bound.
    """

    job_spec: JobSpec
    folder: str
    seconds: int
    memory_bytes: int | None


class JobResult(BaseModel):
    """What came of an order: an answer, or the reason why there is none.

    Attributes:
        answer: plain data of the order's kind.
        failure: one line.
    """

    answer: dict[str, Any] | None = None
    failure: str | None = None


MODEL = "model.onnx"
WORKER_INPUT = TypeAdapter(WorkerInput)
