"""Patterns of shards' names, as shells and WebDataset expand them: shards-{000..146}.tar."""

from __future__ import annotations

import re
from itertools import pairwise

from nas.errors import MixnasError

SEPARATOR = "::"  # between patterns of one data set, as WebDataset has it
_MOST_NAMES = 100_000
_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})(?:\.\.([0-9]{1,9}))?")


def expanded(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, in order.

    ``{000..146}`` stands for a range of numbers of equal width, ``{0..100..10}`` for every tenth of
    them, ``{train,val}`` for each of the words; ``::`` separates patterns. Braces may be nested.

    Args:
        pattern: As given on the command line.

    Raises:
        MixnasError: If a brace has no counterpart, braces hold neither a range nor a list, or the
            names are too many.
    """
    names = [name for word in pattern.split(SEPARATOR) for name in _expanded(pattern, word)]
    _check_count(pattern, len(names))
    return names


def _expanded(pattern: str, word: str) -> list[str]:
    begin = word.find("{")
    if begin < 0:
        if "}" in word:
            raise MixnasError(f"{pattern} has a '}}' without a '{{'")
        return [word]
    end, commas = _counterpart(pattern, word, begin)
    inner = word[begin + 1 : end]
    if commas:
        edges = [begin, *commas, end]
        choices = [
            choice
            for left, right in pairwise(edges)
            for choice in _expanded(pattern, word[left + 1 : right])
        ]
    else:
        choices = _numbers(pattern, inner)
    rest = _expanded(pattern, word[end + 1 :])
    _check_count(pattern, len(choices) * len(rest))
    return [word[:begin] + choice + tail for choice in choices for tail in rest]


def _counterpart(pattern: str, word: str, begin: int) -> tuple[int, list[int]]:
    """Return where the brace that opens at `begin` closes, and the commas directly inside."""
    depth = 0
    commas: list[int] = []
    for place in range(begin, len(word)):
        if word[place] == "{":
            depth += 1
        elif word[place] == "}":
            depth -= 1
            if depth == 0:
                return place, commas
        elif word[place] == "," and depth == 1:
            commas.append(place)
    raise MixnasError(f"{pattern} has a '{{' without a '}}'")


def _numbers(pattern: str, inner: str) -> list[str]:
    match = _RANGE.fullmatch(inner)
    if match is None or int(match[3] or 1) == 0:
        raise MixnasError(
            f"'{{{inner}}}' in {pattern} is neither a range such as {{000..146}} nor a list such "
            "as {train,val}"
        )
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    _check_count(pattern, abs(last - first) // step + 1)
    is_padded = any(len(text) > 1 and text.startswith("0") for text in (match[1], match[2]))
    width = max(len(match[1]), len(match[2])) if is_padded else 0
    numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    return [f"{number:0{width}d}" for number in numbers]


def _check_count(pattern: str, count: int) -> None:
    if count > _MOST_NAMES:
        raise MixnasError(f"{pattern} stands for {count} names; at most {_MOST_NAMES} are read")
