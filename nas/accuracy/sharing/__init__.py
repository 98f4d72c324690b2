"""Weights that networks share: where those of a network are, and what a trained network gives."""
