"""What the populations of `regnet_populations` say, beside what the RegNet paper found.

From ``networks.json`` in a folder, `evaluate` writes there

- ``networks.csv``: one row per network, which ``python -m analysis population --split space`` reads
  as well;
- ``trends.json``: mean errors of the populations and differences between them with bootstrap
  intervals, the best values of the variables that all spaces have, and what is found of the
  published claims (`CLAIMS`, `VALUES` and the fit of widths);
- figures: distributions of errors, all together and along the chain of spaces; best values along
  the chain; errors by every variable of AnyNetX_E and of RegNetX.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.errors import floats
from analysis.figures.chain import chain_figure
from analysis.figures.population import edf_figure, trend_figure, variables_figure
from analysis.figures.style import save_all
from analysis.read.population import ReadOptions, read_population
from analysis.statistics.best_values import SUBSET_SHARE, BestValue
from analysis.statistics.bootstrap import difference_bootstrap, mean_bootstrap
from analysis.statistics.distributions import ks_test
from analysis.statistics.intervals import difference_interval
from analysis.statistics.population_card import PopulationCard, cards
from analysis.statistics.quantized_linear import fit_quantized_linear
from analysis.statistics.ranking import ranking_card
from nas.errors import MixnasError
from nas.files import parsing, write_atomic

Floats = NDArray[np.float64]
TITLES = {
    "anynet_a": "AnyNetX_A",
    "anynet_b": "AnyNetX_B",
    "anynet_c": "AnyNetX_C",
    "anynet_d": "AnyNetX_D",
    "anynet_e": "AnyNetX_E",
    "regnet": "RegNetX",
}
"""Names of the spaces in the paper, in the order of its chain."""
SHARED = ("depth", "bottleneck_ratio", "group_width", "w0", "wa", "wm", "fit_error")
"""Variables that networks of all spaces have."""
FEWEST = 5
"""Networks of a population without which nothing is said about it."""


@dataclass(frozen=True)
class Claim:
    """A published comparison of spaces.

    Attributes:
        better: Spaces with the lower errors; without a difference, the later ones in the chain.
        other: The other spaces.
        differs: Whether the paper sees a difference.
        source: Where.
    """

    better: tuple[str, ...]
    other: tuple[str, ...]
    differs: bool
    source: str


A, B, C, D, E, REGNET = TITLES
CLAIMS = (
    Claim((B,), (A,), False, "section 3.2, figure 5, left"),
    Claim((C,), (B,), False, "section 3.2, figure 5, middle"),
    Claim((D,), (C,), True, "section 3.2, figure 7, left"),
    Claim((E,), (D,), True, "section 3.2, figure 7, right"),
    Claim((E,), (A,), True, "section 3.4, figure 10"),
    Claim((REGNET,), (A,), True, "sections 3.3 and 3.4, figures 9 and 10"),
    Claim((REGNET,), (E,), True, "section 3.4, figure 10"),
    Claim((D, E, REGNET), (A, B, C), True, "all of these together"),
)


@dataclass(frozen=True)
class Value:
    """A published value, or range of values, of the good networks.

    Attributes:
        variable: One of `SHARED`.
        space: Space whose networks it is about.
        low: Least good value.
        high: Largest good value.
        source: Where.
    """

    variable: str
    space: str
    low: float
    high: float
    source: str


VALUES = (
    Value("depth", REGNET, 20, 20, "section 4, figure 11: about 20 blocks in every regime"),
    Value("bottleneck_ratio", REGNET, 1, 1, "section 4, figure 11: no bottleneck"),
    Value("wm", REGNET, 2.5, 2.5, "section 4, figure 11: about 2.5"),
    Value("bottleneck_ratio", B, 1, 2, "section 3.2, figure 5, right: at most 2"),
    Value("group_width", C, 2, 32, "section 3.2: above 1"),
    Value("wa", E, 48, 48, "section 3.3, figure 8: width 48 * (j + 1) of block j"),
)
FITTED = (C, D, E)
"""Spaces whose widths the paper fits, in figure 8."""


def evaluate(folder: Path) -> dict[str, Any]:
    """Write the table, statistics and figures of the networks in a folder; return the statistics.

    Raises:
        MixnasError: If there are no networks, or of no space at least `FEWEST` with an error.
    """
    table = networks_table(read_rows(folder / "networks.json"))
    write_atomic(folder / "networks.csv", table.to_csv(index=False))
    found = _cards(folder / "networks.csv", table)
    result = trends(found)
    write_atomic(folder / "trends.json", json.dumps(result, indent=1) + "\n")
    save_all(figures(found), folder)
    return result


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the networks of a study.

    Raises:
        MixnasError: If there is no such file, or it holds no network.
    """
    if not path.is_file():
        raise MixnasError(f"there is no {path}; train networks first (--data)")
    with parsing(path):
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["networks"]
    if not rows:
        raise MixnasError(f"{path} holds no network; train some first (--data)")
    return rows


