"""The records that the agent's modules exchange: job specs, results and limits."""

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
    """Limits on the cost of one request.

    Attributes:
        body_bytes: Maximum size of a model, in bytes.
        receive_seconds: Time limit for receiving a model, in seconds.
        seconds: Time limit for a measurement, in seconds, including the start of its process.
        profile_seconds: Time limit for examining the device, in seconds; examining takes about a
            minute on a board.
        memory_bytes: Memory limit of a job's process, in bytes (Linux only); None for no limit.
        kept_results: Number of finished jobs whose results are kept.
    """

    body_bytes: int = 256 * MEGABYTE
    receive_seconds: float = 120.0
    seconds: float = 120.0
    profile_seconds: float = 1800.0
    memory_bytes: int | None = None
    kept_results: int = 256


@dataclass(frozen=True)
class ServedRuntime:
    """A runtime that an agent serves.

    Attributes:
        device: Its name on the agent's machine: ``litert:cpu``.
        model_format: Name of the format of its models (see `nas.latency.runtimes.models`).
        version: Name and version of the software.
        machine: Name of the processor or GPU.
        threads: Number of threads that it computes with by default.
    """

    device: str
    model_format: str
    version: str
    machine: str
    threads: int


@dataclass(frozen=True)
class ServedRuntimes:
    """What an agent serves.

    Attributes:
        runtimes: The runtimes; requests that name none are for the first.
        body_bytes: See `JobLimits`, as the others.
        seconds: Time limit for a measurement, in seconds.
        profile_seconds: Time limit for examining a runtime, in seconds.
        memory_bytes: Memory limit of a job's process, in bytes; None for no limit.
    """

    runtimes: tuple[ServedRuntime, ...]
    body_bytes: int
    seconds: float
    profile_seconds: float
    memory_bytes: int | None


@dataclass(frozen=True)
class JobSpec:
    """The task of a job.

    Attributes:
        kind: Kind of answer.
        device: Runtime on this machine: ``onnxruntime:cpu``.
        settings: Measurement settings.
        effort: For a measurement, its time limits and target precision.
        resolution: For a measurement, the side length of the model's images in pixels.
        take: For a measurement, any text that distinguishes it from other measurements of the
            same model.
    """

    kind: Kind
    device: str
    settings: MeasurementSettings = MeasurementSettings()  # noqa: RUF009
    effort: Effort = Effort()  # noqa: RUF009
    resolution: int = 0
    take: str = ""

    def digest(self, model: str = "") -> str:
        """Return a SHA-256 digest that identifies the job.

        Args:
            model: SHA-256 digest of the model; empty if there is none.
        """
        text = json.dumps({**dataclasses.asdict(self), "model": model}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class WorkerInput:
    """The input of a worker process.

    Attributes:
        job_spec: The task.
        folder: Working folder; empty except for the model (`MODEL`), if there is one.
        seconds: Time after which the process ends itself, in seconds, if the agent does not.
        memory_bytes: Memory limit of the process, in bytes; None for no limit.
    """

    job_spec: JobSpec
    folder: str
    seconds: int
    memory_bytes: int | None


class JobResult(BaseModel):
    """The result of a job: either an answer or the reason for its failure.

    Attributes:
        answer: The answer as plain data; its fields depend on the kind of job.
        failure: One line that says why the job failed.
    """

    answer: dict[str, Any] | None = None
    failure: str | None = None


MODEL = "model"
WORKER_INPUT = TypeAdapter(WorkerInput)
