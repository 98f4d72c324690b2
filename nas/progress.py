"""The callback by which long-running work reports its progress."""

from collections.abc import Callable

Step = Callable[[int, int], None]
"""Called with the amount of work done and the total amount, in the same unit."""
