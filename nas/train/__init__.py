"""Training networks: one loop for the short training of a search and for full training.

This package imports nothing by itself because its modules need torch, and
``python -m nas.train --help`` must answer at once.
"""
