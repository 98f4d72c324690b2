"""Accuracy against a cost that is a function of the parameters."""

import optuna
import optunahub
from optuna.distributions import CategoricalDistribution, IntDistribution

PARAMETERS = {
    "depth": IntDistribution(1, 8),
    "width": IntDistribution(16, 256, step=16),
    "block": CategoricalDistribution(["plain", "bottleneck"]),
}


def flops(p: dict) -> float:
    """Return the cost, which is known without training."""
    return p["depth"] * p["width"] ** 2 * (0.5 if p["block"] == "bottleneck" else 1.0)


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """Return accuracy and cost; a real objective would train here."""
    p = {
        "depth": trial.suggest_int("depth", 1, 8),
        "width": trial.suggest_int("width", 16, 256, step=16),
        "block": trial.suggest_categorical("block", ["plain", "bottleneck"]),
    }
    return 0.95 - 0.5 * flops(p) ** -0.15 - 0.02 * (p["depth"] > 5), flops(p)


if __name__ == "__main__":
    module = optunahub.load_module("samplers/known_cost")
    sampler = module.KnownCostSampler(PARAMETERS, [flops], seed=0)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=40)
    for trial in study.best_trials:
        print(trial.values, trial.params)
