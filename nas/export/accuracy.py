"""What an export tells about the accuracy of weights that no training has told of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.export.trained import TrainedModel

ACCURACY = "accuracy"
SAME = 1e-6  # difference between an accuracy and a score that are equal


def accuracy_facts(trained: TrainedModel) -> dict[str, Any]:
    """Return the accuracies of a network, under the key `ACCURACY`; empty if a training told them.

    The images of the test split are read for this.

    Args:
        trained: The network.

    Raises:
        MixnasError: If it cannot be evaluated.
    """
    if trained.weights is None or trained.weights.judge is None:
        return {}
    return {ACCURACY: trained.weights.judge()}


def accuracy_sentence(facts: Mapping[str, Any]) -> str:
    """Return the accuracies in a sentence; empty if there are none.

    Args:
        facts: Facts about an export.
    """
    found = facts.get(ACCURACY)
    if found is None:
        return ""
    return (
        f"accuracy without any training, weights of {found['weights']}: "
        f"{found['test']['top1']:.2%} top-1 on the test images of {found['data']}, "
        f"{found['validation']['top1']:.2%} on those of the search's validation"
    )


def accuracy_remarks(facts: Mapping[str, Any]) -> list[str]:
    """Return a remark if a network is not as accurate as the search found; usually none.

    Args:
        facts: Facts about an export.
    """
    found = facts.get(ACCURACY, {})
    before = found.get("in_search")
    if before is None or abs(found["validation"]["top1"] - before) < SAME:
        return []
    return [
        f"the search found {before:.2%} with the same weights and images: some images are "
        "classified differently on another machine or with other versions of libraries"
    ]
