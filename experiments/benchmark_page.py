"""The page of benchmarks, made from their recorded results, for the docs.

    python -m experiments.benchmark_page

writes ``docs/benchmarks.md`` from ``experiments/results/*.json``, and copies the figures that the
docs show; a test holds that both are up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.accuracy_benchmarks import (
    few_images,
    ranking,
    scoring,
    slices,
    supernet_settings,
    winners,
)
from experiments.benchmark_lines import (
    RESULTS,
    all_recorded,
    origin,
    paragraph,
    percent,
    recorded,
    rows,
    section,
)
from experiments.deployment_benchmarks import (
    executorch,
    int8,
    lowering,
    predictors,
    references,
)
from experiments.device_benchmarks import joint_search, two_devices
from nas.files import write_atomic

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = (
    *(f"{name}.png" for name in ("depthwise", "samplers", "estimators", "two_devices")),
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


def page() -> str:
    """Return the whole page, in Markdown."""
    sections = (lowering, references, predictors, int8, executorch, two_devices, joint_search,
                _samplers, _beliefs, winners, ranking, supernet_settings, scoring, slices,
                _first_run, _searches, few_images, _repeated, _exports, _outputs, _training,
                _interruptions, _overhead, _inputs, _pythons)  # fmt: skip
    lines = [_INTRODUCTION, *(line for section in sections for line in section())]
    return "\n".join(lines).rstrip() + "\n"


def figures() -> dict[Path, bytes]:
    """Return the figures that the docs show, by the place of the copy."""
    return {
        ROOT / "docs" / "images" / name.replace("/", "_"): (RESULTS / name).read_bytes()
        for name in FIGURES
    }


def _samplers() -> Iterator[str]:
    result = recorded("samplers")
    yield from section("Samplers", "Share of the best possible hypervolume after a number of "
                        "evaluated networks, mean over runs with different seeds.")  # fmt: skip
    counts = [str(n) for n in result["checkpoints"]]
    for name, problem in result["problems"].items():
        yield from paragraph(_problem(name))
        yield from rows(
            ("sampler", *counts, "runs"),
            (
                (f"`{sampler}`", *_spreads(s), max(s["runs"]))
                for sampler, s in problem["shares"].items()
            ),
        )  # fmt: skip
    yield from origin(result)


def _problem(name: str) -> str:
    """Return the title of a problem of `experiments.benchmarks.landscapes`."""
    if name == "nas-bench-macro":
        return "**NAS-Bench-Macro: 6,561 networks with real accuracies**"
    return f"**{name}: a space with synthetic accuracies**"


def _spreads(shares: dict[str, Any]) -> Iterator[str]:
    """Yield means with their standard deviations; nothing where no run was long enough."""
    figures = zip(shares["mean"], shares["standard_deviation"], shares["runs"], strict=True)
    for mean, deviation, runs in figures:
        if mean is None:
            yield ""
        else:
            yield f"{mean:.3f} ± {deviation:.3f}" if runs > 1 else f"{mean:.3f}"


def _beliefs() -> Iterator[str]:
    result = recorded("belief")
    yield from section(
        "Beliefs",
        "The accuracies of random networks were estimated with noise, and a front of accuracy and "
        "cost was chosen by the estimates, or by what is believed of the networks (see "
        "[Beliefs](concepts/known-costs.md#beliefs)). As their true accuracies are known, the "
        "table tells which share of the true front's hypervolume the chosen networks reach, how "
        "good the network is that seemed best, and by how many percentage points it falls short "
        f"of what was promised. Means over {result['seeds']} draws. The noise is that of one "
        "training; the second column is the standard deviation of more, in percentage points.",
    )
    for name in dict.fromkeys(row["problem"] for row in result["rows"]):
        yield from paragraph(_problem(name))
        yield from rows(
            ("networks", "further noise", "front: estimates", "beliefs",
             "falls short: estimates", "beliefs", "accuracy of the best: estimates", "beliefs"),
            (
                (row["networks"], f"{row['further_noise']:g}", *_choices(row))
                for row in result["rows"] if row["problem"] == name
            ),
        )  # fmt: skip
    yield from origin(result)


def _choices(row: dict[str, Any]) -> Iterator[str]:
    """Yield what choices by estimates and by beliefs gain, in turn."""
    for figure, digits, unit in (("share", 1, "%"), ("curse", 2, ""), ("best", 2, "%")):
        for choice in ("estimate", "belief"):
            value = row[choice][figure]
            yield f"{100 * value if figure == 'share' else value:.{digits}f}{unit}"


def _first_run() -> Iterator[str]:
    results = [recorded(f"first_run_cores{cores}") for cores in (2, 1)]
    phases = list(results[0]["median"])
    yield from section(
        "The first search",
        "The first command of the README after the installation, with an empty cache: seconds by "
        "phase, the median of several runs. A run begins with the import of libraries. A later "
        "search does not examine the device again.",
    )
    yield from rows(
        ("cores", "runs", *phases),
        (
            (found["usable"], len(found["runs"]), *(f"{found['median'][p]:.0f}" for p in phases))
            for found in results
        ),
    )
    yield from origin(*results)


def _searches() -> Iterator[str]:
    yield from section("Searches", "The default search on two data sets: the networks that were "
                        "retrained at the end, with three seeds each.")  # fmt: skip
    for file, title, time in (  # the time of the first command has a section of its own
        ("default_search", "Handwritten digits (the first command of the README)", ""),
        ("cifar10_search", "CIFAR-10 images, retrained on 30,000 of them", " in {:.0f} minutes"),
    ):
        result = recorded(file)
        latency = {n["name"]: n["latency_ms"] for n in (*result["pareto"], *result["references"])}
        yield from paragraph(
            f"**{title}**: {result['trials']} networks" + time.format(result["seconds"] / 60)
        )
        yield from rows(
            ("network", "latency (ms)", "test accuracy"),
            (
                (f"`{n['name']}`", f"{latency[n['name']]:.1f}",
                 f"{percent(n['test'])} ± {percent(n['test_std'])}")
                for n in result["confirmed"] if n["name"] in latency
            ),
        )  # fmt: skip
    yield from origin(recorded("default_search"), recorded("cifar10_search"))


def _repeated() -> Iterator[str]:
    result = recorded("repeatability")
    yield from section(
        "Repeated measurements",
        f"Each network was measured in {result['processes']} processes one after another, "
        "on a shared "
        "machine. Spread is the difference between the largest and the smallest, relative to the "
        "smallest.",
    )
    yield from rows(
        ("network", "medians (ms)", "spread", "`steady_ms`", "spread", "told as noisy"),
        (
            (f"`{name}`", ", ".join(f"{ms:.2f}" for ms in n["median_ms"]),
             percent(n["median_spread"]), ", ".join(f"{ms:.2f}" for ms in n["steady_ms"]),
             percent(n["steady_spread"]), sum(n["noisy"]))
            for name, n in result["networks"].items()
        ),
    )  # fmt: skip
    yield from origin(result)


def _exports() -> Iterator[str]:
    result = recorded("export_formats")
    networks = {row["network"]: None for row in result["rows"]}  # in their order
    forms = {(row["format"], row["form"]): None for row in result["rows"]}
    yield from section("Export formats", "Each file was read again by its reader, and its outputs "
                        "compared with those of torch: the largest difference of all networks, "
                        "relative to the largest output, and the images of each network that "
                        "have the same class.")  # fmt: skip
    yield from rows(
        ("format", "form", *(f"`{name}`, MB" for name in networks), "largest difference",
         "same class"),
        (
            (
                f"`{name}`", form,
                *(f"{r['megabytes']:.1f}" for r in found),
                f"{max(r['largest_relative_difference'] for r in found):.1e}",
                f"{min(r['same_class'] for r in found)} of {result['images']}",
            )
            for name, form in forms
            if (found := [r for r in result["rows"] if (r["format"], r["form"]) == (name, form)])
        ),
    )  # fmt: skip
    yield from origin(result)


def _outputs() -> Iterator[str]:
    result = recorded("published_outputs")
    different = result["different"]
    yield from section(
        "Published outputs",
        f"Of the reference networks, {result['compared']} were built here and by timm or "
        "torchvision, "
        f"with the same random weights, in {result['dtype']}: "
        f"{len(different)} of them differ by more than "
        f"{result['tolerance']:.0e}. "
        f"The slope of the leaky activation of {', '.join(result['counterpart_changed'])} was set "
        "to the published one in timm's network first; timm has another.",
    )
    yield from origin(result)


def _training() -> Iterator[str]:
    cpu, gpu = recorded("training_throughput"), recorded("on_gpu")
    rates = cpu["images_per_second"]
    yield from section(
        "Training",
        f"`{cpu['network']}` at {cpu['resolution']} px, batch {cpu['batch']}, "
        f"{cpu['threads']} threads: "
        f"{rates['mixnas']:.0f} images/s, where a plain loop has {rates['plain']:.0f}. On a GPU, "
        "images/s beside timm's network in the same loop:",
    )
    yield from rows(
        ("network", "pixels", "batch", "precision", "mixnas", "timm"),
        (
            (f"`{r['network']}`", r["pixels"], r["batch"], r["precision"], f"{r['mixnas img/s']:,}",
             f"{r['timm img/s']:,}")
            for r in gpu["parts"]["training"]["rows"]
        ),
    )  # fmt: skip
    yield from origin(cpu, gpu)


def _interruptions() -> Iterator[str]:
    search, training = recorded("kills"), recorded("training_kills")
    table, several = recorded("table_kills"), list(all_recorded("kills_*_devices").values())
    yield from section(
        "Interruptions",
        f"A search of {search['trials']} trials was killed {search['kills']} times and resumed: "
        f"{search['complete']} trials were completed, {search['lost']} finished trials were lost, "
        f"{search['changed']} changed, and {search['double']} were done twice. A training "
        "was killed "
        f"{training['kills']} times: {training['equal_tensors']} of {training['tensors']} tensors "
        "equal those of a training that was left alone, bit for bit. Two processes that filled a "
        f"table of {table['trainings']} trainings were killed {table['kills']} times: "
        f"{table['lost']} trainings were lost, {table['changed']} changed, and {table['double']} "
        "were done twice." + "".join(map(_killed_on_several, several)),
    )
    yield from origin(search, training, table, *several)


def _killed_on_several(result: dict[str, Any]) -> str:
    return (
        f" Of a search for {result['devices']} devices with {result['kills']} kills, "
        f"{result['lost']} finished trials were lost, {result['changed']} changed, and "
        f"{result['double']} were done twice."
    )


def _overhead() -> Iterator[str]:
    overhead, describing = recorded("overhead"), recorded("describing")
    local, ray = (overhead[way]["milliseconds_a_trial"] for way in ("local", "ray"))
    yield from section(
        "Overhead",
        f"A trial costs {local:.0f} ms besides its work, and {ray:.0f} ms on Ray. Counting "
        f"{describing['count_specs']:,} networks exactly takes {describing['count_seconds']:.1f} s "
        f"({describing['fvcore_over_ours']:,.0f} times less than with fvcore, whose counts "
        "they equal), "
        f"and sampling {describing['sample_networks']:,} networks of "
        f"{describing['sample_band']} MAdds "
        f"{describing['sample_seconds']:.1f} s.",
    )
    yield from origin(overhead, describing)


def _pythons() -> Iterator[str]:
    for result in all_recorded("python_versions").values():
        yield from section(
            "Versions of Python",
            "The tests that are not slow, run by the README's command in fresh environments; with "
            "Python 3.11, all tests run after every change.",
        )
        yield from rows(
            ("Python", "passed", "skipped", "failed", "minutes, with the installation"),
            (
                (r["python"], f"{r['passed']:,}", r["skipped"], r["failed"] + r["errors"],
                 f"{r['seconds'] / 60:.0f}")
                for r in result["rows"]
            ),
        )  # fmt: skip
        yield from origin(result)


def _inputs() -> Iterator[str]:
    fuzz, agent = recorded("fuzz"), recorded("agent_robustness")
    yield from section(
        "Damaged and hostile input",
        f"{fuzz['inputs']:,} damaged files and folders were given to the commands: "
        f"{fuzz['with_a_fault']} of them ended otherwise than with a result or one clear line. Of "
        f"{agent['requests']:,} requests that an agent must refuse, it refused "
        f"{agent['answered_4xx_or_closed']:,}, without a traceback and in the same process.",
    )
    yield from origin(fuzz, agent)


if __name__ == "__main__":
    write_atomic(PAGE, page())
    for path, content in figures().items():
        write_atomic(path, content)
    print(f"{PAGE} is written", file=sys.stderr)
