"""Figures. They draw what `analysis.statistics` found, without pyplot and its global state."""
