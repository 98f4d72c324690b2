"""The process that runs an untrusted model: ``python -m nas.latency.agent.worker``.

It reads one `WorkerInput` as JSON from standard input and writes one `JobResult` as JSON to
standard output. Whatever the model does to this process, the agent keeps running.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.errors import MixnasError
from nas.imports import missing_package
from nas.latency.agent.accepted import ACCEPTED
from nas.latency.agent.messages import MODEL, WORKER_INPUT, JobResult, JobSpec, WorkerInput
from nas.latency.device import LocalDevice

_LONGEST = 500  # maximum number of characters of a reason


def main() -> None:
    """Run the job that is read from standard input."""
    output = _reserve_output()
    worker_input = WORKER_INPUT.validate_json(sys.stdin.buffer.read())
    _apply_limits(worker_input)
    os.chdir(worker_input.folder)
    text = _result(worker_input.job_spec).model_dump_json()
    with os.fdopen(output, "w", encoding="utf-8") as file:
        file.write(text)
    os._exit(0)  # a runtime may crash while it is being unloaded


def _reserve_output() -> int:
    """Redirect standard output to standard error, and return a descriptor for the result."""
    output = os.dup(1)
    os.dup2(2, 1)
    return output


def _apply_limits(worker_input: WorkerInput) -> None:
    """Limit the harm that the process can do to the machine."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if worker_input.memory_bytes is not None and sys.platform == "linux":
        resource.setrlimit(
            resource.RLIMIT_DATA, (worker_input.memory_bytes, worker_input.memory_bytes)
        )
    with suppress(OSError):  # if memory runs out, the system kills this process, not the agent
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    signal.alarm(worker_input.seconds)  # in case the agent dies before it can end this process


def _result(job_spec: JobSpec) -> JobResult:
    try:
        return JobResult(answer=_answer(job_spec))
    except ModuleNotFoundError as error:
        return JobResult(failure=missing_package(error) or str(error))
    except MixnasError as error:
        return JobResult(failure=_first_line(str(error)))
    except MemoryError:
        return JobResult(failure="the model needs more memory than the agent allows")
    except Exception as error:  # the runtime's own exceptions share no other base
        return JobResult(failure=f"the model cannot be run: {_first_line(str(error))}")


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:_LONGEST] if lines else "no reason given"


def _answer(job_spec: JobSpec) -> dict[str, Any]:
    device = LocalDevice(job_spec.device, job_spec.settings)
    if job_spec.kind == "conditions":
        return dataclasses.asdict(device.conditions)
    if job_spec.kind == "profile":
        return dataclasses.asdict(device.profile)
    return _measure(device, job_spec)


def _measure(device: LocalDevice, job_spec: JobSpec) -> dict[str, Any]:
    runtime = device.runtime
    if runtime.model_format is None or runtime.model_format not in ACCEPTED:
        raise MixnasError(f"'{job_spec.device}' runs no models in a format that agents accept")
    model = Path(MODEL).read_bytes()
    ACCEPTED[runtime.model_format].check(model)
    latency = device.time(lambda: runtime.load_model(model), job_spec.resolution, job_spec.effort)
    return latency.to_dict()


if __name__ == "__main__":
    main()
