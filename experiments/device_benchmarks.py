"""Sections of the page of benchmarks about searches for several devices."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.stats import sem, t

from experiments.benchmark_lines import (
    all_recorded,
    mean_and_deviation,
    origin,
    paragraph,
    percent,
    recorded,
    rows,
    section,
)


def two_devices() -> Iterator[str]:
    """Yield the section on searches for two devices."""
    result = recorded("two_devices")
    searches = list(result["kernel_shares"])
    yield from section(
        "Two devices",
        f"Searches for each of two runtimes on one machine, with {result['seeds']} seeds and the "
        "same shared weights, on handwritten digits at 36 px. Every network of a front was then "
        "measured in both, and evaluated on test images.",
    )
    yield from paragraph("![What searches would deploy, in both runtimes](images/two_devices.png)")
    shares = result["kernel_shares"]
    kernels = sorted({kernel for found in shares.values() for kernel in found}, key=_side)
    yield from paragraph("Shares of kernel sizes in the networks of the fronts:")
    yield from rows(
        ("searched for", *kernels),
        ((f"`{s}`", *(percent(shares[s].get(k, 0), 0) for k in kernels)) for s in searches),
    )
    yield from paragraph(
        "Test accuracy, as the mean over the searches with the standard deviation, of the network "
        "with the highest score that each search found within a latency, and so what is lost by "
        f"deploying a network that was searched for another device. {_leads(result)}"
    )
    yield from rows(
        ("deployed on", "within", *(f"searched for `{s}`" for s in searches)),
        (
            (
                f"`{device}`",
                f"{row['within_ms']:.2f} ms",
                *(mean_and_deviation(row[s]) for s in searches),
            )
            for device, found in result["within_latency"].items()
            for row in found
        ),
    )
    yield from origin(result)


def joint_search() -> Iterator[str]:
    """Yield the section on one search for two devices, and on a device that comes later."""
    for result in all_recorded("joint_search").values():
        found = result["rows"]
        later = [row["later"] for row in found]
        told = [
            f"in {statistics.mean(minutes):.1f} minutes where it {what}"
            for what, first in (("had to be examined first", True), ("was known", False))
            if (minutes := [e["seconds"] / 60 for e in later if e["examined_first"] == first])
        ]
        yield from section(
            "One search for two devices",
            f"A search of {result['trials']} trials for two devices at once, against one of "
            f"{result['trials'] // 2} for each: the hypervolume of each device's front, as a share "
            "of that of both searches together, with the standard deviation over the seeds. It is "
            "that of estimated scores, the best of which are partly luck, so more trials seem a "
            f"little better than they are. Afterwards `{later[0]['device']}` joined the search, as "
            "a device that is bought later. The networks were measured on it, without any "
            f"training, {' and '.join(told)}.",
        )
        yield from rows(
            ("device", "one search for both", "a search for each"),
            (
                (
                    f"`{device}`",
                    *(
                        mean_and_deviation([row[device][kind] for row in found])
                        for kind in ("joint", "separate")
                    ),
                )
                for device in result["means"]
            ),
        )
        yield from origin(result)


def _side(kernel: str) -> int:
    return int(kernel.partition("x")[0])


def _leads(result: dict[str, Any]) -> str:
    """Say what a device's own searches are better by, with the standard error over the seeds."""
    within = result["within_latency"]
    leads = {device: _leads_on(device, within, result["seeds"]) for device in within}
    told = [
        f"{_mean_and_error(each)} percentage points on `{device}`" for device, each in leads.items()
    ]
    both = [statistics.mean(each) for each in zip(*leads.values(), strict=True)]
    # The quantile of Student's t: there are few seeds.
    seen = abs(statistics.mean(both)) > t.ppf(0.975, len(both) - 1) * sem(both)
    verdict = "more" if seen else "no more"
    return (
        "On average over these latencies, a device's own searches differ from the others by "
        f"{' and '.join(told)}, with the standard error over the seeds. The mean of both, "
        f"{_mean_and_error(both)}, is {verdict} than chance explains (Student's t with "
        f"{len(both)} seeds, 95%)."
    )


def _leads_on(device: str, within: Mapping[str, Any], seeds: int) -> list[float]:
    """Return the lead of a device's own searches on it, by seed, in percentage points."""
    (other,) = (name for name in within if name != device)
    rows_on = within[device]
    return [
        100 * statistics.mean(row[device][seed] - row[other][seed] for row in rows_on)
        for seed in range(seeds)
    ]


def _mean_and_error(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):+.2f} ± {sem(values):.2f}"
