"""Preparing an estimator in a command, with a progress bar and printed remarks."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from nas import cli
from nas.accuracy.base import Estimator, PreparedEstimator
from nas.accuracy.fidelity import decoding_of

_FOUND_OUT = ("weights", "ensemble")
"""What of a supernet's fingerprint its preparation finds out."""


def facts_before(estimator: Estimator) -> dict[str, Any]:
    """Return what of an estimator's fingerprint is known before it is prepared.

    That of a user's own estimator need not be; nothing is returned then.
    """
    if not type(estimator).__module__.startswith("nas.accuracy."):
        return {}
    facts = estimator.fingerprint()
    return {name: value for name, value in facts.items() if name not in _FOUND_OUT}


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
        console.print(decoding, soft_wrap=True)
    if not console.is_terminal:  # its first step may be a while away
        console.print(text, soft_wrap=True)
    try:
        with cli.progress_bar(console, text) as step:
            remarks = estimator.prepare(step)
    except KeyboardInterrupt:
        console.print(f"stopped {text}; repeat the command to continue", soft_wrap=True)
        raise
    for remark in remarks:
        console.print(remark, soft_wrap=True)
