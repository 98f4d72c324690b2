"""What an estimator does once, before the first network, as commands show it."""

from __future__ import annotations

from rich.console import Console

from nas import cli
from nas.accuracy import Estimator, PreparedEstimator


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
    with cli.progress_bar(console, text) as step:
        remarks = estimator.prepare(step)
    for remark in remarks:
        console.print(remark, markup=False, soft_wrap=True)
