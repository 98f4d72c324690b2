"""Preparing an estimator in a command, with a progress bar and printed remarks."""

from __future__ import annotations

from rich.console import Console

from nas import cli
from nas.accuracy.base import Estimator, PreparedEstimator
from nas.accuracy.fidelity import decoding_of
from nas.progress import Step


def prepare_estimator(estimator: Estimator, text: str, console: Console) -> None:
    """Prepare an estimator, show the progress, and print its remarks.

    Args:
        estimator: Estimator to prepare; one that has nothing to prepare is left alone.
        text: What is being done, shown beside the bar.
        console: Console for the bar and the remarks.

    Raises:
        MixnasError: If the estimator cannot be used.
    """
    if not isinstance(estimator, PreparedEstimator):
        return
    decoding = decoding_of(estimator)
    if decoding is not None:
        console.print(decoding, markup=False, soft_wrap=True)
    try:
        with cli.progress_bar(console, text) as step:
            remarks = estimator.prepare(step if console.is_terminal else _announce(text, console))
    except KeyboardInterrupt:
        console.print(f"stopped {text}; repeat the command to continue", soft_wrap=True)
        raise
    for remark in remarks:
        console.print(remark, markup=False, soft_wrap=True)


def _announce(text: str, console: Console) -> Step:
    """Return a step that prints a text when it is called first; for consoles without a bar."""
    announced = False

    def step(done: int, total: int) -> None:
        nonlocal announced
        if not announced:
            console.print(text, markup=False, soft_wrap=True)
        announced = True

    return step
