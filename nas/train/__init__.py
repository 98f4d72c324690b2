"""Training: one loop for the search's short trainings and for full training.

Nothing is imported here, since the modules need torch: ``python -m nas.train --help`` is to answer
at once.
"""
