"""The networks that an estimator may be asked about, for estimators that prepare for them all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nas.document import digest
from nas.limits import Limit
from nas.space import Space, sample
from nas.spec import NetworkSpec


class NetworkPool(Protocol):
    """Networks to draw from."""

    def draw(self, rng: random.Random) -> NetworkSpec:
        """Return one of them."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells this population from others."""
        ...


@dataclass(frozen=True)
class SpacePool:
    """What a space's limits admit."""

    space: Space
    limits: tuple[Limit, ...] = ()

    def draw(self, rng: random.Random) -> NetworkSpec:
        """See `NetworkPool.draw`."""
        return self.space.decode(sample(self.space, rng, self.limits).genotype)

    def fingerprint(self) -> dict[str, Any]:
        """See `NetworkPool.fingerprint`."""
        # The space's own words are no part of it; what it draws is.
        drawn = [self.draw(random.Random(seed)).digest() for seed in range(8)]
        # Limits on latency are kept by measuring, not by drawing.
        limits = sorted(str(limit) for limit in self.limits if limit.metric != "latency")
        return {"space": digest(drawn), "limits": limits}


@dataclass(frozen=True)
class ListedPool:
    """Networks that are listed, as those of a table."""

    specs: Sequence[NetworkSpec]

    def draw(self, rng: random.Random) -> NetworkSpec:
        """See `NetworkPool.draw`."""
        return rng.choice(self.specs)

    def fingerprint(self) -> dict[str, Any]:
        """See `NetworkPool.fingerprint`."""
        return {"networks": digest([spec.digest() for spec in self.specs])}
