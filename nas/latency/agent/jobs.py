"""A queue of one: one job at a time, none waiting, and the last results kept."""

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
    """The one place in the queue is taken."""


@dataclass
class Job:
    """Something asked for.

    Attributes:
        id: digest of the order and its model.
        job_spec: what to do.
        done: set when it is over.
        result: what came of it.
    """

    id: str
    job_spec: JobSpec
    done: asyncio.Event = field(default_factory=asyncio.Event)
    result: JobResult | None = None

    @property
    def failed(self) -> bool:
        """Whether it is over, and without an answer."""
        return self.result is not None and self.result.failure is not None

    async def wait(self, seconds: float) -> None:
        """Wait for the end, for some seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.done.wait()


class JobSlot:
    """The one place in the queue, with an empty folder to work in."""

    def __init__(self) -> None:
        # Some systems keep temporary files in memory; TMPDIR names another folder.
        self._folder = tempfile.TemporaryDirectory(prefix="mixnas-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.begun = False

    def clear(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class JobQueue:
    """Does one job at a time and keeps the last ones."""

    def __init__(self, limits: JobLimits) -> None:
        self.limits = limits
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._slot: JobSlot | None = None
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something is being received or done."""
        return self._closed or self._slot is not None

    def find(self, identity: str) -> Job | None:
        """Return what is being done, or was done, under an id."""
        return self._jobs.get(identity)

    def forget(self, job: Job) -> None:
        """Drop a job, so that it may be tried again."""
        if self._jobs.get(job.id) is job:
            del self._jobs[job.id]

    @contextmanager
    def slot(self) -> Iterator[JobSlot]:
        """Take the one place: until the block ends or, when a job was begun, until that does.

        Raises:
            BusyError: when it is taken.
        """
        if self.busy:
            raise BusyError
        slot = self._slot = JobSlot()
        try:
            yield slot
        finally:
            if not slot.begun:
                self._leave(slot)

    def _leave(self, slot: JobSlot) -> None:
        slot.clear()
        self._slot = None

    def begin(self, slot: JobSlot, jobs: Sequence[Job]) -> None:
        """Do jobs one after the other, as long as none fails; the last one is what was asked for.

        Those before it are what it needs to be known; what is known already is left out.
        """
        slot.begun = True
        todo = [job for job in jobs if (known := self.find(job.id)) is None or known.failed]
        for job in todo:
            self._jobs[job.id] = job
        self._work = asyncio.create_task(self._do(slot, todo))

    async def _do(self, slot: JobSlot, jobs: list[Job]) -> None:
        result: JobResult | None = None
        left = list(jobs)
        try:
            while left:
                result = await self._do_one(slot, left[0])
                if result.failure is not None:
                    break
                self._finish(left.pop(0), result)
                result = None  # of the next one, nothing is known yet
        except OSError as error:  # no process can be started, the disk is full
            result = JobResult(failure=f"the agent's machine is short of something: {error}")
        finally:
            for job in left:
                if result is None:  # the agent is stopped, and knows nothing of it once restarted
                    self.forget(job)
                    job.done.set()
                else:
                    self._finish(job, result)
            self._leave(slot)

    async def _do_one(self, slot: JobSlot, job: Job) -> JobResult:
        started = time.monotonic()
        result = await run_worker(job.job_spec, slot.folder, self.limits)
        seconds = time.monotonic() - started
        what = f"{job.job_spec.kind} {job.id[:12]}"
        if result.failure is None:
            _logger.info("%s: done in %.1f s", what, seconds)
        else:
            _logger.warning("%s: failed after %.1f s: %s", what, seconds, result.failure)
        return result

    def _finish(self, job: Job, result: JobResult) -> None:
        job.result = result
        job.done.set()
        if job.id in self._jobs:
            self._jobs.move_to_end(job.id)
        while len(self._jobs) > self.limits.kept:
            self._jobs.popitem(last=False)

    async def close(self) -> None:
        """Stop what is being done; those who wait for it are told."""
        self._closed = True
        if self._work is not None and not self._work.done():
            self._work.cancel()
            with suppress(asyncio.CancelledError):
                await self._work
