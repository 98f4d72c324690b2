"""What the time of a run's best networks consists of: ``operators.csv``."""

from __future__ import annotations

from pathlib import Path

from analysis.document import reason
from analysis.errors import AnalysisError, is_numeric
from analysis.read.files import read_table
from analysis.schema import OPERATOR_COLUMNS

FILE = "operators.csv"


def read_operators(folder: Path, device: str, network: str) -> list[tuple[str, float]]:
    """Return the kinds of operators of a network and their milliseconds, the longest first.

    Args:
        folder: Run directory.
        device: Device on which the network was profiled.
        network: Name of the trial.

    Returns:
        Nothing if another network was profiled, as before the search went on, or none.

    Raises:
        AnalysisError: If the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        table = read_table(path)
    except (OSError, ValueError) as error:
        raise AnalysisError(f"{path} cannot be read: {reason(error)}") from None
    missing = [column for column in OPERATOR_COLUMNS if column not in table]
    if missing:
        raise AnalysisError(f"{path} is damaged: it has no column '{missing[0]}'")
    if not is_numeric(table["ms"]):
        raise AnalysisError(f"{path} is damaged: the column 'ms' holds text")
    rows = table[(table["device"] == device) & (table["network"] == network) & (table["ms"] > 0)]
    rows = rows.sort_values("ms", ascending=False, kind="stable")
    return [(str(kind), float(ms)) for kind, ms in zip(rows["operator"], rows["ms"], strict=True)]
