"""Latency as a function of the genotype, fast enough to rank thousands of candidates.

The predicted latency is a sum over the layers of a network. Candidates share blocks, and different
blocks share layers, so the features of each of them are computed once.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from nas.blocks import Block
from nas.ir import Node, Residual, Seq, Shape, elements, end_shape
from nas.latency.conditions import Conditions, Latency
from nas.latency.deployment import rule_named
from nas.latency.prediction.observations import Observation, fitted, forms_seen, observe
from nas.latency.prediction.predictor import Predictor, tree_features
from nas.lowering import FormChoice, Piece, pieces
from nas.space import Genotype, Space
from nas.spec import NetworkSpec

_Part = tuple[Block | Node, Shape]
_Work = dict[str, float]
FEWEST = 4  # minimum number of measured networks for a fit
RENEWED = 1.05  # growth of the number of measured networks that triggers a new fit
CHECKED = 8  # latest predictions of networks before they were measured that tell its uncertainty
FEWEST_CHECKED = 4  # minimum number of them
KEPT = 30_000  # distinct blocks with input shapes whose features are kept


class GenotypeLatency:
    """Predicts latency from a genotype, by a fitted predictor or from measurements so far.

    As long as neither is available, it returns multiply-adds: they rank networks, although they
    are not in milliseconds.
    """

    def __init__(
        self,
        space: Space,
        choice: FormChoice,
        conditions: Conditions,
        predictor: Predictor | None = None,
    ) -> None:
        """Set up the prediction.

        Args:
            space: Space of the genotypes.
            choice: Rule that chooses the forms of lowered layers on the device.
            conditions: Conditions of the latencies.
            predictor: Predictor of the device and the space; None to learn from measurements.
        """
        self._space = space
        self._choice = choice
        self._conditions = conditions
        self._fixed = predictor is not None
        self._model = None if predictor is None else predictor.model
        self._forms = [] if predictor is None else predictor.forms
        self._measured: dict[Genotype, Latency] = {}
        self._observed: dict[Genotype, Observation] = {}
        self._fitted = 0
        self._errors: deque[float] = deque(maxlen=CHECKED)  # of predictions before measurements
        self._features: dict[_Part, tuple[dict[str, _Work], Node, Shape]] = {}
        self._pieces: dict[tuple[Piece, Shape, str], tuple[_Work, Shape]] = {}
        self._parts: dict[_Part, list[float]] = {}  # in every form, in milliseconds

    @property
    def ready(self) -> bool:
        """Whether predictions are in milliseconds."""
        return self._model is not None

    @property
    def uncertainty(self) -> float:
        """Relative error to expect of a prediction; infinite as long as nothing is known of it.

        A predictor is checked when it is made, and has none here. Otherwise it is the error that
        seven of the latest eight networks kept to when they were predicted before they were
        measured (the largest, if there are fewer): a fit to few networks meets those networks,
        but not others.
        """
        if self._fixed:
            return 0.0
        if len(self._errors) < FEWEST_CHECKED:
            return math.inf
        return sorted(self._errors)[-2 if len(self._errors) == CHECKED else -1]

    def learn(self, measured: Sequence[tuple[Genotype, Latency]]) -> bool:
        """Learn from measured networks.

        Returns:
            Whether the model was fitted again, so that predictions have changed.
        """
        if self._fixed:
            return False
        for genotype, latency in measured:
            if genotype not in self._measured and self.ready:
                self._errors.append(abs(self(genotype) / latency.steady_ms - 1))
            if self._measured.get(genotype) != latency:
                self._measured[genotype] = latency
                spec = self._space.decode(genotype)
                self._observed[genotype] = observe(latency, partial(self._features_of, spec))
        count = len(self._measured)
        if count < FEWEST or count == self._fitted or count < RENEWED * self._fitted:
            return False
        observations = list(self._observed.values())
        self._model, self._forms = fitted(observations), forms_seen(observations)
        self._fitted = count
        self._parts.clear()
        return True

    def __call__(self, genotype: Genotype) -> float:
        """Return the predicted latency in milliseconds, or multiply-adds if not `ready`."""
        if self._model is None:
            return float(self._space.cost(genotype).madds)
        model, forms = self._model, self._forms
        totals = [model.constant_ms] * len(forms)
        for key, work in self._walk(self._space.decode(genotype)):
            if key not in self._parts:
                self._parts[key] = [model.part_ms(work(form)) for form in forms]
            totals = [total + part for total, part in zip(totals, self._parts[key], strict=True)]
        return min(totals)

    def _walk(self, spec: NetworkSpec) -> Iterator[tuple[_Part, Callable[[str], _Work]]]:
        """Yield the parts of a network with their input shapes, and what tells their work by form.

        A network is gone through once for all of its forms.
        """
        shape = spec.in_shape
        for _, part in spec.parts():
            key = (part, shape)
            if key not in self._features:
                if len(self._features) >= KEPT:  # a search goes through millions of candidates
                    self._forget()
                tree = part.expand(shape[0], spec.rules) if isinstance(part, Block) else part
                self._features[key] = ({}, tree, end_shape(tree, shape))
            yield key, partial(self._work, key)
            shape = self._features[key][2]

    def _forget(self) -> None:
        for known in (self._features, self._pieces, self._parts):
            known.clear()

    def _work(self, key: _Part, form: str) -> _Work:
        """Return the features of a part in a form."""
        known, tree, _ = self._features[key]
        if form not in known:
            known[form] = self._by_piece(tree, key[1], form)
        return known[form]

    def _by_piece(self, tree: Node, shape: Shape, form: str) -> _Work:
        """Return the features of a tree in a form, from those of the pieces of its blocks."""
        rule = rule_named(form, self._choice)
        if not isinstance(tree, (Seq, Residual)):
            return tree_features(tree, shape, rule, self._conditions)
        total: defaultdict[str, float] = defaultdict(float)
        inner = shape
        for piece in pieces(tree, rule):
            key = (piece, inner, form)  # equal layers are the same node (`nas.blocks.parts`)
            if key not in self._pieces:
                run = Seq(tuple((str(i), node) for i, node in enumerate(piece)))
                work = tree_features(run, inner, rule, self._conditions)
                self._pieces[key] = (work, end_shape(run, inner))
            work, inner = self._pieces[key]
            for kind, amount in work.items():
                total[kind] += amount
        if isinstance(tree, Residual):
            total["skip elements"] += self._conditions.batch * elements(shape)
        return dict(total)

    def _features_of(self, spec: NetworkSpec, form: str) -> dict[str, float]:
        total: defaultdict[str, float] = defaultdict(float)
        for _, work in self._walk(spec):
            for kind, amount in work(form).items():
                total[kind] += amount
        return dict(total)
