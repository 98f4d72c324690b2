"""The layer tree and specs written in the formats of other tools, one file a format."""
