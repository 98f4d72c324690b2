import math

import numpy as np
import pytest
from scipy.stats import linregress, ttest_ind
from scipy.stats import t as student

from analysis.errors import AnalysisError
from analysis.read.architectures import parse_architecture
from analysis.statistics.kernel_use import MeanContrast, kernel_use

GROWING = "ir_k3_c8 ir_k3_c8 | ir_k7_c8 ir_k9_c8"
FLAT = "ir_k3.5_c8 | ir_k3.5_c8"
SHRINKING = "ir_k9_c8 | ir_k3_c8"


def use(texts, errors, good):
    return kernel_use([parse_architecture(text) for text in texts], errors, good)


def test_shares_are_of_networks_that_count_the_same():
    found = use([GROWING, FLAT, FLAT, SHRINKING], [0.1, 0.2, 0.3, 0.4], 0.5)
    assert found.sizes == (3, 5, 7, 9)
    assert found.stages == (0, 1)
    # Stage 1: one network of 3x3, one of halves; stage 2: all halves.
    assert [d.good for d in found.shares[0]] == pytest.approx([0.75, 0.25, 0, 0])
    assert [d.good for d in found.shares[1]] == pytest.approx([0.25] * 4)
    assert [d.others for d in found.shares[0]] == pytest.approx([0.25, 0.25, 0, 0.5])
    assert (found.n_good, found.n) == (2, 4)
    assert [d.good for d in found.groups] == [1.5, 1.5]


def test_growth_is_the_slope_over_depth():
    found = use([GROWING, GROWING, SHRINKING, FLAT], [1, 2, 3, 4], 0.5)
    slope = linregress(np.linspace(0, 1, 4), [3, 3, 7, 9]).slope
    assert found.growth.good == pytest.approx(slope)
    assert found.growth.others == pytest.approx(-3)


def test_intervals_are_welchs():
    rng = np.random.default_rng(0)
    texts = [f"ir_k{k}_c8 | ir_k{3 + 2 * rng.integers(4)}_c8" for k in rng.choice([3, 5, 7], 40)]
    errors = rng.random(40)
    found = use(texts, errors, 0.25)
    kernels = np.array([int(text[4]) for text in texts])[np.argsort(errors)]
    wanted = ttest_ind(kernels[:10], kernels[10:], equal_var=False).confidence_interval(0.95)
    assert (found.kernel[0].low, found.kernel[0].high) == pytest.approx(tuple(wanted))
    threes = kernels == 3
    wanted = ttest_ind(threes[:10], threes[10:], equal_var=False).confidence_interval(0.95)
    assert (found.shares[0][0].low, found.shares[0][0].high) == pytest.approx(tuple(wanted))
    # The same by hand, since the room itself asks scipy.
    parts = [values.var(ddof=1) / len(values) for values in (kernels[:10], kernels[10:])]
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 9 + parts[1] ** 2 / 29)
    reach = student.ppf(0.975, freedom) * sum(parts) ** 0.5
    assert found.kernel[0].high - found.kernel[0].low == pytest.approx(2 * reach)


@pytest.mark.parametrize(
    ("late", "said"),
    [("9", "kernels grow with depth"), ("3", "neither grow"), ("1", "kernels shrink")],
)
def test_the_claim_is_told_from_its_contrary(late, said):
    rng = np.random.default_rng(1)
    other = [f"ir_k3_c8 ir_k{rng.choice([1, 3, 5])}_c8" for _ in range(60)]
    good = [f"ir_k3_c8 ir_k{late}_c8 ir_k{rng.choice([3, 3, 3])}_c8 ir_k{late}_c8"] * 9
    good += ["ir_k3_c8 ir_k5_c8", "ir_k3_c8 ir_k1_c8"] if late == "3" else good[:2]
    assert said in use(good + other, range(71), 11 / 71).claim


def test_networks_without_an_error_are_left_out():
    found = use([GROWING] * 5 + [SHRINKING], [1, 2, 3, 4, 5, float("nan")], 0.4)
    assert found.n == 5
    with pytest.raises(AnalysisError, match="too few"):
        use([GROWING] * 5, [1, 2, 3] + [float("inf")] * 2, 0.5)


@pytest.mark.parametrize(
    ("n", "good"), [(4, 2), (5, 2), (11, 5), (12, 6), (60, 6), (67, 7), (100, 10), (1_000, 100)]
)
def test_a_tenth_of_the_networks_is_good_but_at_least_six_or_half(n, good):
    assert kernel_use([parse_architecture(FLAT)] * n, range(n)).n_good == good


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.2, "more"),
        (-0.2, -0.1, "less"),
        (-0.1, 0.2, "no significant difference"),
        (0.0, 0.2, "no significant difference"),
        (-0.2, 0.0, "no significant difference"),
        (math.nan, math.nan, "no significant difference"),
    ],
)
def test_contrasts_are_significant_if_their_interval_excludes_zero(low, high, verdict):
    assert MeanContrast(1.0, 2.0, low, high).verdict == verdict


def test_a_stage_that_some_networks_lack_counts_those_that_have_it():
    short, long = "ir_k3_c8", "ir_k3_c8 | ir_k5.7_c8 ir_k9_c8"
    found = use([long, short, long, short], [1, 2, 3, 4], 0.5)
    assert (found.sizes, found.stages) == ((3, 5, 7, 9), (0, 1))
    assert found.kernel[1].good == found.kernel[1].others == pytest.approx((6 + 9) / 2)
    assert found.groups[1].good == pytest.approx(1.5)
    assert [share.good for share in found.shares[1]] == pytest.approx([0, 0.25, 0.25, 0.5])
    assert math.isnan(found.kernel[1].low)
    # From first to last block of 3, 6, 9: a slope of 6; a single block has none.
    assert found.growth.good == pytest.approx(6)
    assert found.growth.others == pytest.approx(6)


def test_the_claim_has_its_numbers():
    found = use([GROWING] * 6 + [SHRINKING] * 6, range(12), 0.5)
    slope = linregress(np.linspace(0, 1, 4), [3, 3, 7, 9]).slope
    assert found.growth_interval == pytest.approx((slope, slope))
    assert found.claim == (
        f"In the best 6 of 12 networks, kernels grow with depth (+{slope:.2f} from first to last "
        f"block, 95% interval +{slope:.2f} to +{slope:.2f}), more than in the others (-6.00)."
    )
    other = use([SHRINKING] * 6 + [GROWING] * 6, range(12), 0.5).claim
    assert "kernels shrink with depth (-6.00" in other
    assert "less than in the others" in other
    even = use([FLAT] * 12, range(12), 0.5).claim
    assert "kernels neither grow nor shrink significantly with depth (+0.00" in even
    assert "not significantly different from the others (+0.00)" in even
