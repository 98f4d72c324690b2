"""The token that a device agent and its clients share."""

from __future__ import annotations

TOKEN = "MIXNAS_TOKEN"
"""Environment variable that holds the token."""
TOKEN_FILE = "MIXNAS_TOKEN_FILE"
"""Environment variable that holds the path of a file with the token."""


def can_be_token(text: str) -> bool:
    """Return whether a text can be sent in a header as a token: printable ASCII without spaces."""
    return text.isascii() and text.isprintable() and " " not in text
