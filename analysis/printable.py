"""Text that may come from anybody, made safe to print, to draw and to write.

Names, reasons and settings are read from files of others. `printable` takes away what would control
a terminal or could not be written; the readers of `analysis.read` apply it to everything they read.
`fitted` makes any text fit the encoding of a stream, such as ASCII in logs of a cluster.
"""

from __future__ import annotations

import re
from typing import Any, TextIO, cast

_SPACES = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
# Control characters, marks that change the direction of writing, lone surrogates, and the two
# code points that XML forbids.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_REPLACEMENT = "\ufffd"
_ASCII = str.maketrans(
    {
        "\u00b1": "+-",
        "\u00b2": "^2",
        "\u00b5": "u",
        "\u03bc": "u",
        "\u00d7": "x",
        "\u2212": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2026": "...",
    }
)


def printable(text: str) -> str:
    """Return text on one line, without characters that control a terminal or cannot be written.

    Line breaks and tabs become spaces, other such characters the replacement character U+FFFD.
    """
    if _UNPRINTABLE.search(text) is None:
        return text
    return _UNPRINTABLE.sub(_REPLACEMENT, _SPACES.sub(" ", text))


def fit(text: str, encoding: str | None) -> str:
    """Return text that an encoding can write: ``±`` becomes ``+-`` in ASCII, for example.

    Args:
        text: Any text.
        encoding: Name of the encoding; None for UTF-8.
    """
    encoding = encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


class _FittedStream:
    """A text stream that writes what its encoding cannot express in other words."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(fit(text, self._stream.encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def fitted(stream: TextIO) -> TextIO:
    """Return a stream to which any text can be written, whatever the encoding; see `fit`."""
    return cast(TextIO, _FittedStream(stream))
