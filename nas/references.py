"""The published networks that come with the package: what each is built of, and how well it does.

``python -m nas.space references`` lists them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from nas.document import parse_document
from nas.files import packaged
from nas.spec import NetworkSpec, Published, published_of, reference_names


@dataclass(frozen=True)
class Reference:
    """A reference network.

    Attributes:
        spec: The network.
        published: What is published about its trained weights; None if nothing is known.
        description: What it is, and where it is published.
    """

    spec: NetworkSpec
    published: Published | None
    description: str

    @property
    def family(self) -> str:
        """Name of the block family that most of its blocks belong to, pooling aside."""
        counts = Counter(block.family for block in self.spec.blocks if block.family != "pool")
        return counts.most_common(1)[0][0]

    @property
    def accuracy_text(self) -> str:
        """Published top-1 accuracy in percent, with its resolution if that is another; or empty."""
        if self.published is None:
            return ""
        top1, resolution = self.published.top1, self.published.resolution
        own = resolution == self.spec.input.resolution
        return f"{top1:.1f}" if own else f"{top1:.1f} at {resolution}"


def references() -> Iterator[Reference]:
    """Yield the reference networks, by their names."""
    for name in reference_names():
        text = packaged("reference", f"{name}.yaml").read_text(encoding="utf-8")
        document = parse_document(text, f"reference/{name}.yaml")
        yield Reference(
            NetworkSpec.from_document(document), published_of(document), _description(text)
        )


def _description(text: str) -> str:
    """Return the comment that a document begins with, on one line."""
    words = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    return " ".join(words)
