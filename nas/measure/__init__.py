"""Measuring the latency of networks on a device."""
