"""Names of columns that several rooms know."""

from __future__ import annotations

VARIABLE = "x."
"""Begins the columns of design variables."""
LIMITED = "within_limits"
"""Whether a network keeps the search's limits."""
ERRORS = "(error)"
"""What is to be minimised, whatever it is made of; no column of a user's is called so."""
ARCHITECTURE = "architecture"
"""Networks as text."""
