"""Handling of networks that do not fit into the memory of an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from nas.accuracy.base import Estimate, EstimateError
from nas.train.placement import release_memory

HALVED = "the batch was computed in two halves, since it did not fit into the GPU's memory at once"
"""Remark on an estimate whose gradients were accumulated."""


def with_halved_batches(estimates: Callable[[int], Iterator[Estimate]]) -> Iterator[Estimate]:
    """Yield the estimates of a network; if memory runs out, once more with halved batches.

    Args:
        estimates: Yields one estimate per stage, from the first one on, with the gradients of every
            batch computed in a given number of parts.

    Raises:
        EstimateError: If the memory does not suffice for half a batch.
    """
    done = 0
    try:
        for estimate in estimates(1):
            yield estimate
            done += 1
        return
    except torch.OutOfMemoryError:
        pass  # from here on nothing but cycles refers to the first attempt
    release_memory()
    try:
        for number, estimate in enumerate(estimates(2)):
            if number >= done:  # the stages before were answered by the first attempt
                yield estimate
    except torch.OutOfMemoryError as error:
        raise EstimateError(out_of_memory(error, halved=True)) from None


def out_of_memory(error: torch.OutOfMemoryError, halved: bool = False) -> str:
    """Return the reason why a network does not fit, in one line.

    Args:
        error: What torch raised.
        halved: Whether the batch was halved before.
    """
    first = str(error).partition("\n")[0]
    return f"out of GPU memory{', even with the batch halved' if halved else ''}: {first}"
