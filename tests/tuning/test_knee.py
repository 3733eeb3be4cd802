"""The knee: exact where there is no noise, within its interval where there is."""

import numpy as np
import pytest

from asyncbatch.tuning._knee import find_knee

LIMITS = np.array([1, 2, 4, 8, 12, 16, 18, 20, 23, 27, 32, 64], dtype=np.float64)


def measured(servers, service=0.01, thrash=0.0, *, noise=0.0, rounds=5, seed=0):
    """Rounds of a closed queue in front of equal servers: throughput, latency, counts."""
    waiting = np.maximum(LIMITS - servers, 0)
    throughput = np.minimum(LIMITS, servers) / (service * (1 + thrash * waiting))
    rng = np.random.default_rng(seed)
    shape = (rounds, len(LIMITS))
    throughputs = throughput * rng.normal(1, noise, shape)
    latencies = LIMITS / throughput * rng.normal(1, noise, shape)
    return LIMITS, throughputs, latencies, np.full(shape, 100.0)


@pytest.mark.parametrize("thrash", [0.0, 0.02, 0.2], ids=["queue", "thrash", "much thrash"])
@pytest.mark.parametrize("servers", [1, 4, 8, 20, 32])
def test_it_is_the_number_of_servers(servers, thrash):
    knee = find_knee(*measured(servers, thrash=thrash), seed=0)
    assert knee.limit == pytest.approx(servers, rel=0.02)  # limits within 3 % of the best are averaged
    assert knee.power == servers
    assert knee.latency == pytest.approx(0.01)
    assert knee.capacity == pytest.approx(servers / 0.01, rel=0.02)
    assert (knee.low, knee.high) == pytest.approx((knee.limit, knee.limit))


def test_noise_widens_the_interval_which_holds_the_knee():
    widths = []
    for noise in (0.02, 0.1):
        found = [find_knee(*measured(20, noise=noise, seed=seed), seed=0) for seed in range(20)]
        # The most of several noisy throughputs is a little too high: allow that much beside the interval.
        assert sum(knee.low / 1.1 <= 20 <= knee.high * 1.1 for knee in found) >= 18
        assert np.mean([knee.limit for knee in found]) == pytest.approx(20, rel=0.1)
        widths.append(np.mean([knee.high - knee.low for knee in found]))
    assert widths[1] > 2 * widths[0]


def test_a_round_curve_has_its_knee_near_the_limit_of_most_power():
    contention = 0.05
    throughput = LIMITS / (0.01 * (1 + contention * (LIMITS - 1)))
    rounds = np.tile(throughput, (3, 1))
    knee = find_knee(LIMITS, rounds, LIMITS / rounds, np.full(rounds.shape, 100.0), seed=0)
    assert knee.power == 20  # 1 / contention, where throughput over latency is greatest
    assert knee.limit == pytest.approx(
        throughput[-1] * 0.01, rel=0.08
    )  # latencies from limit 4 on have waits in them


def test_the_same_seed_gives_the_same_interval():
    data = measured(20, noise=0.1)
    assert find_knee(*data, seed=3) == find_knee(*data, seed=3)
    assert find_knee(*data, seed=3) != find_knee(*data, seed=4)


def test_means_of_more_records_weigh_more():
    limits, throughputs, latencies, counts = measured(20)
    latencies[0], counts[0] = 10 * latencies[0], 1.0
    knee = find_knee(limits, throughputs, latencies, counts, seed=0)
    assert knee.limit < 22
