"""The study: trials of one search, in an Optuna storage that outlives crashes."""

from nas.study.study import (
    GIVEN_UP,
    INTERRUPTED,
    MOST_INTERRUPTIONS,
    OpenTrial,
    SearchStudy,
    was_interrupted,
)

__all__ = [
    "GIVEN_UP",
    "INTERRUPTED",
    "MOST_INTERRUPTIONS",
    "OpenTrial",
    "SearchStudy",
    "was_interrupted",
]
