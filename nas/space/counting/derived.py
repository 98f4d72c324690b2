"""The number of networks that a derived parametrization leads to.

Four numbers derive the widths and depths of RegNet's stages, so that none can be counted apart from
the others, and most networks come from many of them. But blocks have powers of wm that do not
decrease with depth, and the total depth ends the last stage alone. So for every w0 and wm, the
slopes are told apart by where each power ends, and what leads to equal widths is joined.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from nas.blocks.fields import MAX_CHANNELS
from nas.space.derive import RegNetRule, group_fitted, power_of, quantized
from nas.space.identity.uses import Impossible, Use

_CLOSE = 1e-6  # where a power ends so near to a block, it is computed as the rule does
_NUMBERS = ("depth", "w0", "wa", "wm")
Widths = tuple[int, ...]


class DerivedCount:
    """Counts the widths and depths that a rule derives, with the values of other parameters."""

    def __init__(self, rule: RegNetRule, risky: Sequence[Use], seen: frozenset[int]) -> None:
        """Begin.

        Args:
            rule: The rule.
            risky: Fields whose value may be impossible, which depend on the rule's variables alone.
            seen: Positions of the rule's variables that networks show besides widths and depths,
                such as a group width.
        """
        self._rule, self._risky, self._seen = rule, risky, seen
        self._numbers = [rule.sources[name] for name in _NUMBERS]
        self._groups = {name: rule.sources[name] for name in rule.defaults}
        self._depths = np.unique(self._numbers[0].options)

    @property
    def possible(self) -> bool:
        """Whether the four numbers are variables, or fixed, that determine nothing else."""
        numbers = [source.variable for source in self._numbers if source.variable is not None]
        groups = {source.variable for source in self._groups.values()}
        return len({*numbers}) == len(numbers) and not (groups | self._seen - groups) & {*numbers}

    def count(self) -> int:
        """Return the number of networks that can be built."""
        ladders, of_ladder, ends = self._ladders()
        options = {s.variable: s.options for s in self._groups.values() if s.variable is not None}
        numbers: dict[Widths, int] = {}
        found: dict[tuple[int, ...], list[np.ndarray]] = {}
        for chosen in itertools.product(*(range(len(values)) for values in options.values())):
            assigned = dict(zip(options, chosen, strict=True))
            groups = {name: source.get(assigned) for name, source in self._groups.items()}
            fitted = [tuple(group_fitted(width, **groups) for width in ws) for ws in ladders]
            most = self._most(fitted, assigned)
            index = np.array([numbers.setdefault(ws, len(numbers)) for ws in fitted], dtype=int)
            kept = _limited(ends, most[of_ladder])
            rows = np.column_stack([index[of_ladder], kept])[kept[:, -1] > 0]
            key = tuple(n for i, n in assigned.items() if i in self._seen)
            found.setdefault(key, []).append(rows)
        return sum(self._networks(np.concatenate(parts)) for parts in found.values())

    def _ladders(self) -> tuple[list[Widths], np.ndarray, np.ndarray]:
        """Return widths before they are fitted to groups, and where the powers of blocks end.

        Returns:
            Widths of the stages; for every row of the next, its widths by their position, shape
            (rows,); and the number of blocks up to each stage, shape (rows, stages): that of the
            last stage is the most that there can be.
        """
        _, bases, slopes, ratios = ([*source.options] for source in self._numbers)
        wa, most, stages = np.array(slopes, dtype=float), self._depths[-1], self._rule.stages
        ladders: list[Widths] = []
        rows = []
        for w0, wm in itertools.product(dict.fromkeys(bases), dict.fromkeys(ratios)):
            widths = tuple(quantized(w0 * wm**k) for k in range(stages))
            if any(one >= other for one, other in itertools.pairwise(widths)):
                continue
            ends = np.column_stack([_ends(k, w0, wa, wm, most) for k in range(stages)])
            if stages > 1:
                ends = ends[(np.diff(ends, axis=1, prepend=0) > 0).all(axis=1)]
            ladders.append(widths)
            rows.append(_unique(ends))
        if not rows:
            return [], np.zeros(0, dtype=int), np.zeros((0, stages), dtype=int)
        of_ladder = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
        return ladders, of_ladder, np.concatenate(rows)

    def _most(self, all_widths: list[Widths], assigned: Mapping[int, int]) -> np.ndarray:
        """Return the most blocks that every stage can have, 0 if none; shape (widths, stages)."""
        stages, known = self._rule.stages, {}
        most = np.full((len(all_widths), stages), self._depths[-1])
        for row, widths in zip(most, all_widths, strict=True):
            if widths[-1] > MAX_CHANNELS:
                row[:] = 0
                continue
            for number, use in enumerate(self._risky):
                i, position = use.place.stage, use.place.position
                before = widths[i] if position else widths[i - 1] if i else None
                key = (number, widths[i], before if use.depends_on_input else None)
                if key not in known:
                    effect = use.effect_at((before, widths[i]), assigned)
                    known[key] = isinstance(effect, Impossible)
                if known[key]:
                    row[i] = min(row[i], position)
        return most

    def _networks(self, rows: np.ndarray) -> int:
        """Return how many depths there are with the given widths, and blocks up to each stage."""
        if not len(rows):
            return 0
        keys, last = _encoded(rows[:, :-1]), rows[:, -1]
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        most = np.maximum.reduceat(last[order], starts)
        least = rows[order][starts, -2] if rows.shape[1] > 2 else np.zeros(len(starts), dtype=int)
        between = [np.searchsorted(self._depths, end, side="right") for end in (least, most)]
        return int((between[1] - between[0]).sum())


def _ends(power: int, w0: float, wa: np.ndarray, wm: float, most: int) -> np.ndarray:
    """Return how many of the first `most` blocks have at most a power of wm, for all slopes."""
    with np.errstate(divide="ignore"):
        exact = w0 * (wm ** (power + 0.5) - 1) / wa
    exact = np.minimum(exact, most)
    ends: np.ndarray = np.floor(exact).astype(int) + 1
    nearest = np.rint(exact).astype(int)
    for i in np.flatnonzero(np.abs(exact - nearest) < _CLOSE * (1 + exact)):
        block = int(nearest[i])
        ends[i] = block + (power_of(block, w0, float(wa[i]), wm) <= power)
    return ends.clip(max=most)


def _limited(ends: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Return the rows of `ends` with no more blocks than a stage can have; 0 at the end for none.

    Args:
        ends: Number of blocks up to each stage, shape (rows, stages).
        most: The most blocks of each stage, shape (rows, stages).
    """
    kept = ends.copy()
    depths = np.diff(ends, axis=1, prepend=0)
    before = ends[:, -2] if ends.shape[1] > 1 else np.zeros(len(ends), dtype=int)
    kept[:, -1] = np.minimum(ends[:, -1], before + most[:, -1])
    possible = (depths[:, :-1] <= most[:, :-1]).all(axis=1) & (kept[:, -1] > before)
    kept[~possible, -1] = 0
    return kept


def _encoded(rows: np.ndarray) -> np.ndarray:
    """Return a number for every row of whole numbers, equal exactly for equal rows."""
    keys = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        keys = keys * (int(column.max(initial=0)) + 1) + column
    return keys


def _unique(rows: np.ndarray) -> np.ndarray:
    return rows[np.unique(_encoded(rows), return_index=True)[1]]
