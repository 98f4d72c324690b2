"""Latency in ONNX Runtime on this machine's processor."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import nn

from nas.export.onnx_graph import to_onnx
from nas.latency.protocol import Latency, summarise, time_runs, usable_cores
from nas.spec import NetworkSpec
from nas.torch_model import Network, build


def realistic(spec: NetworkSpec) -> Network:
    """Build a network with statistics as after training.

    Random weights alone let activations grow or die away over the layers, and arithmetic on
    denormal numbers is several times slower than what a trained network does. So BN's running
    statistics are set to those of one batch of noise.
    """
    model = build(spec, seed=0)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    # The statistics hardly depend on the resolution; a small one is quick.
    side = min(spec.input.resolution, 96)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.train()(torch.randn(4, spec.input.channels, side, side, generator=generator))
    for norm in norms:
        norm.momentum = spec.norm.momentum
    return model.eval()


class OnnxRuntimeCPU:
    """Measures networks in ONNX Runtime's CPU provider, batch 1."""

    device = "onnxruntime:cpu"

    def __init__(self, threads: int | None = None, batch: int = 1) -> None:
        """Set the conditions.

        Args:
            threads: of the runtime; all usable cores if None.
            batch: images a run.
        """
        self.threads = threads or usable_cores()
        self.batch = batch

    def conditions(self) -> dict[str, str | int | bool]:
        """Return what two measurements must share to be compared."""
        return {
            "device": self.device,
            "runtime": f"onnxruntime {onnxruntime.__version__}",
            "threads": self.threads,
            "batch": self.batch,
            "lowered": False,
        }

    def measure(self, spec: NetworkSpec) -> Latency:
        """Measure one network at its input resolution."""
        model = realistic(spec)
        weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        graph = to_onnx(spec.tree(), spec.in_shape, weights).SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        images = rng.standard_normal((self.batch, *spec.in_shape), dtype=np.float32)
        times = time_runs(lambda: session.run(None, {"images": images}))
        return summarise(
            times,
            device=self.device,
            runtime=f"onnxruntime {onnxruntime.__version__}",
            threads=self.threads,
            batch=self.batch,
            resolution=spec.input.resolution,
        )
