"""From tables of trained networks to fronts, figures and reports.

Reads tables and imports nothing of `nas`, so it serves any population. Functions return data;
drawing is apart.
"""
