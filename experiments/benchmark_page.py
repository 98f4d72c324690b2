"""The page of benchmarks, made from their recorded results, for the docs.

    python -m experiments.benchmark_page

writes ``docs/benchmarks.md`` from ``experiments/results/*.json``, and copies the figures that the
docs show; a test holds that both are up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from experiments.tables import table
from nas.files import write_atomic

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = (
    "two_devices.png",
    *(f"macro_population/{name}.png" for name in ("edf", "edf_normalised", "variables")),
    *(f"regnet_populations/{name}.png" for name in ("edf", "edf_chain", "trends")),
)
"""Recorded figures that pages of the docs show."""
_INTRODUCTION = """\
# Benchmarks

This page is made from the recorded results in `experiments/results/` by
`python -m experiments.benchmark_page`. Each section names the program that measured it; with
`--record`, the program writes its result anew. Times are those of the machine that is named, and
compare only with each other.
"""
_RUNTIMES = (
    ("ONNX Runtime, 2 threads", "lowering_onnxruntime_cpu_batch1"),
    ("OpenVINO, 2 threads", "lowering_openvino_cpu_batch1"),
    ("ncnn, 2 threads", "lowering_ncnn_cpu_batch1"),
    ("LiteRT, 1 thread", "lowering_litert_cpu_threads1_batch1"),
)


def page() -> str:
    """Return the whole page, in Markdown."""
    sections = (_lowering, _two_devices, _samplers, _ranking, _searches, _predictor, _repeated,
                _exports, _outputs, _training, _interruptions, _overhead, _inputs)  # fmt: skip
    lines = [_INTRODUCTION, *(line for section in sections for line in section())]
    return "\n".join(lines).rstrip() + "\n"


def figures() -> dict[Path, bytes]:
    """Return the figures that the docs show, by the place of the copy."""
    return {
        ROOT / "docs" / "images" / name.replace("/", "_"): (RESULTS / name).read_bytes()
        for name in FIGURES
    }


def _result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _section(title: str, text: str) -> tuple[str, ...]:
    return f"## {title}", "", text, ""


def _table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    yield from table(tuple(columns), (tuple(map(str, row)) for row in rows))
    yield ""


def _origin(*results: dict[str, Any]) -> Iterator[str]:
    """Yield where and when results were measured, and how to measure them again."""
    told = dict.fromkeys(
        f"`{result['command'].partition(';')[0]}` ({_machine(result)}, {result['when'][:10]})"
        for result in results
    )
    yield "Measured by " + "; ".join(told) + "."
    yield ""


def _machine(result: dict[str, Any]) -> str:
    machine = result["machine"]
    if isinstance(machine, dict):
        return str(machine.get("gpu", machine["processor"]))
    return f"{machine}, {result['cores']} cores"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}%"


def _lowering() -> Iterator[str]:
    results = [(name, _result(file)) for name, file in _RUNTIMES]
    yield from _section("Lowering", "Latency in milliseconds as trained, and as deployed in the "
                        "fastest form (see [Lowering](concepts/lowering.md)).")  # fmt: skip
    networks = list(results[0][1]["references"])
    yield from _table(
        ("runtime", *(f"`{network}`" for network in networks)),
        (
            (name, *(f"{times['trained_ms']:.1f}\u00a0→\u00a0{times['deployed_ms']:.1f}"
                     for times in (result["references"][n] for n in networks)))
            for name, result in results
        ),
    )  # fmt: skip
    yield "Random members of the space `mixnet`: time of the deployed form over that as trained."
    yield ""
    yield from _table(
        ("runtime", "networks", "mean ratio of times", "range", "slower"),
        (
            (name, m["networks"], f"{m['mean_ratio']:.2f}",
             f"{m['lowest_ratio']:.2f} to {m['highest_ratio']:.2f}", m["slower"])
            for name, m in ((name, result["members"]) for name, result in results)
        ),
    )  # fmt: skip
    yield "One depthwise convolution, in milliseconds by kernel size:"
    yield ""
    kernels = list(results[0][1]["depthwise_ms"])
    yield from _table(
        ("runtime", *(f"{k}x{k}" for k in kernels)),
        ((name, *(f"{r['depthwise_ms'][k]:.3f}" for k in kernels)) for name, r in results),
    )
    yield from _origin(*(result for _, result in results))


def _two_devices() -> Iterator[str]:
    result = _result("two_devices")
    yield from _section("Two devices", "Two searches with the same shared weights, one for each of "
                        "two runtimes on one machine. Every network of a front was then "
                        "measured in both. What is best for one is not for the other.")  # fmt: skip
    yield "![Fronts of two searches, in both runtimes](images/two_devices.png)"
    yield ""
    yield from _origin(result)


def _samplers() -> Iterator[str]:
    result = _result("samplers")
    yield from _section("Samplers", "Share of the best possible hypervolume after a number of "
                        "evaluated networks, mean over runs with different seeds.")  # fmt: skip
    titles = {"nas-bench-macro": "NAS-Bench-Macro: 6,561 networks with real accuracies"}
    counts = [str(n) for n in result["checkpoints"]]
    for name, problem in result["problems"].items():
        yield f"**{titles.get(name, f'{name}: a space with synthetic accuracies')}**"
        yield ""
        yield from _table(
            ("sampler", *counts, "runs"),
            (
                (f"`{sampler}`", *_spreads(s), max(s["runs"]))
                for sampler, s in problem["shares"].items()
            ),
        )  # fmt: skip
    yield from _origin(result)


def _spreads(shares: dict[str, Any]) -> Iterator[str]:
    """Yield means with their standard deviations; nothing where no run was long enough."""
    figures = zip(shares["mean"], shares["standard_deviation"], shares["runs"], strict=True)
    for mean, deviation, runs in figures:
        if mean is None:
            yield ""
        else:
            yield f"{mean:.3f} ± {deviation:.3f}" if runs > 1 else f"{mean:.3f}"


def _ranking() -> Iterator[str]:
    yield from _section("Ranking", "How well estimators rank networks that were trained in full "
                        "(see [Ranking cards](concepts/ranking-cards.md)): Kendall's tau with its "
                        "95% interval, over all networks and among those of similar "
                        "MAdds. A supernet "
                        "is trained once besides, in five to eleven minutes here.")  # fmt: skip
    for file, title in (
        ("ranking", "60 networks of NAS-Bench-Macro, CIFAR-10 images"),
        ("ranking_mixnets", "Networks of `mixnet`, trained on CIFAR-10 images"),
    ):
        cards = list(_result(file)["cards"].values())
        yield f"**{title}**"
        yield ""
        yield from _table(
            ("estimator", "networks", "tau", "at similar MAdds", "seconds a network"),
            (_card(card) for card in cards),
        )
    yield from _origin(_result("ranking")["cards"]["supernet"],
                       _result("ranking_mixnets")["cards"]["supernet"])  # fmt: skip


def _card(card: dict[str, Any]) -> tuple[Any, ...]:
    score = next(ranking for ranking in card["rankings"] if ranking["name"] == "score")
    return (f"`{card['estimator']}`", card["n"], _interval(score["tau"]), _interval(score["band"]),
            f"{card['seconds_per_network']:.1f}")  # fmt: skip


def _interval(figure: dict[str, float] | None) -> str:
    if figure is None or figure["value"] is None:
        return ""
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


def _searches() -> Iterator[str]:
    yield from _section("Searches", "The default search on two data sets: the networks that were "
                        "retrained at the end, with three seeds each.")  # fmt: skip
    for file, title in (
        ("default_search", "Handwritten digits (the first command of the README)"),
        ("cifar10_search", "CIFAR-10 images, retrained on 30,000 of them"),
    ):
        result = _result(file)
        latency = {n["name"]: n["latency_ms"] for n in (*result["pareto"], *result["references"])}
        yield f"**{title}**: {result['trials']} networks in {result['seconds'] / 60:.0f} minutes"
        yield ""
        yield from _table(
            ("network", "latency (ms)", "test accuracy"),
            (
                (f"`{n['name']}`", f"{latency[n['name']]:.1f}",
                 f"{_percent(n['test'])} ± {_percent(n['test_std'])}")
                for n in result["confirmed"] if n["name"] in latency
            ),
        )  # fmt: skip
    yield from _origin(_result("default_search"), _result("cifar10_search"))


def _predictor() -> Iterator[str]:
    result = _result("latency_predictor_onnxruntime_cpu")
    yield from _section(
        "Latency predictor",
        f"Fitted to {result['networks']} networks of `mixnet` in "
        f"{result['fit_seconds']:.0f} seconds "
        f"and checked on {result['fresh']} others: the mean error is "
        f"{_percent(result['mean_error'])}, "
        f"{_percent(result['within_5'], 0)} of the predictions are within 5%, and "
        f"{_percent(result['within_10'], 0)} within 10%. Spearman's rho is "
        f"{result['spearman']:.3f}; "
        f"that of MAdds is {result['spearman_of_madds']:.3f}, and "
        f"{result['spearman_of_madds_in_band']:.2f} among networks of similar MAdds, where the "
        f"predictor has {result['spearman_in_band']:.3f}.",
    )
    yield from _origin(result)


def _repeated() -> Iterator[str]:
    result = _result("repeatability")
    yield from _section(
        "Repeated measurements",
        f"Each network was measured in {result['processes']} processes one after another, "
        "on a shared "
        "machine. Spread is the difference between the largest and the smallest, relative to the "
        "smallest.",
    )
    yield from _table(
        ("network", "medians (ms)", "spread", "`steady_ms`", "spread", "told as noisy"),
        (
            (f"`{name}`", ", ".join(f"{ms:.2f}" for ms in n["median_ms"]),
             _percent(n["median_spread"]), ", ".join(f"{ms:.2f}" for ms in n["steady_ms"]),
             _percent(n["steady_spread"]), sum(n["noisy"]))
            for name, n in result["networks"].items()
        ),
    )  # fmt: skip
    yield from _origin(result)


def _exports() -> Iterator[str]:
    result = _result("export_formats")
    yield from _section("Export formats", "Each file was read again by its reader, and its outputs "
                        "compared with those of torch; the largest difference is relative to the "
                        "largest output.")  # fmt: skip
    yield from _table(
        ("network", "format", "form", "MB", "largest difference", "same class"),
        (
            (f"`{r['network']}`", f"`{r['format']}`", r["form"], f"{r['megabytes']:.1f}",
             f"{r['largest_relative_difference']:.0e}", f"{r['same_class']} of {result['images']}")
            for r in result["rows"] if r["network"] == "mixnet_s"
        ),
    )  # fmt: skip
    yield from _origin(result)


def _outputs() -> Iterator[str]:
    result = _result("published_outputs")
    different = result["different"]
    yield from _section(
        "Published outputs",
        f"Of the reference networks, {result['compared']} were built here and by timm or "
        "torchvision, "
        f"with the same random weights, in {result['dtype']}: "
        f"{len(different)} of them differ by more than "
        f"{result['tolerance']:.0e}.",
    )
    yield from _origin(result)


def _training() -> Iterator[str]:
    cpu, gpu = _result("training_throughput"), _result("on_gpu")
    rates = cpu["images_per_second"]
    yield from _section(
        "Training",
        f"`{cpu['network']}` at {cpu['resolution']} px, batch {cpu['batch']}, "
        f"{cpu['threads']} threads: "
        f"{rates['mixnas']:.0f} images/s, where a plain loop has {rates['plain']:.0f}. On a GPU, "
        "images/s beside timm's network in the same loop:",
    )
    yield from _table(
        ("network", "pixels", "batch", "precision", "mixnas", "timm"),
        (
            (f"`{r['network']}`", r["pixels"], r["batch"], r["precision"], f"{r['mixnas img/s']:,}",
             f"{r['timm img/s']:,}")
            for r in gpu["parts"]["training"]["rows"]
        ),
    )  # fmt: skip
    yield from _origin(cpu, gpu)


def _interruptions() -> Iterator[str]:
    search, training = _result("kills"), _result("training_kills")
    yield from _section(
        "Interruptions",
        f"A search of {search['trials']} trials was killed {search['kills']} times and resumed: "
        f"{search['complete']} trials were completed, {search['lost']} finished trials were lost, "
        f"{search['changed']} changed, and {search['double']} were done twice. A training "
        "was killed "
        f"{training['kills']} times: {training['equal_tensors']} of {training['tensors']} tensors "
        "equal those of a training that was left alone, bit for bit.",
    )
    yield from _origin(search, training)


def _overhead() -> Iterator[str]:
    overhead, describing = _result("overhead"), _result("describing")
    local, ray = (overhead[way]["milliseconds_a_trial"] for way in ("local", "ray"))
    yield from _section(
        "Overhead",
        f"A trial costs {local:.0f} ms besides its work, and {ray:.0f} ms on Ray. Counting "
        f"{describing['count_specs']:,} networks exactly takes {describing['count_seconds']:.1f} s "
        f"({describing['fvcore_over_ours']:,.0f} times less than with fvcore, whose counts "
        "they equal), "
        f"and sampling {describing['sample_networks']:,} networks of "
        f"{describing['sample_band']} MAdds "
        f"{describing['sample_seconds']:.1f} s.",
    )
    yield from _origin(overhead, describing)


def _inputs() -> Iterator[str]:
    fuzz, agent = _result("fuzz"), _result("agent_robustness")
    yield from _section(
        "Damaged and hostile input",
        f"{fuzz['inputs']:,} damaged files and folders were given to the commands: "
        f"{fuzz['with_a_fault']} of them ended otherwise than with a result or one clear line. Of "
        f"{agent['requests']:,} requests that an agent must refuse, it refused "
        f"{agent['answered_4xx_or_closed']:,}, without a traceback and in the same process.",
    )
    yield from _origin(fuzz, agent)


if __name__ == "__main__":
    write_atomic(PAGE, page())
    for path, content in figures().items():
        write_atomic(path, content)
    print(f"{PAGE} is written", file=sys.stderr)
