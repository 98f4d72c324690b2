"""What networks that were chosen for one device lose on another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.read.runs import OBJECTIVES
from analysis.schema import on_device
from analysis.statistics.fronts import Front, pareto_front
from analysis.units import trial_name


@dataclass(frozen=True)
class DeviceLoss:
    """What the choice for one device loses on another one.

    Attributes:
        device: Device that the networks were chosen for.
        other: Device that they are looked at on.
        number: Number of the trial with the best network for `device`.
        score: Its score.
        latency_ms: Its latency on `other`, in milliseconds; NaN if it is not known.
        within: Whether it keeps the limits on `other`.
        slowdown: Its latency on `other` over that of the fastest network for `other` that scores at
            least as high, at least 1 if it keeps the limits; NaN if no network for `other` does.
        faster: Number of the trial with that network; None if there is none.
        score_loss: By how much the best network for `other` that is at least as fast there scores
            higher; NaN if there is none, negative if it scores lower.
        better: Number of the trial with that network; None if there is none.
        kept: Share of the hypervolume on `other` that the front of `device` reaches there, in 0..1;
            NaN if `other` has no front.
        shared: Number of networks that are on both fronts.
    """

    device: str
    other: str
    number: int
    score: float
    latency_ms: float
    within: bool
    slowdown: float
    faster: int | None
    score_loss: float
    better: int | None
    kept: float
    shared: int


def device_losses(
    table: pd.DataFrame,
    fronts: Mapping[str, Front],
    admitted: Mapping[str, pd.DataFrame],
    winners: Mapping[str, int],
) -> list[DeviceLoss]:
    """Compare, for every pair of devices, the networks chosen for one on the other.

    Args:
        table: Completed trials with the columns ``number``, ``score`` and ``latency_ms@DEVICE``.
        fronts: Pareto front on each device, within its limits.
        admitted: Trials within the limits of each device; ``latency_ms`` is that on the device.
        winners: Number of the trial with the best network for each device that has one.
    """
    return [
        _loss(table, device, other, fronts, admitted[other], winners[device])
        for device in winners
        for other in fronts
        if other != device
    ]


def _loss(
    table: pd.DataFrame,
    device: str,
    other: str,
    fronts: Mapping[str, Front],
    admitted: pd.DataFrame,
    winner: int,
) -> DeviceLoss:
    row = table[table["number"] == winner].iloc[0]
    score, latency = float(row["score"]), float(row[on_device("latency_ms", other)])
    as_good = admitted[admitted["score"] >= score].sort_values("latency_ms")
    as_fast = admitted[admitted["latency_ms"] <= latency].sort_values("score", ascending=False)
    own, theirs = set(fronts[device].rows["number"]), set(fronts[other].rows["number"])
    return DeviceLoss(
        device=device,
        other=other,
        number=int(winner),
        score=score,
        latency_ms=latency,
        within=bool((admitted["number"] == winner).any()),
        slowdown=latency / float(as_good["latency_ms"].iloc[0]) if len(as_good) else np.nan,
        faster=int(as_good["number"].iloc[0]) if len(as_good) else None,
        score_loss=float(as_fast["score"].iloc[0]) - score if len(as_fast) else np.nan,
        better=int(as_fast["number"].iloc[0]) if len(as_fast) else None,
        kept=_kept(admitted[admitted["number"].isin(own)], fronts[other]),
        shared=len(own & theirs),
    )


def _kept(chosen: pd.DataFrame, front: Front) -> float:
    """Return the share of a front's hypervolume that some of the networks reach."""
    if front.hypervolume <= 0:
        return float("nan")
    if chosen.empty:
        return 0.0
    return pareto_front(chosen, OBJECTIVES, front.reference).hypervolume / front.hypervolume


LOSS_TITLES = (
    "best for",
    "on",
    "network",
    "latency (ms)",
    "within limits",
    "slowdown vs fastest as accurate",
    "score lost vs best as fast",
    "hypervolume reached",
    "networks on both fronts",
)
"""Titles of the columns of `loss_rows`."""


def loss_rows(losses: Sequence[DeviceLoss], is_share: bool) -> list[list[str]]:
    """Return what the choice for one device loses on another as rows of text; see `LOSS_TITLES`.

    Args:
        losses: The losses.
        is_share: Whether scores are accuracies, whose differences are in percentage points.
    """
    return [
        [
            loss.device,
            loss.other,
            trial_name(loss.number),
            _or_dash(loss.latency_ms, f"{loss.latency_ms:.2f}"),
            "yes" if loss.within else "no",
            _or_dash(loss.slowdown, f"{loss.slowdown:.2f}{_rival(loss, loss.faster)}"),
            _or_dash(loss.score_loss, f"{_score_loss(loss, is_share)}{_rival(loss, loss.better)}"),
            _or_dash(loss.kept, f"{100 * loss.kept:.0f}%"),
            str(loss.shared),
        ]
        for loss in losses
    ]


def _score_loss(loss: DeviceLoss, is_share: bool) -> str:
    return f"{100 * loss.score_loss:.1f} points" if is_share else f"{loss.score_loss:.4g}"


def _rival(loss: DeviceLoss, number: int | None) -> str:
    return "" if number in (None, loss.number) else f" ({trial_name(number)})"


def _or_dash(value: float, text: str) -> str:
    return text if np.isfinite(value) else "-"


def loss_sentence(loss: DeviceLoss, is_share: bool) -> str:
    """Say in a sentence what the best network for one device loses on another one."""
    name = trial_name(loss.number)
    if not np.isfinite(loss.latency_ms):
        return f"{name}, the best for {loss.device}, has no latency on {loss.other}."
    start = f"{name}, the best for {loss.device}, takes {loss.latency_ms:.2f} ms on {loss.other}"
    if not loss.within:
        start += ", which breaks the limit there"
    ends = []
    if np.isfinite(loss.slowdown) and loss.slowdown > 1 and loss.faster != loss.number:
        ends.append(f"{loss.slowdown:.2f} times as long as {trial_name(loss.faster)}, as good")
    if np.isfinite(loss.score_loss) and loss.better != loss.number and loss.score_loss > 0:
        ends.append(f"{_score_loss(loss, is_share)} below {trial_name(loss.better)}, as fast")
    if not loss.within and loss.better is not None and loss.score_loss <= 0:
        points = _score_loss(replace(loss, score_loss=-loss.score_loss), is_share)
        ends.append(f"the best network within it, {trial_name(loss.better)}, scores {points} lower")
    if not ends and loss.within:
        ends.append("no network for it is as good and faster, or as fast and better")
    front = ""
    if np.isfinite(loss.kept):
        front = (
            f" The front of {loss.device} reaches {100 * loss.kept:.0f}% of the hypervolume on "
            f"{loss.other}."
        )
    return f"{start}{''.join(f'; {end}' for end in ends)}.{front}"
