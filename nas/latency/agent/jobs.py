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
from nas.latency.agent.messages import Limits, Order, Outcome

_logger = logging.getLogger(__name__)


class BusyError(Exception):
    """The one place in the queue is taken."""


@dataclass
class Job:
    """Something asked for.

    Attributes:
        id: digest of the order and its model.
        order: what to do.
        done: set when it is over.
        outcome: what came of it.
    """

    id: str
    order: Order
    done: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: Outcome | None = None

    @property
    def failed(self) -> bool:
        """Whether it is over, and without an answer."""
        return self.outcome is not None and self.outcome.failure is not None

    async def wait(self, seconds: float) -> None:
        """Wait for the end, for some seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.done.wait()


class Place:
    """The one place in the queue, with an empty folder to work in."""

    def __init__(self) -> None:
        # Some systems keep temporary files in memory; TMPDIR names another folder.
        self._folder = tempfile.TemporaryDirectory(prefix="mixnas-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        self.begun = False

    def clear(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()


class Jobs:
    """Does one job at a time and keeps the last ones."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._place: Place | None = None
        self._work: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether something is being received or done."""
        return self._closed or self._place is not None

    def find(self, identity: str) -> Job | None:
        """Return what is being done, or was done, under an id."""
        return self._jobs.get(identity)

    def forget(self, job: Job) -> None:
        """Drop a job, so that it may be tried again."""
        if self._jobs.get(job.id) is job:
            del self._jobs[job.id]

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Take the one place: until the block ends or, when a job was begun, until that does.

        Raises:
            BusyError: when it is taken.
        """
        if self.busy:
            raise BusyError
        place = self._place = Place()
        try:
            yield place
        finally:
            if not place.begun:
                self._leave(place)

    def _leave(self, place: Place) -> None:
        place.clear()
        self._place = None

    def begin(self, place: Place, jobs: Sequence[Job]) -> None:
        """Do jobs one after the other, as long as none fails; the last one is what was asked for.

        Those before it are what it needs to be known; what is known already is left out.
        """
        place.begun = True
        todo = [job for job in jobs if (known := self.find(job.id)) is None or known.failed]
        for job in todo:
            self._jobs[job.id] = job
        self._work = asyncio.create_task(self._do(place, todo))

    async def _do(self, place: Place, jobs: list[Job]) -> None:
        outcome: Outcome | None = None
        left = list(jobs)
        try:
            while left:
                outcome = await self._do_one(place, left[0])
                if outcome.failure is not None:
                    break
                self._finish(left.pop(0), outcome)
                outcome = None  # of the next one, nothing is known yet
        except OSError as error:  # no process can be started, the disk is full
            outcome = Outcome(failure=f"the agent's machine is short of something: {error}")
        finally:
            for job in left:
                if outcome is None:  # the agent is stopped, and knows nothing of it once restarted
                    self.forget(job)
                    job.done.set()
                else:
                    self._finish(job, outcome)
            self._leave(place)

    async def _do_one(self, place: Place, job: Job) -> Outcome:
        started = time.monotonic()
        outcome = await run_worker(job.order, place.folder, self.limits)
        seconds = time.monotonic() - started
        what = f"{job.order.kind} {job.id[:12]}"
        if outcome.failure is None:
            _logger.info("%s: done in %.1f s", what, seconds)
        else:
            _logger.warning("%s: failed after %.1f s: %s", what, seconds, outcome.failure)
        return outcome

    def _finish(self, job: Job, outcome: Outcome) -> None:
        job.outcome = outcome
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
