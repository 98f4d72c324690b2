"""The devices of a search: their latencies and limits, and devices that join a run later."""

from nas.search.devices.source import ATTEMPTS, SearchDevice, check_conditions

__all__ = ["ATTEMPTS", "SearchDevice", "check_conditions"]
