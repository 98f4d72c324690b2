"""The table that shows what int8 arithmetic costs and gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nas import cli
from nas.latency.conditions import pause_text
from nas.units import number_of


def show_int8(facts: Mapping[str, Any], title: str) -> None:
    """Print the table.

    Args:
        facts: What `nas.export.int8.judgement.judged` found.
        title: What the table is about.
    """
    latency = facts["latency"]["int8"]
    accuracy = facts["accuracy"]
    cli.print_table(
        title,
        ["", "fp32", "int8", "change"],
        [*_accuracy_rows(accuracy), _latency_row(facts["latency"]), _size_row(facts["bytes"])],
        f"calibrated on {facts['calibrated_on']}; "
        + (
            "accuracy: top-1, with the 95% interval of the change; "
            if accuracy
            else "no accuracy: the weights are random; "
        )
        + f"latency: {latency['device']}, {latency['runtime']}, {latency['machine']}, "
        f"{number_of(latency['threads'], 'thread')}, batch {latency['batch']}"
        f"{pause_text(latency)}" + _forms(facts["latency"]),
    )


def _forms(latency: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the form in which a lowered network is fastest with fp32; empty if it is not told."""
    form = latency["fp32"].get("form")
    return f"; fp32 in its own fastest form ({form})" if form else ""


def int8_remarks(facts: Mapping[str, Any]) -> list[str]:
    """Return what disturbed the measurements of latency, a line each."""
    found = {
        f"latency with {precision}: {remark}"
        for precision, latency in facts["latency"].items()
        for remark in latency["noise"]
    }
    return sorted(found)


def _accuracy_rows(accuracy: Mapping[str, Any] | None) -> list[list[str]]:
    if accuracy is None:
        return []
    change, error = 0.0 - accuracy["loss_points"], accuracy["loss_points_error"]
    return [
        [
            f"accuracy ({number_of(accuracy['images'], 'validation image')})",
            f"{accuracy['fp32']:.1%}",
            f"{accuracy['int8']:.1%}",
            f"{change:+.1f} points ({change - error:+.1f} to {change + error:+.1f})",
        ],
        ["images given the same class", "", f"{accuracy['same_class']:.1%}", ""],
    ]


def _latency_row(latency: Mapping[str, Any]) -> list[str]:
    before, after = (latency[precision]["steady_ms"] for precision in ("fp32", "int8"))
    return ["latency (ms)", f"{before:.2f}", f"{after:.2f}", f"{after / before:.2f} times"]


def _size_row(sizes: Mapping[str, int]) -> list[str]:
    before, after = sizes["fp32"], sizes["int8"]
    return ["size (MB)", f"{before / 1e6:.2f}", f"{after / 1e6:.2f}", f"{after / before:.2f} times"]
