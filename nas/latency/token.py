"""The token that a device agent and its clients share."""

from __future__ import annotations

TOKEN = "MIXNAS_TOKEN"
"""The environment variable with the token."""
TOKEN_FILE = "MIXNAS_TOKEN_FILE"
"""The environment variable with the path of a file that holds it."""


def can_be_token(text: str) -> bool:
    """Tell whether a header can carry a text as a token: printable ASCII without blanks."""
    return text.isascii() and text.isprintable() and " " not in text
