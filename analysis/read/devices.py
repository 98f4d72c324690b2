"""The tables and files of a search on several devices, as one of the devices sees them.

Plain columns and files (``latency_ms``, ``best.yaml``) belong to the first device of a search. With
several devices, each has columns and files of its own as well: ``latency_ms@litert:cpu``,
``best@litert-cpu.yaml``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.schema import LIMITED, Direction, on_device

JOINT = "all"
"""Stands for all devices together in the names of files."""
LATENCY = "latency"
LATENCY_MS = "latency_ms"


def devices_of(named: object) -> tuple[str, ...]:
    """Return the devices of a configuration, which names one or lists several."""
    return tuple(map(str, named)) if isinstance(named, list) and named else (str(named),)


def table_on(table: pd.DataFrame, device: str) -> pd.DataFrame:
    """Return a table whose plain columns are those of a device.

    A table without columns of the device is returned as it is.
    """
    own = on_device("", device)
    columns = [name for name in table.columns if str(name).endswith(own)]
    return table.assign(**{name.removesuffix(own): table[name] for name in columns})


def joint_objectives(devices: Sequence[str]) -> dict[str, Direction]:
    """Return the direction of the objectives on all devices together, by column."""
    columns: dict[str, Direction] = {"score": "max"}
    for device in devices:
        columns[on_device(LATENCY_MS, device)] = "min"
    return columns


def within_all(table: pd.DataFrame, devices: Sequence[str]) -> pd.DataFrame:
    """Return a table in which `LIMITED` says whether a network keeps the limits on every device."""
    columns = [on_device(LIMITED, device) for device in devices]
    known = [name for name in columns if name in table]
    if not known:
        return table
    texts = table[known].astype(str).apply(lambda column: column.str.strip().str.lower())
    return table.assign(**{LIMITED: (texts == "true").all(axis=1)})


def limits_on(limits: Mapping[str, str], device: str) -> dict[str, str]:
    """Return the limits of a search that hold on a device, as text by metric.

    A limit on the latency of a device takes the place of one on latency that names no device.
    """
    own = {metric: text for metric, text in limits.items() if "@" not in metric}
    named = on_device(LATENCY, device)
    return own | ({LATENCY: limits[named]} if named in limits else {})


def file_names(devices: Sequence[str]) -> dict[str, str]:
    """Return how files call the devices: ``litert-cpu`` for ``litert:cpu``; all names differ."""
    return dict(zip(devices, distinct_stems(devices, "device", (JOINT,)), strict=True))


def distinct_stems(names: Sequence[str], empty: str, taken: Sequence[str] = ()) -> list[str]:
    """Return a file name without its ending for every name; all of them differ.

    Args:
        names: Any texts.
        empty: What stands for a name without letters and digits.
        taken: File names that none may have.
    """
    stems: list[str] = []
    for text in names:
        plain = re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.") or empty
        stem, count = plain, 1
        while stem in (*taken, *stems):
            count += 1
            stem = f"{plain}-{count}"
        stems.append(stem)
    return stems
