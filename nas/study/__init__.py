"""The study: trials of one search, in an Optuna storage that outlives crashes."""

from nas.study.study import GIVEN_UP, INTERRUPTED, OpenTrial, SearchStudy, was_interrupted

__all__ = ["GIVEN_UP", "INTERRUPTED", "OpenTrial", "SearchStudy", "was_interrupted"]
