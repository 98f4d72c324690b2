"""What came of a comparison of networks: a table and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures.style import save
from analysis.figures.training import comparison_figure
from nas import cli
from nas.files import write_atomic
from nas.train.full_training import has_top5
from nas.units import format_count

COLUMNS = (
    "network",
    "top1",
    "top5",
    "validation_top1",
    "params",
    "madds",
    "resolution",
    "latency_ms",
    "epochs",
    "seconds",
    "problem",
)


def results_table(cards: Mapping[str, Any], problems: Mapping[str, str]) -> pd.DataFrame:
    """Return the results of networks, the most accurate one first.

    Args:
        cards: Cards of the networks by name, as `FullTraining.finish` returns them; None for a
            network without one.
        problems: Why networks have no card, by name.

    Returns:
        One row per network, with the columns `COLUMNS`; accuracies are shares. Those that were not
        trained have a problem and nothing else.
    """
    rows = [
        {"network": name, "problem": problems[name]} if card is None else _row(name, card)
        for name, card in cards.items()
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = [name for name in COLUMNS if name not in ("network", "problem")]
    table[numbers] = table[numbers].astype(float)
    table["problem"] = table["problem"].astype(object)  # rather than numbers if there is none
    return table.sort_values("top1", ascending=False, kind="stable", ignore_index=True)


def _row(name: str, card: Mapping[str, Any]) -> dict[str, Any]:
    latency = card["latency"]
    return {
        "network": name,
        "top1": card["test"]["top1"],
        "top5": card["test"]["top5"] if has_top5(card) else math.nan,
        "validation_top1": card["validation"]["top1"],
        **{key: card[key] for key in ("params", "madds", "resolution", "epochs", "seconds")},
        "latency_ms": math.nan if latency is None else latency["steady_ms"],
    }


def write_results(folder: Path, table: pd.DataFrame, logs: Mapping[str, pd.DataFrame]) -> None:
    """Write the table ``zoo.csv``, and the figure ``zoo`` if there are results.

    Args:
        folder: Folder of the comparison.
        table: Results (see `results_table`).
        logs: Logs of the trained networks, by name.
    """
    write_atomic(folder / "zoo.csv", table.to_csv(index=False, lineterminator="\n"))
    trained = table[table["problem"].isna()]
    if len(trained):
        save(comparison_figure(trained, logs), folder / "zoo")


def print_results(table: pd.DataFrame, folder: Path, json: bool) -> None:
    """Print a table of results, or the same as JSON."""
    if json:
        found = table.to_dict("records")
        cli.print_json(
            [{str(k): None if pd.isna(v) else v for k, v in row.items()} for row in found]
        )
        return
    texts = {
        "network": table["network"],
        "top-1": table["top1"].map(_percent),
        "top-5": table["top5"].map(_percent),
        "parameters": table["params"].map(_count),
        "MAdds": table["madds"].map(_count),
        "latency (ms)": table["latency_ms"].map(lambda v: "-" if pd.isna(v) else f"{v:.2f}"),
        "epochs": table["epochs"].map(lambda v: "-" if pd.isna(v) else f"{v:g}"),
        "time (s)": table["seconds"].map(lambda v: "-" if pd.isna(v) else f"{v:.0f}"),
        "problem": table["problem"].fillna(""),
    }
    optional = {"top-5": "top5", "latency (ms)": "latency_ms", "problem": "problem"}
    empty = {name for name, column in optional.items() if table[column].isna().all()}
    columns = [name for name in texts if name not in empty]
    rows = [[str(texts[name][i]) for name in columns] for i in range(len(table))]
    sides = sorted({f"{side:.0f} px" for side in table["resolution"].dropna()})
    cli.print_table(f"test accuracy at {', '.join(sides) or '-'}", columns, rows, str(folder))


def _percent(share: float) -> str:
    return "-" if pd.isna(share) else f"{share:.2%}"


def _count(number: float) -> str:
    return "-" if pd.isna(number) else format_count(number)
