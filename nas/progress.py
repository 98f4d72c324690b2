"""Reporting the progress of long-running work."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

Step = Callable[[int, int], None]
"""Called with the amount of work done and the total amount, in the same unit."""
LINE_SECONDS = 30.0  # at the least, between two lines


class ProgressLines:
    """Reports progress in a line now and then, where no bar can be drawn; a `Step`.

    Short work is done before its first line, and shows none.
    """

    def __init__(
        self, text: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start the clock.

        Args:
            text: What is being done.
            say: Prints a line.
            clock: Returns the time in seconds.
        """
        self._text, self._say, self._clock = text, say, clock
        self._last_line = self._begun = clock()
        self._done_before, self._total = 0, -1  # when the present phase began; its total

    def __call__(self, done: int, total: int) -> None:
        """Print a line if the last one is long enough ago.

        Args:
            done: Amount of work done.
            total: Total amount; another one begins another phase of the work.
        """
        now = self._clock()
        if total != self._total:
            # The work before the first report, such as that of an earlier process, was not timed.
            self._begun, self._done_before, self._total = now, done, total
        if now - self._last_line < LINE_SECONDS:
            return
        self._last_line = now
        self._say(f"{self._text}: {done:,} of {total:,}{self._time_left(now, done)}")

    def _time_left(self, now: float, done: int) -> str:
        """Return how long the rest will take at the speed so far; empty if it is not known."""
        progress = done - self._done_before
        if progress <= 0:
            return ""
        seconds = (now - self._begun) / progress * (self._total - done)
        return f", about {timedelta(seconds=round(seconds))} left"
