"""Networks in ncnn, on the CPU."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from typing import Any

import numpy as np

from nas.errors import UnrunnableError
from nas.formats.ncnn_graph import NcnnModel
from nas.imports import waiting_as_usual
from nas.ir import Shape
from nas.latency.runtimes.model_runtime import CpuRuntime

_NARROW = (
    "use_fp16_packed",
    "use_fp16_storage",
    "use_fp16_arithmetic",
    "use_bf16_packed",
    "use_bf16_storage",
)
"""Options of ncnn that round numbers to 16 bits, some of which are on by default."""


def in_float32(net: Any) -> None:
    """Let a network of ncnn that is not loaded yet compute with numbers of 32 bits."""
    for option in _NARROW:
        setattr(net.opt, option, False)


class Ncnn(CpuRuntime):
    """Runs networks in ncnn, in float32.

    A run of a batch of N images is N runs of one image, one after the other, and its time is that
    of all of them: the networks take one image, and older versions of ncnn cannot be given
    several at once.
    """

    family = "ncnn"
    title = "ncnn"
    model_format = "ncnn"

    def __init__(
        self, processor: str, threads: int | None, batch: int, precision: str = "fp32"
    ) -> None:
        """See `CpuRuntime`."""
        super().__init__(processor, threads, batch, precision)
        with waiting_as_usual():
            import ncnn

        self._ncnn = ncnn
        self.version = f"ncnn {version('ncnn')}"

    def open_model(self, model: bytes, batch: int) -> NcnnNetwork:
        """See `ModelRuntime.open_model`."""
        files = NcnnModel.unpacked(model)
        net = self._ncnn.Net()
        net.opt.num_threads = self.threads
        net.opt.lightmode = True
        net.opt.use_vulkan_compute = False
        in_float32(net)
        if net.load_param_mem(files.param) != 0:
            raise UnrunnableError("ncnn rejects the layers of the model")
        # Weights that are passed in memory would have to stay there, and be aligned.
        with tempfile.NamedTemporaryFile(suffix=".bin") as file:
            file.write(files.weights)
            file.flush()
            if net.load_model(file.name) != 0:
                raise UnrunnableError("ncnn rejects the weights of the model")
        network = NcnnNetwork(self._ncnn, net, files.image_shape())
        network.feed(np.zeros((1, *network.shape), np.float32))
        network.run()  # only a run tells whether the layers fit together
        return network


class NcnnNetwork:
    """A model in ncnn."""

    def __init__(self, ncnn: Any, net: Any, shape: Shape) -> None:
        """Look up the input and the output of a model.

        Args:
            ncnn: The package.
            net: A loaded network.
            shape: Shape of one image (C, H, W).
        """
        self._mat = ncnn.Mat
        self._net = net
        self.shape = shape
        self._ends = net.input_names()[0], net.output_names()[-1]
        self._images: list[Any] = []
        self._outputs: list[Any] = []

    def feed(self, images: np.ndarray) -> None:
        """See `LoadedModel`."""
        # ncnn aligns channels, so the images are copied.
        self._images = [self._mat(np.ascontiguousarray(image)).clone() for image in images]

    def run(self) -> None:
        """See `LoadedModel`."""
        self._outputs = [self._run_one(image) for image in self._images]

    def _run_one(self, image: Any) -> Any:
        extractor = self._net.create_extractor()
        extractor.input(self._ends[0], image)
        status, output = extractor.extract(self._ends[1])
        if status != 0:
            raise UnrunnableError(f"ncnn cannot run the model (status {status})")
        return output

    def outputs(self) -> np.ndarray:
        """See `LoadedModel`."""
        return np.stack([np.array(output.numpy()) for output in self._outputs])
