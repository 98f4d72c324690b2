"""Which kernels the good networks of a population use, and where."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student
from scipy.stats import ttest_ind

from analysis.errors import AnalysisError
from analysis.read.architectures import BlockView

GOOD = 0.1  # share of a population that counts as good
FEWEST_GOOD = 6
LEVEL = 0.95


@dataclass(frozen=True)
class MeanContrast:
    """A mean of the good networks beside that of the others.

    Attributes:
        good: mean of the good networks.
        others: mean of all others.
        low: lower end of the 95% interval of good - others (Welch's t); NaN for fewer than two.
        high: upper end.
    """

    good: float
    others: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Say whether the good ones differ beyond chance."""
        if self.low > 0:
            return "more"
        return "less" if self.high < 0 else "no difference beyond chance"


@dataclass(frozen=True)
class KernelUse:
    """Which kernels the good networks of a population use, and where.

    Attributes:
        sizes: kernel sizes that occur, ascending.
        stages: numbers of the stages.
        shares: by stage and size, share of the kernel groups that have it; networks count the
            same, and so do a network's blocks. Of channels it is the share where groups are equal.
        kernel: mean kernel size by stage.
        groups: mean number of kernel groups by stage.
        growth: by how much the mean kernel of a network grows from its first to its last block
            (slope of a line over relative depth): MixNet's claim is that it does.
        growth_interval: 95% interval of the good networks' mean growth.
        n_good: good networks.
        n: networks.
        dropped: networks left out, since their error is not finite.
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
        """Say whether large kernels move to later layers in the good networks."""
        low, high = self.growth_interval
        alone = "grow" if low > 0 else "shrink" if high < 0 else "neither grow nor shrink surely"
        beside = {"more": "more than", "less": "less than"}.get(
            self.growth.verdict, "no other than"
        )
        return (
            f"In the best {self.n_good} of {self.n} networks kernels {alone} with depth "
            f"({self.growth.good:+.2f} from first to last block, {low:+.2f} to {high:+.2f}), "
            f"{beside} in the others ({self.growth.others:+.2f})."
        )


def kernel_use(
    networks: Sequence[tuple[BlockView, ...]], errors: Iterable[float], good: float = GOOD
) -> KernelUse:
    """Return which kernels the best networks use at which depth.

    Tan and Le 2019 (MixNet, section 4.3) say that large kernels come late in the networks that a
    search finds; this shows or refutes it for a population, beside what the space has anyway.

    Args:
        networks: of the population.
        errors: theirs, (n,); those that are not finite are left out.
        good: share of the networks that counts as good; six of them at least, or half of all,
            since the mean of two has an interval that says nothing.

    Raises:
        AnalysisError: when fewer than four networks have an error.
    """
    values = np.asarray(list(errors), dtype=float)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 4:
        raise AnalysisError(f"{len(known)} networks are too few to tell good ones from others")
    order = known[np.argsort(values[known], kind="stable")]
    best = max(min(FEWEST_GOOD, len(known) // 2), round(good * len(known)))
    chosen = [networks[i] for i in order]
    sizes = tuple(sorted({k for network in chosen for block in network for k in block.kernels}))
    stages = tuple(sorted({block.stage for network in chosen for block in network}))
    means = [_stage_means(network, stages) for network in chosen]
    kernel = np.array([[pair[0] for pair in row] for row in means])
    groups = np.array([[pair[1] for pair in row] for row in means])
    shares = np.array([_stage_shares(network, stages, sizes) for network in chosen])
    growth = np.array([_growth(network) for network in chosen])
    own = growth[:best][np.isfinite(growth[:best])]
    return KernelUse(
        sizes,
        stages,
        tuple(
            tuple(_difference(shares[:best, i, k], shares[best:, i, k]) for k in range(len(sizes)))
            for i in range(len(stages))
        ),
        tuple(_difference(kernel[:best, i], kernel[best:, i]) for i in range(len(stages))),
        tuple(_difference(groups[:best, i], groups[best:, i]) for i in range(len(stages))),
        _difference(growth[:best], growth[best:]),
        _interval(own),
        best,
        len(known),
        len(values) - len(known),
    )


def _stage_means(
    network: tuple[BlockView, ...], stages: Sequence[int]
) -> list[tuple[float, float]]:
    """Return mean kernel size and mean number of groups by stage; NaN where there is no block."""
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
    if len(network) < 2:
        return float("nan")
    depth = np.linspace(-0.5, 0.5, len(network))
    sizes = np.array([block.mean_kernel for block in network])
    return float(depth @ sizes / (depth @ depth))


def _stage_shares(
    network: tuple[BlockView, ...], stages: Sequence[int], sizes: Sequence[int]
) -> NDArray[np.float64]:
    """Return the share of the groups with every size by stage; NaN where there is no block."""
    found = np.full((len(stages), len(sizes)), np.nan)
    for number, stage in enumerate(stages):
        kernels = [block.kernels for block in network if block.stage == stage]
        if kernels:
            found[number] = [
                sum(mix.count(size) / len(mix) for mix in kernels) / len(kernels) for size in sizes
            ]
    return found


def _difference(good: NDArray[np.float64], others: NDArray[np.float64]) -> MeanContrast:
    good, others = good[np.isfinite(good)], others[np.isfinite(others)]
    means = [float(values.mean()) if len(values) else float("nan") for values in (good, others)]
    if len(good) < 2 or len(others) < 2:
        return MeanContrast(means[0], means[1], float("nan"), float("nan"))
    if np.ptp(good) == np.ptp(others) == 0:  # no noise: the difference is what it is
        return MeanContrast(means[0], means[1], means[0] - means[1], means[0] - means[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of values that are all but equal
        found = ttest_ind(good, others, equal_var=False).confidence_interval(LEVEL)
    return MeanContrast(means[0], means[1], float(found.low), float(found.high))


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    if len(values) < 2:
        return float("nan"), float("nan")
    reach = float(student.ppf((1 + LEVEL) / 2, len(values) - 1)) * float(
        values.std(ddof=1) / len(values) ** 0.5
    )
    middle = float(values.mean())
    return middle - reach, middle + reach
