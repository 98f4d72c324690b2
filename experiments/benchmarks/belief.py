"""Fronts chosen by estimates of accuracy, and by what is believed of all of them.

    python -m experiments.benchmarks.belief [--seeds 8] [--problems nas-bench-macro mixnet ...]
                                            [--record]

Networks are drawn at random, and their accuracies are estimated with noise. A front is chosen by
the estimates, and another one by what is believed of the networks
(`nas.samplers.known_cost.belief`), as a search does. What they are worth is known. The table tells
the share of the hypervolume of the true front that each choice reaches, by how much the network
that seemed best falls short of what was promised of it (the winner's curse), and its true accuracy,
in percent. The problems are those of `landscapes`, with the noise of one training; `--noise` adds
more, as a supernet has it.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.benchmarks.common import record
from experiments.benchmarks.landscapes import (
    PROBLEMS,
    Problem,
    hypervolume,
    open_problem,
)
from experiments.benchmarks.samplers import domain
from nas.samplers.known_cost.belief import believed_accuracies
from nas.samplers.known_cost.improvement import nondominated

SIZES = (24, 60, 150, 600, 2_000)
NOISES = (0.0, 1.0)  # standard deviations of further noise, in percentage points
CHOICES = ("estimate", "belief")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--noise", nargs="+", type=float, default=list(NOISES))
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    rows = []
    with threadpool_limits(1):
        for name in arguments.problems:
            problem = open_problem(name)
            print(f"\n{name}\n{'':24}share of the true front   promised - true   true accuracy")
            for noise in arguments.noise:
                for size in arguments.sizes:
                    row = compare(problem, size, noise, arguments.seeds)
                    rows.append(row)
                    show(row)
    record(
        "belief",
        {"seeds": arguments.seeds, "rows": rows},
        "scikit-learn", "numpy",
        write=arguments.record,
    )  # fmt: skip


def compare(problem: Problem, size: int, noise: float, seeds: int) -> dict[str, Any]:
    """Return the means over seeds of what each choice gains, and their standard errors."""
    runs = [choose(problem, size, noise, seed) for seed in range(seeds)]
    found: dict[str, Any] = {
        "problem": problem.name,
        "networks": size,
        "further_noise": noise,
        "seconds": round(float(np.mean([run["seconds"] for run in runs])), 3),
    }
    for choice in CHOICES:
        values = np.array([run[choice] for run in runs])
        found[choice] = {
            "share": round(float(values[:, 0].mean()), 4),
            "curse": round(float(values[:, 1].mean()), 3),
            "best": round(float(values[:, 2].mean()), 3),
        }
    gains = np.array([run["belief"][0] - run["estimate"][0] for run in runs])
    found["gain"] = round(float(gains.mean()), 4)
    found["gain_error"] = round(float(gains.std(ddof=1) / np.sqrt(seeds)), 4)
    return found


def choose(problem: Problem, size: int, noise: float, seed: int) -> dict[str, Any]:
    """Draw and score networks; return what the fronts of estimates and of beliefs are worth."""
    draws = np.random.default_rng(seed)
    networks = domain(problem)
    genotypes = list(dict.fromkeys(networks.draw_many(random.Random(seed), size)))
    params = [networks.to_parameters(genotype) for genotype in genotypes]
    percent = 100 / problem.max_score
    costs = np.array([problem.cost(each) for each in params])
    truth = percent * np.array([problem.truth(each) for each in params])
    estimates = percent * np.array([problem.observed(each, seed) for each in params])
    estimates = np.minimum(estimates + noise * draws.standard_normal(len(estimates)), 100.0)
    started = time.perf_counter()
    beliefs = 100 * believed_accuracies(networks.encode(genotypes), costs[:, None], estimates / 100)
    seconds = time.perf_counter() - started
    worst = (float(truth.min()), 1.1 * float(costs.max()))
    full = hypervolume(list(zip(costs, truth, strict=True)), worst)
    found: dict[str, Any] = {"seconds": seconds}
    for choice, promised in zip(CHOICES, (estimates, beliefs), strict=True):
        chosen = nondominated(promised, costs[:, None])
        reached = hypervolume(list(zip(costs[chosen], truth[chosen], strict=True)), worst)
        best = int(np.argmax(promised))
        found[choice] = (reached / full, promised[best] - truth[best], truth[best])
    return found


def show(row: dict[str, Any]) -> None:
    label = f"{row['networks']} networks, +{row['further_noise']:g}"
    cells = [
        f"{row['estimate'][key]:.{digits}f} {row['belief'][key]:.{digits}f}"
        for key, digits in (("share", 3), ("curse", 2), ("best", 2))
    ]
    gain = f"{row['gain']:+.3f} +- {row['gain_error']:.3f}"
    print(f"{label:24}{'   '.join(cells)}   {gain}   {row['seconds']:.2f} s", flush=True)


if __name__ == "__main__":
    main()
