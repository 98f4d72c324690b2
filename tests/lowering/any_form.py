"""Forms of layers, drawn at random."""

import random

from nas.lowering import candidates


class AnyForm:
    """Chooses forms at random."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def form(self, mix, shape):
        return self.rng.choice(list(candidates(mix).values()))

    def wide_gate(self, se, shape):
        return self.rng.random() < 0.5
