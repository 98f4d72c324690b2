"""How long work tells of itself, to whoever shows it."""

from collections.abc import Callable

Step = Callable[[int, int], None]
"""Told how much of something long is done, and of how much."""
