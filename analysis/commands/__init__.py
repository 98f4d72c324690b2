"""Implementations of the subcommands of ``python -m analysis``."""
