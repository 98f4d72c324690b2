"""What a format's writer is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nas.export.int8.request import Int8Request
from nas.export.parity import Parity, Run, noise
from nas.export.trained import TrainedModel
from nas.ir import Node
from nas.lowering import FormChoice, lower
from nas.torch_model import Network, weights_of


@dataclass(frozen=True)
class Export:
    """A network to write in the format of another tool.

    Attributes:
        model: The network with the weights to export.
        trained: Where it comes from: its data set, and what its weights were trained as.
        choice: Rule that chooses the forms of lowered layers; None for the network as trained.
        images: Inputs to compare the outputs for, shape (N, C, H, W); None for random noise.
        int8: How to quantize it and what may come of it, for formats with int8 arithmetic.
    """

    model: Network
    trained: TrainedModel
    choice: FormChoice | None = None
    images: Tensor | None = None
    int8: Int8Request | None = None

    @cached_property
    def form(self) -> tuple[Node, Mapping[str, np.ndarray]]:
        """The layer tree and the weights, in the form to be exported."""
        tree, weights = self.model.spec.tree(), weights_of(self.model)
        if self.choice is None:
            return tree, weights
        return lower(tree, self.model.spec.in_shape, weights, self.choice)

    @property
    def properties(self) -> dict[str, str]:
        """What the network was trained as, for the metadata of files: texts by name."""
        metadata = self.trained.metadata
        return {} if metadata is None else metadata.to_properties()

    @property
    def constants(self) -> dict[str, Any]:
        """What the network was trained as, for constants of Python files."""
        metadata = self.trained.metadata
        if metadata is None:
            return {}
        known = metadata.to_dict()
        del known["spec"]  # the file says it
        classes, preprocessing = known.pop("classes"), known.pop("preprocessing")
        return {"CLASSES": classes, "PREPROCESSING": preprocessing, "TRAINING": known}

    @property
    def calibration(self) -> np.ndarray | None:
        """Inputs to calibrate int8 on, shape (N, C, H, W); None for random noise."""
        return None if self.int8 is None else self.int8.calibration

    @property
    def inputs(self) -> Tensor:
        """Inputs to compare the outputs for, shape (N, C, H, W)."""
        return noise(self.model.spec) if self.images is None else self.images


@dataclass(frozen=True)
class Written:
    """A network that has been written.

    Attributes:
        run: Reads the files as their users will, and runs the network.
        check: Refuses outputs that differ from torch's.
        facts: What else there is to tell about the files, for the JSON file beside them.
        model: Returns what was written as the format's runtimes take it; None if there are none.
        read: Returns what was written as its runtime has read it, if it takes no bytes.
    """

    run: Run
    check: Callable[[Parity], None] = Parity.check
    facts: Mapping[str, Any] = field(default_factory=dict)
    model: Callable[[], bytes] | None = None
    read: Callable[[], Any] | None = None


Writer = Callable[[Export, Path], Written]
"""Writes a network to a file of an empty folder, and whatever belongs to it beside that file.

Libraries serialize to memory where they can: on a full disk, some that write files by themselves
end the process, and others raise what does not say so.
"""