# -- the table --------------------------------------------------------------------------------


def networks_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return networks as a table, one row each, in the order of the spaces and numbers.

    Variables of all spaces are the columns ``x.NAME`` of `SHARED`, and the depth and width of every
    stage. A bottleneck ratio or group width that differs between stages is the geometric mean over
    the blocks. RegNetX's w0, wa and wm are those that it was drawn with; those of other networks
    are fitted to their widths, and ``x.fit_error`` is the distance (`fit_quantized_linear`).
    """
    order = {name: number for number, name in enumerate(TITLES)}
    ordered = sorted(rows, key=lambda r: (order.get(r["space"], len(order)), r["number"]))
    return pd.DataFrame([_table_row(row) for row in ordered])


def _table_row(row: Mapping[str, Any]) -> dict[str, Any]:
    depths, widths = row["depths"], row["widths"]
    fit = fit_quantized_linear(np.repeat(widths, depths).tolist())
    drawn = row["params"] if row["space"].startswith("regnet") else {}
    stages = {
        f"x.s{i}.{name}": values[i - 1]
        for name, values in (("depth", depths), ("width", widths))
        for i in range(1, len(depths) + 1)
    }
    return {
        "space": row["space"],
        "number": row["number"],
        "error": None if row["accuracy"] is None else round(1 - row["accuracy"], 6),
        **row["costs"],
        "seconds": row["seconds"],
        "x.depth": sum(depths),
        "x.bottleneck_ratio": _block_mean(row["bottleneck_ratios"], depths),
        "x.group_width": _block_mean(row["group_widths"], depths),
        **{f"x.{name}": _drawn(drawn, name, getattr(fit, name)) for name in ("w0", "wa", "wm")},
        "x.fit_error": round(fit.error, 5),
        **stages,
    }


def _block_mean(values: Sequence[float], depths: Sequence[int]) -> float:
    """Return the geometric mean over blocks of a value of every stage."""
    return round(float(np.exp(np.average(np.log(values), weights=depths))), 5)


def _drawn(params: Mapping[str, Any], name: str, fitted: float) -> float:
    """Return a parameter as it was drawn (``derive.w0``), else as it was fitted."""
    found = [value for key, value in params.items() if key.rpartition(".")[2] == name]
    return float(found[0]) if found else round(fitted, 4)


def _cards(path: Path, table: pd.DataFrame) -> list[PopulationCard]:
    """Return the statistics of the populations that are large enough, in the paper's order."""
    known = table[table["error"].notna()]["space"].value_counts()
    usable = [name for name in TITLES if known.get(name, 0) >= FEWEST]
    usable += sorted(name for name in known.index if name not in TITLES and known[name] >= FEWEST)
    if not usable:
        raise MixnasError(f"{path} has no space with {FEWEST} or more trained networks yet")
    variables = tuple(f"x.{name}" for name in SHARED)
    whole = read_population(str(path), ReadOptions(error="error", variables=variables))
    parts = [whole.where(name, whole.table["space"] == name) for name in usable]
    return cards(parts)


# -- statistics -------------------------------------------------------------------------------


def trends(found: Sequence[PopulationCard]) -> dict[str, Any]:
    """Return what the populations say, as data for JSON."""
    by_name = {card.population.name: card for card in found}
    return {
        "populations": [_population(card) for card in found],
        "claims": [
            _claim(claim, *(_errors(by_name, names) for names in (claim.better, claim.other)))
            for claim in CLAIMS
            if {*claim.better, *claim.other} <= set(by_name)
        ],
        "values": [
            _value(value, by_name[value.space]) for value in VALUES if value.space in by_name
        ],
        "fit": _fit([by_name[name].population.table for name in FITTED if name in by_name]),
    }


def _errors(by_name: Mapping[str, PopulationCard], names: Sequence[str]) -> Floats:
    """Return the errors of the networks of some spaces together."""
    return np.concatenate([floats(by_name[name].population.errors) for name in names])


