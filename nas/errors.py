"""The errors a user can cause, and the words they are told in."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MixnasError(Exception):
    """Something the user can mend. Commands print its text, without a traceback, and exit with 2.

    The text says what was wrong, where, what is allowed and what to do.
    """


class DocumentError(MixnasError):
    """A YAML or JSON document that cannot be read as what it should be."""


class LimitError(MixnasError):
    """Limits that no network of the space meets, or that cannot be read."""


class UnrunnableError(MixnasError):
    """A network that a device cannot run; others it may."""


class ExhaustedError(LimitError):
    """All networks within the limits have been tried."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the allowed spelling nearest to `word`, or nothing."""
    matches = difflib.get_close_matches(str(word).lower(), list(allowed), n=1, cutoff=0.6)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def unknown(what: str, word: object, allowed: Iterable[str]) -> str:
    """Say that `word` is no known `what`, name the nearest spelling and list what is allowed."""
    names = sorted(allowed)
    return f"unknown {what} '{word}'{nearest(str(word), names)}; allowed: {', '.join(names)}"
