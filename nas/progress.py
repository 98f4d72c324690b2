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
        left = time_left(now - self._begun, done - self._done_before, total - done)
        self._say(f"{self._text}: {done:,} of {total:,}{left}")


def time_left(seconds: float, done: int, left: int) -> str:
    """Return how long the rest of some work will take at the speed so far, to follow other words.

    Args:
        seconds: How long it has taken so far.
        done: What was done in that time.
        left: What is left, in the same unit.

    Returns:
        Such as ``, about 0:03:30 left``; empty if nothing has been done yet.

    Examples:
        >>> time_left(30, 500, 3_500)
        ', about 0:03:30 left'
    """
    if done <= 0:
        return ""
    return f", about {timedelta(seconds=round(seconds / done * left))} left"
