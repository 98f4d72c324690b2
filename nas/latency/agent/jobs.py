"""The agent's job queue: it runs one job at a time, holds no waiting jobs, and keeps results."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from nas.latency.agent.child import run_worker
from nas.latency.agent.messages import JobLimits, JobResult, JobSpec

_logger = logging.getLogger(__name__)


class BusyError(Exception):
    """The job slot is taken."""


@dataclass
class Job:
    """A requested job.

    Attributes:
        id: Digest of the job spec and the model.
        job_spec: The task.
        done: Event that is set when the job has ended.
        result: Result; None while the job is running, or if the agent was stopped.
    """

    id: str
    job_spec: JobSpec
    done: asyncio.Event = field(default_factory=asyncio.Event)
    result: JobResult | None = None

    @property
    def failed(self) -> bool:
        """Whether the job has ended without an answer."""
        return self.result is not None and self.result.failure is not None

    async def wait(self, seconds: float) -> None:
        """Wait for the end of the job, for at most `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.done.wait()


class JobSlot:
    """The right to run jobs, with an empty folder to work in.

    Attributes:
        folder: The working folder.
        begun: Whether jobs were started in this slot.
    """

    def __init__(self) -> None:
        """Create the folder, in that named by ``TMPDIR`` if it is set."""
        self._folder = tempfile.TemporaryDirectory(prefix="mixnas-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.begun = False

    def clear(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class JobQueue:
    """Runs one job at a time and keeps the last results."""

    def __init__(self, limits: JobLimits) -> None:
        """Create an empty queue with limits on the cost of each job."""
        self.limits = limits
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._slot: JobSlot | None = None
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether a model is being received, a job is running, or the queue is closed."""
        return self._closed or self._slot is not None

    def find(self, identity: str) -> Job | None:
        """Return the running or finished job with an id, or None."""
        return self._jobs.get(identity)

    def forget(self, job: Job) -> None:
        """Drop a job, so that it can be run again."""
        if self._jobs.get(job.id) is job:
            del self._jobs[job.id]

    @contextmanager
    def slot(self) -> Iterator[JobSlot]:
        """Take the slot until the end of the block or, if jobs were started, until they end.

        Raises:
            BusyError: If the slot is taken.
        """
        if self.busy:
            raise BusyError
        slot = self._slot = JobSlot()
        try:
            yield slot
        finally:
            if not slot.begun:
                self._release(slot)

    def _release(self, slot: JobSlot) -> None:
        slot.clear()
        self._slot = None

    def begin(self, slot: JobSlot, jobs: Sequence[Job]) -> None:
        """Start running jobs one after the other, until one fails.

        Args:
            slot: The slot that was taken.
            jobs: The requested job, preceded by those that it depends on. Jobs that already have
                an answer, or are running, are skipped.
        """
        slot.begun = True
        pending = [job for job in jobs if (known := self.find(job.id)) is None or known.failed]
        for job in pending:
            self._jobs[job.id] = job
        self._work = asyncio.create_task(self._run(slot, pending))

    async def _run(self, slot: JobSlot, jobs: list[Job]) -> None:
        result: JobResult | None = None
        pending = list(jobs)
        try:
            while pending:
                result = await self._run_one(slot, pending[0])
                if result.failure is not None:
                    break
                self._finish(pending.pop(0), result)
                result = None  # the next job has no result yet
        except OSError as error:  # as when no process can be started or the disk is full
            result = JobResult(failure=f"the agent's machine is out of resources: {error}")
        finally:
            for job in pending:
                if result is None:  # the agent is being stopped
                    self.forget(job)
                    job.done.set()
                else:
                    self._finish(job, result)
            self._release(slot)

    async def _run_one(self, slot: JobSlot, job: Job) -> JobResult:
        started = time.monotonic()
        result = await run_worker(job.job_spec, slot.folder, self.limits)
        seconds = time.monotonic() - started
        label = f"{job.job_spec.kind} {job.id[:12]}"
        if result.failure is None:
            _logger.info("%s: done in %.1f s", label, seconds)
        else:
            _logger.warning("%s: failed after %.1f s: %s", label, seconds, result.failure)
        return result

    def _finish(self, job: Job, result: JobResult) -> None:
        job.result = result
        job.done.set()
        if job.id in self._jobs:
            self._jobs.move_to_end(job.id)
        while len(self._jobs) > self.limits.kept_results:
            self._jobs.popitem(last=False)

    async def close(self) -> None:
        """Stop the running jobs and set their events."""
        self._closed = True
        if self._work is not None and not self._work.done():
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work
