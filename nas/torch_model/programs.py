"""Torch modules as programs of torch.export, as other tools take them best."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.export import ExportedProgram


def with_slices(program: ExportedProgram) -> ExportedProgram:
    """Return an equal program with splits of the channels as slices.

    ExecuTorch's delegate for XNNPACK takes slices but no splits, so a program with splits falls
    into many parts, with copies between them: MixNet-S as trained into 36 (executorch 1.5.1).

    Args:
        program: A program for inference; not changed.
    """
    operators = torch.ops.aten

    def slices(x: Tensor, sizes: Sequence[int], dim: int = 0) -> list[Tensor]:
        bounds = itertools.pairwise(itertools.accumulate(sizes, initial=0))
        return [operators.slice.Tensor(x, dim, start, end) for start, end in bounds]

    with warnings.catch_warnings():
        # torch warns of a class that it uses itself.
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
        found: ExportedProgram = program.run_decompositions(
            {operators.split_with_sizes.default: slices}
        )
        return found
