"""Turns tables of trained networks into fronts, figures and reports.

The package reads tables and imports nothing of `nas`, so it works for any population of networks.
Statistics return data; drawing is separate.
"""
