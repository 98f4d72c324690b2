"""Run directories with a supernet, as a search leaves them, without the search."""

import pandas as pd
import torch
import yaml

from analysis.schema import LIMITED, RAW_SCORE
from nas.accuracy.pool import SpacePool
from nas.accuracy.supernet import SUPERNET_FILE, Supernet
from nas.space import load_space
from tests.searching import SPACE

SEED = 3
SETTINGS = "images=800,resolution=16,validation=150,calibration=256"


def write_run(folder, patch, data="digits", **changes):
    """Train a supernet for a few steps; return its estimator, and the best network of its run."""
    patch.setattr("nas.accuracy.supernet.paths.SCANNED", 60)
    torch.set_num_threads(1)
    folder.mkdir()
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    space = load_space(str(folder / "space.yaml")).with_classes(10)
    settings = {"images": 800, "resolution": 16, "validation": 150, "calibration": 256}
    supernet = Supernet(data, SpacePool(space), seed=SEED, **{**settings, **changes})
    supernet.prepare()
    (folder / SUPERNET_FILE).write_bytes(supernet.export_state())
    config = {
        "space": "small.yaml", "data": data, "estimator": f"supernet:{SETTINGS}", "device": "none",
        "seed": SEED, "on": "cpu", "precision": "auto", "command": "python -m nas.search",
    }  # fmt: skip
    write_yaml(folder / "config.yaml", config)
    write_yaml(folder / "conditions.yaml", {"scores": supernet.fingerprint()})
    spec = space.decode(space.canonical([0] * len(space.variables)), "small_trial_0")
    spec.save(folder / "best.yaml")
    found = supernet.estimate(spec, SEED)
    row = {
        "number": 0, "state": "complete", "reason": "", "spec_hash": spec.digest(),
        "score": 0.9 * found.score, RAW_SCORE: found.score,  # less is believed of the best one
        "accuracy": found.accuracy, LIMITED: True,
        **dict.fromkeys(("params", "madds", "latency_ms", "latency_p10_ms", "latency_p90_ms"), 1.0),
    }  # fmt: skip
    pd.DataFrame([row]).to_csv(folder / "trials.csv", index=False)
    return supernet, spec


def write_yaml(path, data):
    path.write_text(yaml.safe_dump(data), encoding="utf-8")


def change_yaml(path, **changes):
    write_yaml(path, {**yaml.safe_load(path.read_text(encoding="utf-8")), **changes})
