"""Kernel sizes in the good networks of a population: which ones, and at which depth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.read.architectures import BlockView
from analysis.statistics.intervals import difference_interval, mean_interval
from analysis.statistics.variables import GOOD_SHARE

FEWEST_GOOD = 6
"""Fewest good networks, since the mean of two has an interval too wide to say anything."""


@dataclass(frozen=True)
class MeanContrast:
    """The mean of the good networks beside that of the others.

    Attributes:
        good: Mean of the good networks.
        others: Mean of all other networks.
        low: Lower end of the 95% interval of good - others (Welch's t); NaN if either group has
            fewer than two networks.
        high: Upper end of the interval.
    """

    good: float
    others: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Whether the good networks have more, less, or no significant difference."""
        if self.low > 0:
            return "more"
        return "less" if self.high < 0 else "no significant difference"


@dataclass(frozen=True)
class KernelUse:
    """Kernel sizes in the good networks of a population, by stage.

    Attributes:
        sizes: Kernel sizes that occur, ascending.
        stages: Numbers of the stages, from 0, ascending.
        shares: By stage and size, share of the kernel groups with that size. Networks have equal
            weights, and so have the blocks of a network. With groups of equal width, it is also
            the share of the channels.
        kernel: Mean kernel size by stage.
        groups: Mean number of kernel groups by stage.
        growth: Growth of the kernel size from a network's first to its last block: slope of a line
            over relative depth. MixNet claims that it is positive in good networks.
        growth_interval: 95% interval of the good networks' mean growth.
        n_good: Good networks.
        n: Networks.
        dropped: Networks left out because their error is not finite.
    """

    sizes: tuple[int, ...]
    stages: tuple[int, ...]
    shares: tuple[tuple[MeanContrast, ...], ...]
    kernel: tuple[MeanContrast, ...]
    groups: tuple[MeanContrast, ...]
    growth: MeanContrast
    growth_interval: tuple[float, float]
    n_good: int
    n: int
    dropped: int

    @property
    def claim(self) -> str:
        """A sentence on whether kernels grow with depth in the good networks."""
        low, high = self.growth_interval
        unclear = "neither grow nor shrink significantly"
        trend = "grow" if low > 0 else "shrink" if high < 0 else unclear
        contrast = {"more": "more than in", "less": "less than in"}.get(
            self.growth.verdict, "not significantly different from"
        )
        return (
            f"In the best {self.n_good} of {self.n} networks, kernels {trend} with depth "
            f"({self.growth.good:+.2f} from first to last block, 95% interval {low:+.2f} to "
            f"{high:+.2f}), "
            f"{contrast} the others ({self.growth.others:+.2f})."
        )


def kernel_use(
    networks: Sequence[tuple[BlockView, ...]], errors: Iterable[float], good: float = GOOD_SHARE
) -> KernelUse:
    """Return which kernels the best networks use at which depth.

    Tan and Le 2019 (MixNet, section 4.3) state that large kernels appear late in the networks that
    a search finds. This supports or refutes it for a population, by contrast with the other
    networks of the same space.

    Args:
        networks: Networks of the population.
        errors: Errors of the networks, (n,); networks without a finite error are left out.
        good: Share of the networks that counts as good; at least `FEWEST_GOOD` of them do, or half
            if there are fewer than twice as many.

    Raises:
        AnalysisError: If fewer than four networks have a finite error.
    """
    values = np.asarray(list(errors), dtype=float)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 4:
        raise AnalysisError(f"too few networks to compare good ones with others: {len(known)}")
    order = known[np.argsort(values[known], kind="stable")]
    n_good = max(min(FEWEST_GOOD, len(known) // 2), round(good * len(known)))
    ranked = [networks[i] for i in order]
    sizes = tuple(sorted({k for network in ranked for block in network for k in block.kernels}))
    stages = tuple(sorted({block.stage for network in ranked for block in network}))
    means = np.array([_stage_means(network, stages) for network in ranked])
    means = means.reshape(len(ranked), len(stages), 2)  # even if no network has a block
    shares = np.array([_stage_shares(network, stages, sizes) for network in ranked])
    growth = np.array([_growth(network) for network in ranked])
    good_growth = growth[:n_good]
    return KernelUse(
        sizes=sizes,
        stages=stages,
        shares=tuple(_contrasts(shares[:, stage], n_good) for stage in range(len(stages))),
        kernel=_contrasts(means[:, :, 0], n_good),
        groups=_contrasts(means[:, :, 1], n_good),
        growth=_contrast(growth, n_good),
        growth_interval=mean_interval(good_growth[np.isfinite(good_growth)]),
        n_good=n_good,
        n=len(known),
        dropped=len(values) - len(known),
    )


def _stage_means(
    network: tuple[BlockView, ...], stages: Sequence[int]
) -> list[tuple[float, float]]:
    """Return the mean kernel size and number of groups by stage; NaN for a stage without blocks."""
    rows = []
    for stage in stages:
        blocks = [block for block in network if block.stage == stage]
        if not blocks:
            rows.append((np.nan, np.nan))
            continue
        kernel = sum(block.mean_kernel for block in blocks) / len(blocks)
        rows.append((kernel, sum(len(block.kernels) for block in blocks) / len(blocks)))
    return rows


def _growth(network: tuple[BlockView, ...]) -> float:
    """Return the slope of the mean kernel size over relative depth; NaN for a single block."""
    if len(network) < 2:
        return float("nan")
    depth = np.linspace(-0.5, 0.5, len(network))
    sizes = np.array([block.mean_kernel for block in network])
    return float(depth @ sizes / (depth @ depth))


def _stage_shares(
    network: tuple[BlockView, ...], stages: Sequence[int], sizes: Sequence[int]
) -> NDArray[np.float64]:
    """Return the share of groups by stage and size; NaN for a stage without blocks."""
    shares = np.full((len(stages), len(sizes)), np.nan)
    for number, stage in enumerate(stages):
        kernels = [block.kernels for block in network if block.stage == stage]
        if kernels:
            shares[number] = [
                sum(mix.count(size) / len(mix) for mix in kernels) / len(kernels) for size in sizes
            ]
    return shares


def _contrasts(values: NDArray[np.float64], n_good: int) -> tuple[MeanContrast, ...]:
    """Return the contrast of each column of values, (networks, columns), best networks first."""
    return tuple(_contrast(column, n_good) for column in values.T)


def _contrast(values: NDArray[np.float64], n_good: int) -> MeanContrast:
    """Return the contrast of values, (networks,), best networks first; NaN is left out."""
    good, others = (part[np.isfinite(part)] for part in (values[:n_good], values[n_good:]))
    low, high = difference_interval(good, others)
    return MeanContrast(
        good=float(good.mean()) if len(good) else float("nan"),
        others=float(others.mean()) if len(others) else float("nan"),
        low=low,
        high=high,
    )
