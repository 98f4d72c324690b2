"""How much a search does: presets for a first look and a final answer, and their price in time."""
