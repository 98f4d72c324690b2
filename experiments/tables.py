"""Tables of the spaces and reference networks that come with the package, for the docs.

    python -m experiments.tables

writes ``docs/networks.md`` from the YAML files; a test holds that it is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from nas.cost import count
from nas.files import write_atomic
from nas.references import Reference, references
from nas.space import load_space, space_names
from nas.space.size import size_or_bound, size_text
from nas.units import format_count

PAGE = Path(__file__).resolve().parents[1] / "docs" / "networks.md"
_INTRODUCTION = """\
# Search spaces and reference networks

This page is made from the YAML files in `search_spaces/` by `python -m experiments.tables`.

## Search spaces

Sizes are exact where the networks can be counted, and an upper bound otherwise.
"""
_REFERENCES = """
## Reference networks

Parameters and multiply-adds (MAdds: convolution and linear layers, for one image of the given side)
are counted; accuracies on ImageNet are those published for trained weights, at that resolution
unless another one is given.
"""


def page() -> str:
    """Return the whole page, in Markdown."""
    parts = [
        _INTRODUCTION,
        *table(("space", "networks", "what it is"), map(_space, space_names())),
        _REFERENCES,
        *table(
            ("network", "family", "pixels", "params", "MAdds", "top-1 (%)", "accuracy from",
             "weights", "licence"),
            map(_reference, references()),
        ),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _space(name: str) -> tuple[str, ...]:
    space = load_space(name)
    return f"`{name}`", size_text(*size_or_bound(space)), space.description


def _reference(reference: Reference) -> tuple[str, ...]:
    spec, published = reference.spec, reference.published
    cost = count(spec)
    return (
        f"`{spec.name}`",
        f"`{reference.family}`",
        str(spec.input.resolution),
        format_count(cost.params),
        format_count(cost.madds),
        reference.accuracy_text,
        published.source if published is not None else "",
        published.weights if published is not None else "",
        published.licence if published is not None else "",
    )


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a table, in Markdown."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [
        f"| {' | '.join(columns)} |",
        f"|{'--|' * len(columns)}",
        *(f"| {' | '.join(row)} |" for row in cells),
    ]


if __name__ == "__main__":
    write_atomic(PAGE, page())
    print(f"{PAGE} is written", file=sys.stderr)
