"""Tables of made-up searches."""

import numpy as np
import pandas as pd


def searches(tmp_path, number, size=40):
    rng = np.random.default_rng(0)
    paths = []
    for i in range(number):
        cost = rng.random(size)
        rows = pd.DataFrame(
            {
                "accuracy": 0.5 + 0.3 * cost + 0.05 * rng.standard_normal(size),
                "latency_ms": 1 + 9 * cost,
                "madds": 1e8 + 3e8 * cost,
                "seconds": 2.0,
            }
        )
        rows.to_csv(tmp_path / f"seed{i}.csv", index=False)
        paths.append(str(tmp_path / f"seed{i}.csv"))
    return paths


def trials(**columns):
    """The table of a run with three complete trials, with further or other columns."""
    return pd.DataFrame(
        {
            "number": range(3),
            "state": "complete",
            "reason": "",
            "spec_hash": "h",
            "params": 1e6,
            "madds": 1e8,
            "accuracy": [0.95, 0.97, 0.90],
            "latency_ms": [5.0, 8.0, 9.0],
            "latency_p10_ms": 1.0,
            "latency_p90_ms": 9.0,
            **columns,
        }
    )
