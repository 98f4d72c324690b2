"""What an estimator does once, before the first network, as commands show it."""

from __future__ import annotations

from rich.console import Console

from nas import cli
from nas.accuracy import Estimator, PreparedEstimator
from nas.progress import Step


def _line(text: str, console: Console) -> Step:
    """Return what says once, where there is no bar, that there is something to do."""
    said = False

    def step(done: int, total: int) -> None:
        nonlocal said
        if not said:
            console.print(text, markup=False, soft_wrap=True)
        said = True

    return step


def prepare_estimator(estimator: Estimator, text: str, console: Console) -> None:
    """Let an estimator prepare itself, with a progress bar, and tell what it has to say.

    Args:
        estimator: one that has nothing to prepare is left alone.
        text: beside the bar.
        console: for both.

    Raises:
        MixnasError: when it cannot be used.
    """
    if not isinstance(estimator, PreparedEstimator):
        return
    try:
        with cli.progress_bar(console, text) as step:
            remarks = estimator.prepare(step if console.is_terminal else _line(text, console))
    except KeyboardInterrupt:
        console.print(f"stopped {text}; the same command goes on", soft_wrap=True)
        raise
    for remark in remarks:
        console.print(remark, markup=False, soft_wrap=True)