def _population(card: PopulationCard) -> dict[str, Any]:
    errors = card.population.errors
    best = {name.removeprefix("x."): asdict(value) for name, value in card.best.items()}
    return {
        "space": card.population.name,
        "networks": card.edf.n,
        "failed": card.population.seen - card.edf.n,
        "mean": card.edf.mean,
        "mean_interval": mean_bootstrap(errors),
        "median": float(np.nanmedian(errors)),
        "best": card.edf.best,
        "best_values": best,
        "importance": None if card.importance is None else asdict(card.importance),
    }


def _claim(claim: Claim, better: Floats, other: Floats) -> dict[str, Any]:
    """Compare errors as the paper does; the difference is the better's mean less the other's."""
    drawn = difference_bootstrap(better, other)
    welch = difference_interval(*(each[np.isfinite(each)] for each in (better, other)))
    return {
        **asdict(claim),
        "difference": float(np.nanmean(better) - np.nanmean(other)),
        "interval": drawn,
        "welch_interval": welch,
        "ks_p_value": ks_test(better, other).p_value,
        # The bootstrap's interval is too narrow for a few networks, and one network decides much.
        "verdict": compared(claim.differs, min(drawn[0], welch[0]), max(drawn[1], welch[1])),
    }


def _fit(tables: Sequence[pd.DataFrame]) -> dict[str, Any] | None:
    """Return the rank correlation of error with the distance of widths from their fit.

    The paper's networks with a larger distance tend to have a larger error (figure 8).
    """
    if not tables:
        return None
    table = pd.concat(tables)
    table = table[table["error"].notna()]
    scores = pd.DataFrame(
        {
            "accuracy": 1 - table["error"],
            "score": -table["x.fit_error"],
            "madds": table["madds"],
        }
    )
    found = ranking_card(scores, ["score"]).rankings[0].spearman
    verdict = "agrees" if found.low > 0 else "disagrees" if found.high < 0 else "cannot be told"
    return {"spaces": list(FITTED), "networks": len(table), **asdict(found), "verdict": verdict}


def compared(differs: bool, low: float, high: float) -> str:
    """Return what an interval of the better space's mean error less the other's says of a claim.

    Without a published difference, an interval that holds zero shows none, but proves none either.
    """
    if low <= 0 <= high:
        return "cannot be told" if differs else "no difference seen"
    if not differs:
        return "disagrees"
    return "agrees" if high < 0 else "disagrees"


def _value(value: Value, card: PopulationCard) -> dict[str, Any]:
    column = f"x.{value.variable}"
    best = card.best.get(column)
    spread = np.nanquantile(card.population.table[column].astype(float), [0.025, 0.975])
    return {
        **asdict(value),
        "best": None if best is None else asdict(best),
        "population": spread.tolist(),
        "verdict": placed(value, best, (float(spread[0]), float(spread[1]))),
    }


NARROW = 0.5
"""Share of a population's range that an interval of the best value must be within to say much."""


def placed(value: Value, best: BestValue | None, spread: tuple[float, float]) -> str:
    """Return what the interval of the best value says of a published one.

    The best networks of any population have values of its range, even if errors were chance; so an
    interval agrees only if it is clearly narrower than the range. With fewer than eight networks, a
    subset of the bootstrap is a single one, and its "best" network is any of them.

    Args:
        value: The published value.
        best: Interval of the best value; None if it does not vary.
        spread: Range of nearly all networks of the population.
    """
    if best is None or best.n * SUBSET_SHARE < 2:
        return "cannot be told"
    if best.low > value.high or best.high < value.low:
        return "disagrees"
    inside = value.low <= best.low and best.high <= value.high
    narrow = best.high - best.low <= NARROW * (spread[1] - spread[0])
    return "agrees" if narrow or inside else "cannot be told"


# -- figures ----------------------------------------------------------------------------------


def figures(found: Sequence[PopulationCard]) -> dict[str, Any]:
    """Return the figures by file name."""
    label = found[0].population.label
    curves = {TITLES.get(c.population.name, c.population.name): c.edf for c in found}
    drawn = {
        "edf": edf_figure(curves, label),
        "edf_chain": chain_figure(curves, label),
        "trends": trend_figure(found),
    }
    for card in found:
        if card.population.name in ("anynet_e", "regnet"):
            drawn[f"variables_{card.population.name}"] = variables_figure(card)
    return {name: figure for name, figure in drawn.items() if figure is not None}
