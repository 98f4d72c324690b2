"""Latency predicted from the work of a network's layers."""
