"""Figures of the docs' concepts, drawn from recorded results.

    python -m experiments.concept_figures

writes ``depthwise``, ``samplers`` and ``estimators`` to ``experiments/results/``, as .png and .svg;
then `experiments.benchmark_page` copies them to the docs.
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
ESTIMATORS = {
    **{name: name for name in ("params", "madds", "naswot", "zico", "synflow", "grad-norm")},
    "short-high": "short training",
    "supernet": "supernet",
}
"""Names of estimators in the figure, by those of their cards; it leaves out other settings."""


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


def estimators() -> Figure:
    """Draw how well estimators rank networks, of all sizes and of similar ones, the best on top."""
    cards = recorded("ranking")["cards"]
    found = {label: cards[name]["rankings"][0] for name, label in ESTIMATORS.items()}
    names = sorted(found, key=lambda name: found[name]["tau"]["value"])
    figure, axes = single(height=0.4 + 0.36 * len(names))
    for colour, offset, (key, label) in zip(
        PALETTE,
        (0.14, -0.14),
        (("tau", "all networks"), ("band", "networks of similar MAdds")),
        strict=False,
    ):
        values = [found[name][key] for name in names]
        centres = [value["value"] for value in values]
        axes.errorbar(
            centres,
            [row + offset for row in range(len(names))],
            xerr=[
                [v["value"] - v["low"] for v in values],
                [v["high"] - v["value"] for v in values],
            ],
            fmt="o", color=colour, markersize=4, capsize=2, linewidth=1.4, label=label,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_xlabel("Kendall's tau with the accuracies of full training, 95% interval")
    legend(axes, "lower right")
    return figure


if __name__ == "__main__":
    for draw in (depthwise, samplers, estimators):
        save(draw(), RESULTS / draw.__name__)
