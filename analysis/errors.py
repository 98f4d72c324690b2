"""The error a user can cause."""


class AnalysisError(Exception):
    """Something the user can mend: its text says what was wrong and what to do."""
