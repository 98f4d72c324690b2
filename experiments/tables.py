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
_PUBLISHED = """
Some papers give other sizes, since they count combinations of choices, and not networks:

- **AnyNetX** (Radosavovic et al. 2020, section 3): 1.8e18, 6.8e16, 3.2e14, 1.3e13 and 5.5e11 for A
  to E. Combinations whose group width does not divide the bottleneck are built with another width
  there, which another combination has anyway; here they are no members. D and E hold networks with
  equal widths and equal depths of neighboring stages, too, so they are more than a 24th each.
- **RegNet** (the same, section 3.3): about 3.0e8, without a grid of the parameters. Here widths are
  multiples of 8 and w_m of 0.025, which makes 7.1e7 combinations; many have not four stages, or
  lead to the same widths and depths.
- **NAS-Bench-Macro** (Su et al. 2021): 6,561 entries. Those that have the identity in other places
  of the same layers are one network.
- **ProxylessNAS** (Cai et al. 2019, section 4.2): choices that leave out other blocks of a stage
  lead to the same networks.
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
        _PUBLISHED,
        _REFERENCES.lstrip(),
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
