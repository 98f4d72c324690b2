"""Latency as a function of the genotype, quick enough to rank thousands of candidates.

A predictor's latency is a sum over the blocks of a network. Blocks repeat between candidates, so
each is lowered and looked at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from nas.blocks import Block
from nas.ir import Node, Shape, walk
from nas.latency.conditions import Conditions, Latency
from nas.latency.prediction.model import LatencyModel
from nas.latency.prediction.predictor import tree_features
from nas.lowering import FormChoice
from nas.space import Genotype, Space
from nas.spec import NetworkSpec

_Part = tuple[Block | Node, Shape]
FEWEST = 4  # measured networks that a model is fitted to
RENEWED = 1.05  # the model is fitted anew when so many times as much was measured
NOISY = 0.1  # trust in what was measured on a noisy machine


class GenotypeLatency:
    """Tells latency from a genotype: by a predictor, or by what was measured so far.

    Before either is there, multiply-adds stand in for it; they rank networks, though their unit is
    another one.
    """

    def __init__(
        self,
        space: Space,
        choice: FormChoice,
        conditions: Conditions,
        model: LatencyModel | None = None,
    ) -> None:
        """Take what latencies depend on.

        Args:
            space: of the genotypes.
            choice: of the device's forms.
            conditions: of the latencies.
            model: of a predictor; None to learn from what is measured.
        """
        self._space = space
        self._choice = choice
        self._conditions = conditions
        self._fixed = model is not None
        self._model = model
        self._measured: dict[Genotype, tuple[float, float]] = {}
        self._rows: dict[Genotype, dict[str, float]] = {}
        self._fitted = 0
        self._features: dict[_Part, tuple[dict[str, float], Shape]] = {}
        self._parts: dict[_Part, float] = {}

    @property
    def ready(self) -> bool:
        """Whether latencies are in milliseconds by now."""
        return self._model is not None

    def learn(self, measured: Sequence[tuple[Genotype, Latency]]) -> bool:
        """Learn from measured networks; say whether latencies are other ones now."""
        if self._fixed:
            return False
        for genotype, latency in measured:
            trust = NOISY if latency.noise else 1.0
            self._measured[genotype] = (latency.steady_ms, trust)
            if genotype not in self._rows:
                self._rows[genotype] = self._summed(self._space.decode(genotype))
        known = len(self._measured)
        if known < FEWEST or known == self._fitted or known < RENEWED * self._fitted:
            return False
        figures = np.array(list(self._measured.values()))
        self._model = LatencyModel(list(self._rows.values()), figures[:, 0], figures[:, 1])
        self._fitted = known
        self._parts.clear()
        return True

    def __call__(self, genotype: Genotype) -> float:
        """Return the latency in milliseconds."""
        if self._model is None:
            return float(self._space.cost(genotype).madds)
        total = self._model.constant_ms
        for key in self._keys(self._space.decode(genotype)):
            if key not in self._parts:
                self._parts[key] = self._model.part_ms(self._features[key][0])
            total += self._parts[key]
        return total

    def _keys(self, spec: NetworkSpec) -> Iterator[_Part]:
        """Yield the parts of a network with their input's shape; their features are known then."""
        shape = spec.in_shape
        for _, part in spec.parts():
            key = (part, shape)
            if key not in self._features:
                tree = part.expand(shape[0], spec.rules) if isinstance(part, Block) else part
                features = tree_features(tree, shape, self._choice, self._conditions)
                *_, last = walk(tree, shape)
                self._features[key] = (features, last.out_shape)
            shape = self._features[key][1]
            yield key

    def _summed(self, spec: NetworkSpec) -> dict[str, float]:
        total: defaultdict[str, float] = defaultdict(float)
        for key in self._keys(spec):
            for kind, amount in self._features[key][0].items():
                total[kind] += amount
        return dict(total)
