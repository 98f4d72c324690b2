"""Search spaces and, in `reference/`, reference networks; YAML documents only."""
