"""The tables of ``docs/regnet.md``, from the statistics of `regnet_trends`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.regnet_trends import TITLES
from nas.errors import MixnasError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "regnet.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
"""The lines between which the page has the tables."""


def with_results(page: str, text: str) -> str:
    """Return a page with other tables.

    Raises:
        MixnasError: If the page does not have `BEGIN` and `END`, in this order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise MixnasError(f"the page has no lines {BEGIN} and {END} to put the results between")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def results(found: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return the tables in Markdown.

    Args:
        found: Statistics, from `evaluate`.
        document: The networks with the conditions of their training, from ``networks.json``.
    """
    rows = document["networks"]
    when = f", the last one on {document['when'][:10]}" if "when" in document else ""
    parts = [
        f"{len(rows)} networks have been trained{when}.",
        _table(("space", "networks", "best error", "median", "mean", "95% interval of the mean"),
               map(_population, found["populations"])),
        _table(("compared by mean error", "in the paper", "here", "bootstrap", "Welch", "verdict"),
               map(_claim, found["claims"])),
        _table(("best value of", "in the paper", "here", "95% interval",
                "95% of all networks", "verdict"), map(_value, found["values"])),
    ]  # fmt: skip
    if found["fit"] is not None:
        parts.append(_fit_text(found["fit"]))
    return "\n\n".join(parts)


def _population(each: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (each["best"], each["median"], each["mean"])
    return (
        _title(each["space"]),
        str(each["networks"]),
        *(f"{100 * number:.1f}%" for number in numbers),
        _interval(each["mean_interval"], 100, ".1f"),
    )


def _claim(each: Mapping[str, Any]) -> tuple[str, ...]:
    better, other = (", ".join(map(_title, each[side])) for side in ("better", "other"))
    return (
        f"{better} vs. {other}",
        f"{'better' if each['differs'] else 'the same'} ({each['source']})",
        f"{100 * each['difference']:+.1f} points",
        _interval(each["interval"], 100, "+.1f"),
        _interval(each["welch_interval"], 100, "+.1f"),
        each["verdict"],
    )


def _value(each: Mapping[str, Any]) -> tuple[str, ...]:
    best = each["best"]
    return (
        f"{each['variable']}, {_title(each['space'])}",
        each["source"],
        "-" if best is None else f"{best['median']:.3g}",
        "-" if best is None else _interval((best["low"], best["high"]), 1, ".3g"),
        _interval(each["population"], 1, ".3g"),
        each["verdict"],
    )


def _fit_text(fit: Mapping[str, Any]) -> str:
    spaces = ", ".join(map(_title, fit["spaces"]))
    return (
        f"Networks of {spaces} ({fit['networks']}) whose widths are nearer to a quantized line "
        "have lower errors in the paper (section 3.3, figure 8). Here, Spearman's rank correlation "
        f"is {fit['value']:+.2f} ({_interval((fit['low'], fit['high']), 1, '+.2f')}): "
        f"{fit['verdict']}."
    )


def _title(space: str) -> str:
    return TITLES.get(space, space)


def _interval(ends: Sequence[float], factor: float, form: str) -> str:
    return " to ".join(f"{factor * end:{form}}" for end in ends)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["--"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
