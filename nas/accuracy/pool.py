"""The networks that an estimator may have to evaluate, for those that prepare for all of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nas.document import digest
from nas.limits import Limit
from nas.space import Space, sample
from nas.spec import NetworkSpec

_FINGERPRINT_DRAWS = 8


class NetworkPool(Protocol):
    """Networks to draw from."""

    def draw(self, rng: random.Random) -> NetworkSpec:
        """Draw one network."""
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return plain data that distinguishes this pool from others."""
        ...


@dataclass(frozen=True)
class SpacePool:
    """The networks of a space that lie within limits.

    Attributes:
        space: The space.
        limits: Limits on costs, in addition to the space's own.
    """

    space: Space
    limits: tuple[Limit, ...] = ()

    def draw(self, rng: random.Random) -> NetworkSpec:
        """See `NetworkPool.draw`."""
        return self.space.decode(sample(self.space, rng, self.limits).genotype)

    def fingerprint(self) -> dict[str, Any]:
        """See `NetworkPool.fingerprint`."""
        # A space is identified by the networks that it draws: its document may be rewritten.
        drawn = [self.draw(random.Random(seed)).digest() for seed in range(_FINGERPRINT_DRAWS)]
        # A limit on latency has no effect here: the search measures it, drawing ignores it.
        limits = sorted(str(limit) for limit in self.limits if limit.metric != "latency")
        return {"space": digest(drawn), "limits": limits}


@dataclass(frozen=True)
class ListedPool:
    """Networks that are listed one by one, such as those of a table.

    Attributes:
        specs: The networks, at least one.
    """

    specs: Sequence[NetworkSpec]

    def draw(self, rng: random.Random) -> NetworkSpec:
        """See `NetworkPool.draw`."""
        return rng.choice(self.specs)

    def fingerprint(self) -> dict[str, Any]:
        """See `NetworkPool.fingerprint`."""
        return {"networks": digest([spec.digest() for spec in self.specs])}
