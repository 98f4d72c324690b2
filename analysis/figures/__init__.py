"""Figures of searches and populations, built without pyplot and therefore without global state."""
