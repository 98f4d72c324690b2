"""The exceptions for mistakes that a user can make, and helpers for their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST_REASON = 300  # characters


class MixnasError(Exception):
    """A mistake that the user can correct.

    Commands print its message without a traceback and exit with code 2. The message says what is
    wrong, where, what is allowed and what to do about it.
    """


class DocumentError(MixnasError):
    """A YAML or JSON document that cannot be read, or is not valid."""


class LimitError(MixnasError):
    """Limits that cannot be parsed, or that no network of the space meets."""


class UnrunnableError(MixnasError):
    """A network that a device cannot run, although it may run others."""


class OutOfRangeError(MixnasError):
    """A network that is too unlike those that a predictor was fitted to."""


class OtherVersionError(MixnasError):
    """A file of another version of mixnas, whose numbers mean something else now."""


class ExhaustedError(LimitError):
    """A search that has evaluated every network within the limits."""


def reason_of(error: BaseException) -> str:
    """Return what an exception says, in one line; its name if it says nothing."""
    if isinstance(error, KeyError):  # its text is the key only
        return f"it has no {error}"
    first = str(error).strip().partition("\n")[0][:_LONGEST_REASON]
    if "integer string conversion" in first:  # Python goes on about its own settings
        return "an integer has thousands of digits"
    return first or type(error).__name__


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the allowed word closest to `word`, or an empty text."""
    matches = difflib.get_close_matches(str(word).lower(), list(allowed), n=1, cutoff=0.6)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def unknown(what: str, word: object, allowed: Iterable[str]) -> str:
    """Return the message that `word` is not a known `what`, with the words that are allowed."""
    names = sorted(allowed)
    if not names:
        return f"unknown {what} '{word}'; there is none"
    return f"unknown {what} '{word}'{nearest(str(word), names)}; allowed: {', '.join(names)}"
