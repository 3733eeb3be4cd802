"""The Universal Scalability Law: what it is made of is found again, and what it cannot tell it does not."""

import math

import numpy as np
import pytest

from asyncbatch.tuning._usl import fit_law, goodness

LIMITS = np.array([1, 2, 4, 8, 12, 16, 24, 32, 64], dtype=np.float64)


def law(rate, contention, coherency, limits=LIMITS):
    return rate * limits / (1 + contention * (limits - 1) + coherency * limits * (limits - 1))


@pytest.mark.parametrize(
    ("rate", "contention", "coherency"),
    [(100.0, 0.05, 0.0005), (3.0, 0.3, 0.01), (995.0, 0.0, 0.001), (10.0, 0.2, 0.0), (0.5, 0.0, 0.0)],
    ids=["both", "much of both", "coherency alone", "contention alone", "linear"],
)
class TestFound:
    def test_again_exactly_without_noise(self, rate, contention, coherency):
        found = fit_law(LIMITS, law(rate, contention, coherency))
        assert found.rate == pytest.approx(rate, rel=1e-3)
        assert found.contention == pytest.approx(contention, abs=1e-3)
        assert found.coherency == pytest.approx(coherency, abs=1e-5)
        assert found.goodness == pytest.approx(1, abs=1e-4)

    def test_nearly_with_five_percent_of_noise(self, rate, contention, coherency):
        rng = np.random.default_rng(1)
        seen = law(rate, contention, coherency) * rng.normal(1, 0.05, len(LIMITS))
        found = fit_law(LIMITS, seen)
        said = np.array([found.throughput(n) for n in LIMITS])
        assert said == pytest.approx(law(rate, contention, coherency), rel=0.1)
        assert found.goodness > 0.9


def test_the_peak_is_where_agreement_eats_what_another_one_gives():
    found = fit_law(LIMITS, law(100.0, 0.04, 0.0006))
    assert found.peak == pytest.approx(math.sqrt((1 - 0.04) / 0.0006), rel=0.01)
    at_peak = found.throughput(found.peak)
    assert at_peak > found.throughput(0.7 * found.peak)
    assert at_peak > found.throughput(1.4 * found.peak)


def test_what_flattens_out_has_no_peak():
    assert fit_law(LIMITS, law(10.0, 0.2, 0.0)).peak > 1_000


def test_a_sharp_corner_is_rounded_off_and_the_goodness_says_so():
    limits = np.array([1, 2, 4, 8, 12, 16, 20, 24, 32, 64, 128], dtype=np.float64)
    found = fit_law(limits, np.minimum(limits, 20) * 100)
    assert found.throughput(20) < 0.95 * 2000
    assert 0.5 < found.goodness < 0.99


def test_a_flat_line_is_all_contention():
    found = fit_law(LIMITS, np.full(len(LIMITS), 50.0))
    assert found.contention == pytest.approx(1, abs=1e-3)
    assert found.throughput(30) == pytest.approx(50, rel=0.01)


@pytest.mark.parametrize(
    ("limits", "throughputs"),
    [([1, 2, 4], [1, 2, 3]), ([1, 2, 4, 8], [1, 2, 3, 0]), ([5, 5, 5, 5], [1, 1, 1, 1])],
    ids=["three limits", "three that did anything", "one limit"],
)
def test_too_few_limits_give_no_law(limits, throughputs):
    assert fit_law(np.array(limits, float), np.array(throughputs, float)) is None


def test_goodness_is_1_for_the_data_0_for_the_mean_and_less_for_worse():
    seen = np.array([1.0, 2.0, 3.0])
    assert goodness(seen, seen) == 1
    assert goodness(seen, np.full(3, 2.0)) == 0
    assert goodness(seen, seen[::-1]) < 0
    assert goodness(np.full(3, 2.0), np.full(3, 2.0)) == 1
    assert goodness(np.full(3, 2.0), seen) == 0
