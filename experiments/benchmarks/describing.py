"""Speed of counting and sampling networks, compared with fvcore's count of the same networks.

    python -m experiments.benchmarks.describing [--record]

It uses one core; mixnas is timed without importing torch. Times are those of a fresh process with
empty caches.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from experiments.benchmarks.common import record
from nas.cost import count
from nas.errors import LimitError
from nas.limits import parse_limits
from nas.space import load_space, sample

SPECS = 10_000
SAMPLES = 1_000
BAND = "390M..400M"
FVCORE_SPECS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    space = load_space("mixnet")
    rng = random.Random(0)

    specs = [space.decode(space.draw(rng)) for _ in range(SPECS)]
    started = time.perf_counter()
    costs = [count(spec) for spec in specs]
    counting = time.perf_counter() - started

    limits = parse_limits([f"madds={BAND}"])
    started = time.perf_counter()
    drawn = [sample(space, rng, limits) for _ in range(SAMPLES)]
    sampling = time.perf_counter() - started

    started = time.perf_counter()
    try:
        sample(space, rng, parse_limits(["madds=10M"]))
        refusal = "none"
    except LimitError as error:
        refusal = str(error)
    refusing = time.perf_counter() - started
    without_torch = "torch" not in sys.modules

    from nas.cost.fvcore import fvcore_madds  # imports torch, so it comes last

    fvcore_madds(specs[0])
    started = time.perf_counter()
    theirs = [fvcore_madds(spec) for spec in specs[:FVCORE_SPECS]]
    fvcore = (time.perf_counter() - started) / FVCORE_SPECS

    rows = [
        (f"count {SPECS:,} specs", f"{counting:.2f} s", f"{1e6 * counting / SPECS:.0f} us a spec"),
        (
            f"draw {SAMPLES:,} within {BAND}",
            f"{sampling:.2f} s",
            f"{len({d.genotype for d in drawn})} different",
        ),
        ("refuse madds <= 10M", f"{refusing:.2f} s", refusal.split(";")[0]),
        ("fvcore, one spec", f"{fvcore:.3f} s", f"{fvcore / (counting / SPECS):,.0f}x ours"),
    ]
    for what, figure, remark in rows:
        print(f"{what:36} {figure:>10}   {remark}")
    record(
        "describing",
        {
            "count_specs": SPECS,
            "count_seconds": round(counting, 3),
            "sample_networks": SAMPLES,
            "sample_band": BAND,
            "sample_seconds": round(sampling, 3),
            "refusal_seconds": round(refusing, 3),
            "torch_imported": not without_torch,
            "fvcore_seconds_a_spec": round(fvcore, 4),
            "fvcore_over_ours": round(fvcore / (counting / SPECS), 1),
            "equal_to_fvcore": theirs == [cost.madds for cost in costs[:FVCORE_SPECS]],
        },
        "fvcore",
        "torch",
        write=arguments.record,
    )


if __name__ == "__main__":
    main()
