"""The study of a search: its trials, kept in an Optuna storage that survives crashes."""

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
