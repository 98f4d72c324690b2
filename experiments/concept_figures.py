"""Figures of the docs' concepts, drawn from recorded results.

    python -m experiments.concept_figures

writes ``depthwise`` and ``samplers`` to ``experiments/results/``, as .png and .svg; then
`experiments.benchmark_page` copies them to the docs.
"""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.figures.style import PALETTE, legend, save, single
from experiments.benchmark_lines import RESULTS, recorded

RUNTIMES = {
    "LiteRT": "lowering_litert_cpu_threads2_batch1",
    "ncnn": "lowering_ncnn_cpu_batch1",
    "ONNX Runtime": "lowering_onnxruntime_cpu_batch1",
    "OpenVINO": "lowering_openvino_cpu_batch1",
}
"""Records with two threads, by the name of the runtime."""
BENCHMARK = "nas-bench-macro"


def depthwise() -> Figure:
    """Draw the time of a depthwise convolution by kernel size, a line for each runtime."""
    figure, axes = single(height=3.8)
    for colour, (runtime, name) in zip(PALETTE, RUNTIMES.items(), strict=False):
        times = {int(kernel): ms for kernel, ms in recorded(name)["depthwise_ms"].items()}
        axes.plot(list(times), list(times.values()), "o-", color=colour, label=runtime)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.set_xticks(list(times), [f"{kernel}x{kernel}" for kernel in times])
    axes.set_xlabel("kernel size")
    axes.set_ylabel("depthwise convolution (ms)")
    legend(axes, "best")
    return figure


def samplers() -> Figure:
    """Draw the share of the best possible hypervolume by number of networks, for each sampler."""
    result = recorded("samplers")
    figure, axes = single(height=3.8)
    shares = result["problems"][BENCHMARK]["shares"]
    for colour, (sampler, found) in zip(PALETTE, shares.items(), strict=True):
        axes.errorbar(
            result["checkpoints"],
            [100 * mean for mean in found["mean"]],
            [100 * deviation for deviation in found["standard_deviation"]],
            color=colour, marker="o", markersize=4, capsize=2, linewidth=1.6, label=sampler,
        )  # fmt: skip
    axes.set_xticks(result["checkpoints"])
    axes.set_xlabel("networks evaluated, of 6,561")
    axes.set_ylabel("share of the best hypervolume (%)")
    legend(axes, "lower right")
    return figure


if __name__ == "__main__":
    for name, figure in (("depthwise", depthwise()), ("samplers", samplers())):
        save(figure, RESULTS / name)
