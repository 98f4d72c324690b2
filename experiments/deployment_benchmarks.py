"""The page of benchmarks: what networks gain by lowering, and how well their latency is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from experiments.benchmark_lines import (
    all_recorded,
    origin,
    paragraph,
    percent,
    rows,
    section,
)
from nas.units import format_count, number_of

_RUNTIMES = {
    "onnxruntime": "ONNX Runtime",
    "litert": "LiteRT",
    "openvino": "OpenVINO",
    "ncnn": "ncnn",
}
"""Names of runtimes, in the order of the tables."""
_AIMS = {
    "ONNX Runtime, 2 threads": (
        ("mixnet_m", "trained", 0.47),
        ("mixnet_m", "efficientnet_b0", 1.10),
    ),
    "LiteRT, 1 thread": (
        ("mixnet_s", "trained", 0.55),
        ("mixnet_m", "trained", 0.45),
        ("mixnet_m", "efficientnet_b0", 1.35),
    ),
    "LiteRT, 2 threads": (
        ("mixnet_s", "trained", 0.55),
        ("mixnet_m", "trained", 0.45),
        ("mixnet_m", "efficientnet_b0", 1.50),
    ),
    "OpenVINO, 2 threads": (
        ("mixnet_m", "trained", 0.80),
        ("mixnet_m", "efficientnet_b0", 1.15),
    ),
    "ncnn, 2 threads": (("mixnet_s", "trained", 0.80),),
}
"""Ratios of times that lowering was to reach, by runtime: the network, over what, the ratio."""
Results = dict[str, dict[str, Any]]


def lowering() -> Iterator[str]:
    """Yield the section on networks as trained and as deployed, and where their time goes."""
    results = _by_runtime("lowering_[!r]*_batch1")
    networks = list(next(iter(results.values()))["references"])
    yield from section(
        "Lowering",
        "Latency in milliseconds as trained, and as deployed in the fastest form (see "
        "[Lowering](concepts/lowering.md)), of five networks in turns. With two threads, all of "
        "them depend on where the host of this virtual machine has its cores at the time (see "
        "[Noise](guides/latency.md#noise)), and the ratios of ONNX Runtime, too; with one thread, "
        "they do not.",
    )
    yield from rows(
        ("runtime", *(f"`{network}`" for network in networks)),
        (
            (name, *(_before_and_after(result["references"][n]) for n in networks))
            for name, result in results.items()
        ),
    )
    yield from _aims(results)
    yield from paragraph(
        "Time of the deployed form over that as trained, of random members of the space `mixnet`, "
        "and of others with wider groups, dilated kernels and unequal slices in some blocks. "
        "Networks count as slower from 3% on; those that seemed so at first were timed again, for "
        "four times as long, and the second figure counts."
    )
    yield from rows(
        ("runtime", "members", "mean", "range", "slower", "others", "mean", "range", "slower"),
        (
            (name, *_ratios(result["members"]), *_ratios(result["unusual"]))
            for name, result in results.items()
        ),
    )
    yield from _time_of_mixnet_m(results)
    yield from paragraph("One depthwise convolution, in milliseconds by kernel size:")
    kernels = list(next(iter(results.values()))["depthwise_ms"])
    yield from rows(
        ("runtime", *(f"{k}x{k}" for k in kernels)),
        (
            (name, *(f"{result['depthwise_ms'][k]:.3f}" for k in kernels))
            for name, result in results.items()
        ),
    )
    yield from origin(*results.values())


def _aims(results: Results) -> Iterator[str]:
    yield from paragraph(
        "What was aimed at, set before these runs, and what was reached. Aims over the network as "
        "trained are missed for one reason above all: that is faster here than in the measurements "
        "that they rest on, since batch normalization is folded into its convolutions, too. Those "
        "over EfficientNet-B0 are missed by what MixNet-M's large kernels and gates still cost, as "
        "the table of its parts shows."
    )
    found = []
    for name, result in results.items():
        for network, base, aim in _AIMS.get(name, ()):
            ratio = result[f"{network}_over_{base}"]
            against = "itself as trained" if base == "trained" else f"`{base}`"
            reached = "yes" if ratio <= aim else "no"
            found.append((name, f"`{network}`", against, f"{ratio:.2f}", f"{aim:.2f}", reached))
    yield from rows(("runtime", "deployed", "over", "ratio of times", "aim", "reached"), found)


def _time_of_mixnet_m(results: Results) -> Iterator[str]:
    known = {name: result for name, result in results.items() if "mixnet_m_parts" in result}
    if not known:
        return
    yield from paragraph(
        "Where the time of MixNet-M goes, as deployed, in milliseconds. The arithmetic limit is "
        "what its multiply-adds would take at the rate of one large 1x1 convolution; the other "
        "columns are networks without a costly part. What one without all of these takes beyond "
        "the limit goes to small depthwise convolutions, and to reading and writing maps."
    )
    shares = {name: _shares_of_mixnet_m(result) for name, result in known.items()}
    names = list(next(iter(shares.values())))
    yield from rows(
        ("runtime", *names),
        ((name, *(f"{ms[part]:.1f}" for part in names)) for name, ms in shares.items()),
    )
    profiles = {name: result["mixnet_m_by_operator_us"] for name, result in known.items()}
    if any(profiles.values()):
        yield from paragraph(
            "The same by kind of operator, as far as the runtime has a profiler, which takes time "
            "itself: the five that take most."
        )
        yield from rows(
            ("runtime", "share of the time in operators"),
            ((name, _operators(by_kind)) for name, by_kind in profiles.items() if by_kind),
        )


def _shares_of_mixnet_m(result: Mapping[str, Any]) -> dict[str, float]:
    """Return the milliseconds of the parts, of which the whole is that of the first table.

    Records of earlier versions have it in milliseconds of another moment of the same run.
    """
    parts = {name: part["ms"] for name, part in result["mixnet_m_parts"].items()}
    if "arithmetic_limit_ms" in result:
        parts = {"arithmetic limit": result["arithmetic_limit_ms"], **parts}
    scale = result["references"]["mixnet_m"]["deployed_ms"] / parts["whole"]
    return {name: ms * scale for name, ms in parts.items()}


def _operators(by_kind: Mapping[str, float], most: int = 5) -> str:
    total = sum(by_kind.values())
    largest = sorted(by_kind, key=lambda kind: -by_kind[kind])[:most]
    return ", ".join(f"{kind} {percent(by_kind[kind] / total, 0)}" for kind in largest)


def references() -> Iterator[str]:
    """Yield the section on the reference networks of all families as deployed."""
    results = _by_runtime("lowering_references_*")
    if not results:
        return
    most = format_count(next(iter(results.values()))["largest_madds"])
    yield from section(
        "Reference networks, as deployed",
        f"Every reference network of up to {most} multiply-adds in the fastest of its forms, "
        "against the form as trained: the mean of all networks, and those that gain most.",
    )
    yield from rows(
        ("runtime", "networks", "mean ratio of times", "slower by 3%", "gain most"),
        (
            (
                name,
                result["summary"]["networks"],
                f"{result['summary']['mean_ratio']:.2f}",
                len(result["summary"]["slower"]),
                ", ".join(
                    f"`{row['network']}` {row['ratio']:.2f}"
                    for row in sorted(result["networks"], key=lambda row: row["ratio"])[:5]
                ),
            )
            for name, result in results.items()
        ),
    )
    runs = [[result, *result.get("earlier", ())] for result in results.values()]
    yield from origin(*itertools.chain.from_iterable(runs))


def predictors() -> Iterator[str]:
    """Yield the section on latency predictors."""
    results = _by_runtime("latency_predictor_*")
    first = next(iter(results.values()))
    yield from section(
        "Latency predictors",
        f"Fitted to {number_of(first['networks'], 'network')} of `mixnet` for each runtime, and "
        f"checked on {first['fresh']} others: half of them as a search draws them, half at similar "
        "MAdds, where MAdds say next to nothing about latency. The aim was to be within 10% for "
        "98% of them and within 5% for 90%, and a rank correlation of 0.98 as drawn. What is "
        "missing is mostly missing in the model: measured twice, more networks agree.",
    )
    yield from rows(
        ("runtime", "fitted in", "mean error", "within 5%", "within 10%", "Spearman's rho",
         "of MAdds", "as drawn", "at similar MAdds", "of MAdds there", "measured twice: within 5%",
         "measured beside other work"),
        ((name, *_predictor(result)) for name, result in results.items()),
    )  # fmt: skip
    yield from origin(*results.values())


_CORRELATIONS = (
    "spearman",
    "spearman_of_madds",
    "spearman_whole_space",
    "spearman_in_band",
    "spearman_of_madds_in_band",
)


def _predictor(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"{result['fit_seconds'] / 60:.0f} min"
    yield percent(result["mean_error"])
    yield percent(result["within_5"], 0)
    yield percent(result["within_10"], 0)
    for name in _CORRELATIONS:
        yield f"{result[name]:.3f}"
    yield percent(result["repeated_within_5"], 0)
    yield str(result["noisy_fresh"])


def int8() -> Iterator[str]:
    """Yield the section on networks with int8 arithmetic."""
    for result in all_recorded("int8").values():
        yield from section(
            "int8",
            f"Small networks at {result['resolution']} px, trained from random weights on "
            f"`{result['data']}` for {number_of(round(result['epochs']), 'epoch')}, and quantized "
            f"after the training, with {result['calibration_images']} images for calibration: "
            "accuracy on the validation images, latency (~ if the machine was not quiet) and size "
            "in fp32 and in int8.",
        )
        yield from rows(
            ("network", "runtime", "accuracy", "points lost", "latency (ms)", "MB"),
            (
                (
                    f"`{row['network']}`",
                    _RUNTIMES[row["runtime"].partition(":")[0]],
                    _both(row["accuracy"], lambda share: percent(share)),
                    f"{round(row['accuracy']['loss_points'], 1) + 0:.1f} ± "
                    f"{row['accuracy']['loss_points_error']:.1f}",
                    _both(row["steady_ms"], lambda ms: f"{ms:.2f}")
                    + (" ~" if any(row["noise"].values()) else ""),
                    _both(row["bytes"], lambda size: f"{size / 1e6:.2f}"),
                )
                for row in result["rows"]
            ),
        )
        yield from origin(result)


def executorch() -> Iterator[str]:
    """Yield the section on ExecuTorch, which wants an environment of its own."""
    for result in all_recorded("executorch").values():
        yield from section(
            "ExecuTorch",
            "PyTorch's runtime for phones, with the XNNPACK delegate; it is no device of a search "
            "(see [Devices](devices.md#executorch)). Parts are what the delegate takes at once; "
            "a network whose channels are split as torch writes it falls into many. TensorRT "
            "has not been measured: it needs a GPU of NVIDIA's.",
        )
        yield from rows(
            ("network", "form", "threads", "latency (ms)", "over as trained", "parts"),
            (
                (
                    f"`{row['network']}`",
                    row["form"] + ("" if row["split"] == "slices" else ", split as torch does"),
                    threads,
                    f"{row['ms']:.2f}",
                    f"{row['over_trained']:.2f}",
                    row["parts"],
                )
                for threads, found in result["by_threads"].items()
                for row in found["networks"]
            ),
        )
        yield from origin(result)


def _by_runtime(pattern: str) -> Results:
    """Return results by runtime and number of threads, in the order of the tables."""
    found = []
    for result in all_recorded(pattern).values():
        conditions = result["conditions"]
        runtime, threads = conditions["device"].partition(":")[0], conditions["threads"]
        name = f"{_RUNTIMES[runtime]}, {number_of(threads, 'thread')}"
        found.append((list(_RUNTIMES).index(runtime), threads, name, result))
    return {name: result for _, _, name, result in sorted(found, key=lambda row: row[:2])}


def _before_and_after(times: Mapping[str, float]) -> str:
    return f"{times['trained_ms']:.1f}\u00a0→\u00a0{times['deployed_ms']:.1f}"


def _ratios(summary: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(summary["networks"]),
        f"{summary['mean_ratio']:.2f}",
        f"{summary['lowest_ratio']:.2f} to {summary['highest_ratio']:.2f}",
        str(summary["slower"]),
    )


def _both(figures: Mapping[str, float], text: Callable[[float], str]) -> str:
    return f"{text(figures['fp32'])}\u00a0→\u00a0{text(figures['int8'])}"
