"""YAML only: search spaces, and reference networks below `reference/`."""
