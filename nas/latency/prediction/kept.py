"""Measurements that outlive an interrupted fit, so that the same command continues it."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from nas.document import digest
from nas.files import cache_folder, write_atomic
from nas.latency.conditions import Latency
from nas.latency.device import Device
from nas.spec import NetworkSpec

_LATENCIES = TypeAdapter(dict[str, Latency])


class KeptLatencies:
    """Latencies of networks on a device in its present state, in a file of the user's cache.

    Attributes:
        path: The file.
        space_digest: Digest of the space of the networks.
    """

    def __init__(self, device: Device, space: str) -> None:
        """Read the file, if there is one.

        Args:
            device: The device; it must have a profile.
            space: Digest of the space of the networks, so that fits to others are left alone.
        """
        self.space_digest = space
        state = digest([device.conditions.digest(), device.profile.digest(), space])
        self.path: Path = cache_folder("latencies") / f"{state}.json"
        self._latencies = self._read()

    def _read(self) -> dict[str, Latency]:
        try:
            return _LATENCIES.validate_json(self.path.read_bytes())
        except (OSError, ValidationError):  # missing, damaged or of another version
            return {}

    def get(self, spec: NetworkSpec) -> Latency | None:
        """Return the latency of a network, or None if it was not measured."""
        return self._latencies.get(spec.digest())

    def put(self, spec: NetworkSpec, latency: Latency) -> None:
        """Keep a latency in place of an earlier one."""
        # Another process may have measured others meanwhile.
        self._latencies = {**self._read(), spec.digest(): latency}
        content = {name: kept.to_dict() for name, kept in self._latencies.items()}
        write_atomic(self.path, json.dumps(content) + "\n")

    def clear(self) -> None:
        """Forget everything, once a predictor has been made of it."""
        self._latencies = {}
        self.path.unlink(missing_ok=True)
