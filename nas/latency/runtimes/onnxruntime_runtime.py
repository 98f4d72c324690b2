"""Networks in ONNX Runtime, on any of its execution providers."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from nas.errors import MixnasError, UnrunnableError, reason_of, unknown
from nas.latency.runtimes.base import Program, noise
from nas.latency.runtimes.model_runtime import ModelRuntime
from nas.latency.runtimes.models import serialized
from nas.latency.runtimes.operators import RUNS, convolution_kind, summed
from nas.machine import gpu_identifier, machine_name, other_cores, usable_cores

_SUFFIX = "ExecutionProvider"
_NVIDIA = ("cuda", "tensorrt", "nvtensorrtrtx")
"""Short names of the execution providers that run on a GPU of NVIDIA's."""


def providers() -> dict[str, str]:
    """Return the full names of the available execution providers by their short names."""
    names = onnxruntime.get_available_providers()
    return {name.removesuffix(_SUFFIX).lower(): name for name in names if name.endswith(_SUFFIX)}


def nvidia_gpu() -> str:
    """Return the name of the GPU that this process would use first, or else the processor's name.

    It asks the driver's own tool, since neither torch nor CUDA need be installed for that.
    """
    first = gpu_identifier("cuda")
    words = ["nvidia-smi", f"--id={first}", "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return machine_name()
    return found.stdout.strip() or machine_name()


class OnnxRuntime(ModelRuntime):
    """Runs networks in ONNX Runtime."""

    model_format = "onnx"

    def __init__(
        self, provider: str, threads: int | None, batch: int, precision: str = "fp32"
    ) -> None:
        """Open ONNX Runtime.

        Args:
            provider: Short name of an execution provider: ``cpu``, ``cuda``, ``openvino``, ...
            threads: Number of threads; None for one per usable core.
            batch: Number of images per run.
            precision: ``fp32`` or ``int8``.

        Raises:
            MixnasError: If this build of ONNX Runtime does not have the provider.
        """
        available = providers()
        if provider not in available:
            raise MixnasError(
                unknown("ONNX Runtime execution provider", provider, available)
                + "; other builds of onnxruntime have other providers"
            )
        self.name = f"onnxruntime:{provider}"
        self.version = f"onnxruntime {onnxruntime.__version__}"
        if provider != "cpu":  # an agent's address may name no runtime
            self.version += f" ({provider})"
        self.machine = nvidia_gpu() if provider in _NVIDIA else machine_name()
        self.threads = threads or usable_cores()
        self.pins_threads = True
        self._cores = other_cores(self.threads)  # must precede the pinning of the calling thread
        self.tunable = precision == "fp32"
        self.batch = batch
        self.precision = precision
        self._provider = available[provider]

    def open_model(self, model: bytes, batch: int) -> OnnxRuntimeModel:
        """See `ModelRuntime.open_model`."""
        return OnnxRuntimeModel(self._session(model, self._options()), batch)

    def operator_ms(self, program: Program) -> dict[str, float]:
        """See `ProfilingRuntime`."""
        model = serialized(program, self.model_format, self.precision, self.batch)
        with tempfile.TemporaryDirectory() as folder:
            options = self._options()
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            loaded = OnnxRuntimeModel(self._session(model, options), self.batch)
            loaded.feed(noise(self.batch, program.shape))
            for _ in range(RUNS):
                loaded.run()
            events = json.loads(Path(loaded.end_profiling()).read_text(encoding="utf-8"))
        return summed(_node_times(events))

    def _session(
        self, model: bytes, options: onnxruntime.SessionOptions
    ) -> onnxruntime.InferenceSession:
        try:
            # It would go on with another provider, such as that of the CPU, and say so in a log.
            session = onnxruntime.InferenceSession(
                model, options, providers=[self._provider], enable_fallback=False
            )
        except Exception as error:  # ONNX Runtime's own exceptions share no other base
            raise UnrunnableError(f"ONNX Runtime rejects the model: {reason_of(error)}") from None
        used = session.get_providers()
        if used[:1] != [self._provider]:
            raise MixnasError(
                f"ONNX Runtime cannot use its {self._provider} here and would run networks in "
                f"{' and '.join(used) or 'none'}; install the driver and the libraries that this "
                f"build of onnxruntime needs, or choose --device onnxruntime:cpu"
            )
        return session

    def _options(self) -> onnxruntime.SessionOptions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if self._cores:
            options.add_session_config_entry("session.intra_op_thread_affinities", self._cores)
        # Threads that keep spinning after a run would slow down the first ten or so runs of the
        # network that alternates with this one. The speed of consecutive runs is not affected.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return options


class OnnxRuntimeModel:
    """A model in ONNX Runtime."""

    def __init__(self, session: onnxruntime.InferenceSession, batch: int) -> None:
        """Look up the input of a session's model, which must take so many images."""
        self._session = session
        self._input, self.shape = _image_input(session, batch)
        self._feed: dict[str, np.ndarray] = {}
        self._outputs: list[np.ndarray] = []

    def feed(self, images: np.ndarray) -> None:
        """See `LoadedModel`."""
        self._feed = {self._input: images}

    def run(self) -> None:
        """See `LoadedModel`."""
        self._outputs = self._session.run(None, self._feed)

    def outputs(self) -> np.ndarray:
        """See `LoadedModel`."""
        return self._outputs[0]

    def end_profiling(self) -> str:
        """End the profile of all runs so far, and return the path of its file."""
        return str(self._session.end_profiling())


def _image_input(
    session: onnxruntime.InferenceSession, batch: int
) -> tuple[str, tuple[int, int, int]]:
    inputs = session.get_inputs()
    sizes = inputs[0].shape[1:] if len(inputs) == 1 else []
    if (
        len(sizes) != 3
        or not all(isinstance(size, int) and size > 0 for size in sizes)
        or inputs[0].type != "tensor(float)"
    ):
        actual = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
        raise MixnasError(
            f"the model's inputs are ({actual}); it must have one float input (batch, C, H, W) "
            "with fixed channels, height and width"
        )
    fixed = inputs[0].shape[0]
    if isinstance(fixed, int) and fixed != batch:
        raise MixnasError(
            f"the model's batch size is fixed at {fixed}; it must be {batch}, or dynamic"
        )
    return inputs[0].name, (sizes[0], sizes[1], sizes[2])


def _node_times(events: list[dict[str, Any]]) -> Iterator[tuple[str, str, float]]:
    """Yield name, kind and milliseconds of each node in every run of a profile."""
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            yield event["name"], _kind(event["args"]), event["dur"] / 1000


def _kind(node: dict[str, Any]) -> str:
    """Return the kind of a node: its operator, or what convolution it is."""
    operator = str(node["op_name"])
    shapes = [next(iter(shape.values())) for shape in node.get("input_type_shape", [])]
    if operator not in ("Conv", "FusedConv") or len(shapes) < 2 or len(shapes[1]) != 4:
        return operator
    image, (_, width, *kernel) = shapes[0], shapes[1]
    return convolution_kind(kernel, width, image[1], image[-1])
