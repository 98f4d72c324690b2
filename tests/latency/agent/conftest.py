import asyncio

import pytest

from nas.latency.agent import jobs as jobs_module
from nas.latency.agent.messages import JobResult


@pytest.fixture
def workers(monkeypatch):
    """Let workers return certain results; return those left, and the jobs so far."""
    results, jobs = [], []

    async def worker(job_spec, folder, limits):
        jobs.append((job_spec, (folder / "model").exists()))
        result = results.pop(0) if results else JobResult(answer={"kind": job_spec.kind})
        await asyncio.sleep(0)
        return result

    monkeypatch.setattr(jobs_module, "run_worker", worker)
    return results, jobs
