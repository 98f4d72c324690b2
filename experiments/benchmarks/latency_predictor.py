"""Accuracy of a latency predictor, fitted within minutes, on unseen networks.

    python -m experiments.benchmarks.latency_predictor [--device onnxruntime:cpu] [--networks 100]
                                                       [--fresh 100] [--seed 0] [--keep]
                                                       [--record]

Training networks are chosen as by `python -m nas.device fit`; test networks are drawn as in a
search, half of them from the whole space and half with MAdds within 5% of its median, where MAdds
are uninformative. The Spearman correlation of MAdds alone and the error of repeated measurements of
the same networks are printed for comparison.

With ``--keep``, latencies are kept in the cache: after an interruption the same command goes on,
and a changed predictor is judged on the same measurements, until the device is examined again.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from experiments.benchmarks.common import record
from nas.cost import count
from nas.files import write_atomic
from nas.latency import MeasurementSettings, open_device
from nas.latency.prediction.fitting import check_predictor, draw, fit_predictor, measure_all
from nas.latency.prediction.kept import KeptLatencies
from nas.latency.prediction.predictor import BAND, error_card, space_digest
from nas.limits import Limit
from nas.space import load_space

REPEATS = 20
CURVE = (25, 50, 75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="onnxruntime:cpu")
    parser.add_argument("--space", default="mixnet")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--fresh", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep and reuse measured latencies")
    parser.add_argument("--record", action="store_true", help="write experiments/results/")
    arguments = parser.parse_args()
    space, device = (
        load_space(arguments.space),
        open_device(arguments.device, MeasurementSettings()),
    )
    rng = random.Random(arguments.seed)
    device.prepare()

    kept, twice = None, None
    if arguments.keep:
        kept = KeptLatencies(device, f"benchmark {space_digest(space)}")
        twice = KeptLatencies(device, f"benchmark, repeated {space_digest(space)}")

    started = time.perf_counter()
    predictor = fit_predictor(device, space, arguments.networks, rng, kept=kept)
    seconds = time.perf_counter() - started + _spent_before(kept)
    if kept is not None:
        write_atomic(_spent(kept), f"{seconds:.1f}")

    typical = np.median([count(spec).madds for spec in draw(space, 200, rng)])
    band = [Limit("madds", typical * (1 - BAND), typical * (1 + BAND))]
    fresh = draw(space, arguments.fresh - arguments.fresh // 2, rng)
    whole = {spec.digest() for spec in fresh}
    fresh += draw(space, arguments.fresh // 2, rng, band)
    pairs = measure_all(device, fresh, kept=kept)
    fresh, measured = [spec for spec, _ in pairs], [latency for _, latency in pairs]
    latencies = np.array([latency.steady_ms for latency in measured])
    madds = np.array([count(spec).madds for spec in fresh])
    choice = device.form_choice()
    predicted = np.array([predictor.fastest(spec, choice)[1] for spec in fresh])
    card = error_card(predicted, latencies, madds)
    half = sum(spec.digest() in whole for spec in fresh)  # the first ones
    inside = np.abs(madds / np.median(madds) - 1) <= BAND

    repeated = measure_all(device, fresh[:REPEATS], kept=twice)
    again = np.array([latency.steady_ms for _, latency in repeated])
    repeat = np.abs(again / latencies[:REPEATS] - 1)
    rows = {
        "networks": arguments.networks,
        "fit_seconds": round(seconds, 1),
        "fresh": len(fresh),
        "within_5": card.within_5,
        "within_10": card.within_10,
        "mean_error": card.mean_error,
        "spearman": card.spearman,
        "spearman_whole_space": round(float(spearmanr(predicted[:half], latencies[:half])[0]), 4),
        "spearman_in_band": card.spearman_in_band,
        "networks_in_band": card.n_in_band,
        "spearman_of_madds": round(float(spearmanr(madds, latencies)[0]), 4),
        "spearman_of_madds_in_band": round(
            float(spearmanr(madds[inside], latencies[inside])[0]), 4
        ),
        "repeated_mean_difference": round(float(repeat.mean()), 4),
        "repeated_within_5": float((repeat <= 0.05).mean()),
        "noisy_to_learn_from": sum(one.trust < 1 for one in predictor.observations),
        "forms": dict(Counter(latency.form for latency in measured).most_common()),
        "noisy_fresh": sum(bool(latency.noise) for latency in measured),
    }
    for name, value in rows.items():
        print(f"{name:32} {value}")
    curve = {}
    for number in CURVE:
        fewer = replace(predictor, observations=predictor.observations[:number])
        part = check_predictor(fewer, device, pairs)
        curve[number] = {"within_5": part.within_5, "within_10": part.within_10}
        print(f"from {number} networks: {part.within_5:.0%} within 5%, {part.within_10:.0%} in 10%")
    record(
        f"latency_predictor_{arguments.device.replace(':', '_').replace('/', '_')}",
        {
            "conditions": asdict(device.conditions),
            **rows,
            "from_fewer": curve,
            "errors": card.errors,
        },
        "onnxruntime",
        "scipy",
        write=arguments.record,
    )


def _spent(kept: KeptLatencies) -> Path:
    return kept.path.with_suffix(".seconds")


def _spent_before(kept: KeptLatencies | None) -> float:
    """Return the time that earlier runs took to measure what is kept, in seconds."""
    return float(_spent(kept).read_text()) if kept is not None and _spent(kept).is_file() else 0.0


if __name__ == "__main__":
    main()
