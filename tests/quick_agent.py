"""An agent that answers as quickly as told: ``python -m tests.quick_agent serve ...``.

It is the agent of ``nas.device serve``, but its workers run no model: a latency follows from the
size of the model's file.
"""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from types import SimpleNamespace

from nas import cli
from nas.device import app
from nas.latency import Conditions
from nas.latency.agent import jobs
from nas.latency.agent.messages import MEGABYTE, MODEL, JobLimits, JobResult, JobSpec
from nas.testing.fakes import InstantDevice, exact_latency

SECONDS = 0.1  # for each answer


async def answer(job_spec: JobSpec, folder: Path, limits: JobLimits) -> JobResult:
    """Answer in place of a worker process."""
    await asyncio.sleep(SECONDS)
    settings = job_spec.settings
    conditions = Conditions(
        device=job_spec.device, runtime="none 1", machine="a board",
        threads=settings.threads or 1, batch=settings.batch, precision=settings.precision,
        lowered=settings.lowered, interval_ms=settings.interval_ms,
    )  # fmt: skip
    if job_spec.kind == "conditions":
        return JobResult(answer=dataclasses.asdict(conditions))
    if job_spec.kind == "profile":
        profile = dataclasses.replace(InstantDevice().profile, conditions=conditions)
        return JobResult(answer=dataclasses.asdict(profile))
    shown = SimpleNamespace(input=SimpleNamespace(resolution=job_spec.resolution))
    milliseconds = 1 + (folder / MODEL).stat().st_size / MEGABYTE
    return JobResult(answer=exact_latency(conditions, shown, milliseconds).to_dict())


if __name__ == "__main__":
    jobs.run_worker = answer
    cli.run(app)
