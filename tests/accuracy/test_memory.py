import pytest
import torch

from nas.accuracy.base import Estimate, EstimateError
from nas.accuracy.memory import out_of_memory, with_halved_batches

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")


def estimates(stages, full_at):
    """Return a function that yields stages, and runs out of memory as often as asked for."""
    asked = []

    def run(parts):
        asked.append(parts)
        for stage in range(1, stages + 1):
            if (parts, stage) in full_at:
                raise FULL
            yield Estimate(accuracy=stage / 10, loss=parts, seconds=0.0, seed=0)

    return run, asked


def found(stages, *full_at):
    run, asked = estimates(stages, full_at)
    return [(e.accuracy, e.loss) for e in with_halved_batches(run)], asked


def test_nothing_is_repeated_while_memory_suffices():
    assert found(3) == ([(0.1, 1), (0.2, 1), (0.3, 1)], [1])


def test_the_second_attempt_halves_the_batches():
    assert found(3, (1, 1)) == ([(0.1, 2), (0.2, 2), (0.3, 2)], [1, 2])


def test_stages_that_were_told_are_not_told_again():
    assert found(3, (1, 3)) == ([(0.1, 1), (0.2, 1), (0.3, 2)], [1, 2])


def test_a_network_that_does_not_fit_at_all_says_so_in_one_line():
    with pytest.raises(EstimateError) as caught:
        found(3, (1, 1), (2, 2))
    assert str(caught.value) == (
        "out of GPU memory, even with the batch halved: CUDA out of memory. Tried to allocate "
        "2.00 GiB."
    )


def test_where_nothing_was_halved_nothing_is_said_of_it():
    assert out_of_memory(FULL) == (
        "out of GPU memory: CUDA out of memory. Tried to allocate 2.00 GiB."
    )
