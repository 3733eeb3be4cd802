"""The recommended limit on simulated backends, in virtual time: it finds the knee, and follows it."""

import logging

import pytest

from asyncbatch.limits import AdaptiveLimit, AIMDLimit, Gradient2Limit
from asyncbatch.testing import SimulatedBackend
from benchmarks.trials import live

pytestmark = pytest.mark.usefixtures("silence")
SEEDS = range(12)


@pytest.fixture
def silence():
    """Outages make long reports."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def assert_at_the_knee(trial):
    assert trial.use >= 0.9, f"{trial.use:.2f} of the best throughput"
    assert trial.inflation <= 1.5, f"{trial.inflation:.2f} times the base latency"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("servers", [5, 10, 20])
def test_it_is_at_the_knee_within_500_samples_and_stays(servers, seed):
    trial = live(AdaptiveLimit(), SimulatedBackend(servers, seed=seed), 2_000)
    assert_at_the_knee(trial.part(500, 1_000))
    assert_at_the_knee(trial.part(1_000, 1_900))


def test_measured_throughput_agrees_with_what_the_servers_did():
    """The law above is about the use of servers, which chance does not move; the throughput itself agrees."""
    best = live(24, SimulatedBackend(20, seed=1), 12_000).part(500, 11_900)
    trial = live(AdaptiveLimit(), SimulatedBackend(20, seed=1), 12_000).part(500, 11_900)
    assert trial.throughput >= 0.9 * best.throughput
    assert trial.throughput / best.throughput == pytest.approx(trial.use, abs=0.04)


@pytest.mark.parametrize("servers", [5, 20, 50])
def test_it_finds_the_knee_where_all_calls_take_the_same(servers):
    trial = live(AdaptiveLimit(), SimulatedBackend(servers, distribution="fixed"), 4_000)
    assert_at_the_knee(trial.part(1_000, 3_900))


@pytest.mark.parametrize("seed", SEEDS)
def test_it_follows_a_knee_that_halves_within_1000_samples(seed):
    backend = SimulatedBackend(20, seed=seed)
    trial = live(AdaptiveLimit(), backend, 4_000, {2_000: lambda: backend.resize(10)})
    assert_at_the_knee(trial.part(1_000, 2_000))
    assert_at_the_knee(trial.part(3_000, 3_900))


@pytest.mark.parametrize("seed", SEEDS)
def test_it_follows_a_knee_that_doubles(seed):
    backend = SimulatedBackend(10, seed=seed)
    trial = live(AdaptiveLimit(), backend, 4_000, {1_000: lambda: backend.resize(20)})
    assert trial.part(2_500, 3_900).use >= 0.85


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outage_brings_it_to_the_minimum_within_50_samples_and_it_comes_back(seed):
    backend = SimulatedBackend(20, seed=seed)

    def goes_down():
        backend.down = True

    def comes_back():
        backend.down = False

    trial = live(AdaptiveLimit(), backend, 4_000, {2_000: goes_down, 2_200: comes_back})
    assert min(sample.limit for sample in trial.samples[2_000:2_050]) == 1
    assert_at_the_knee(trial.part(3_000, 3_900))


@pytest.mark.parametrize("seed", SEEDS)
def test_it_does_not_drive_a_backend_into_refusing(seed):
    trial = live(AdaptiveLimit(), SimulatedBackend(20, queue_limit=10, seed=seed), 4_000)
    assert trial.drops < 0.02
    assert trial.part(500, 3_900).use >= 0.85


@pytest.mark.parametrize("seed", SEEDS)
def test_a_backend_that_gets_slower_beyond_its_knee_is_kept_at_it(seed):
    trial = live(AdaptiveLimit(), SimulatedBackend(20, thrash=0.02, seed=seed), 3_000).part(500, 2_900)
    assert_at_the_knee(trial)


@pytest.mark.parametrize("seed", SEEDS)
def test_slow_calls_do_not_mislead_it(seed):
    backend = SimulatedBackend(20, distribution="fixed", slow_share=0.01, slow_factor=20, seed=seed)
    assert_at_the_knee(live(AdaptiveLimit(), backend, 3_000).part(500, 2_900))


@pytest.mark.parametrize("seed", range(4))
def test_a_service_that_gets_slower_for_other_reasons_is_not_starved(seed):
    """At twice the service time, fewer in flight do not help: in time the base is taken to be another."""
    backend = SimulatedBackend(20, seed=seed)

    def slower():
        backend.service_time *= 2

    trial = live(AdaptiveLimit(), backend, 12_000, {1_500: slower})
    assert trial.part(8_000, 11_900).use >= 0.8


def test_what_it_has_learnt_outlives_the_batch():
    limit, backend = AdaptiveLimit(), SimulatedBackend(20)
    live(limit, backend, 2_000)
    assert_at_the_knee(live(limit, backend, 500).part(0, 400))


def test_batches_smaller_than_the_limit_teach_nothing():
    limit, backend = AdaptiveLimit(initial=30), SimulatedBackend(20)
    for _ in range(200):
        live(limit, backend, 25)
    assert limit.current == 30


@pytest.mark.parametrize("kind", [AIMDLimit, Gradient2Limit])
def test_the_others_do_not_stay_at_the_knee(kind):
    """Why there is a limit of our own; if this fails, the documentation has to change."""
    trial = live(kind(), SimulatedBackend(20), 4_000).part(1_000, 3_900)
    assert trial.use < 0.9 or trial.inflation > 1.5


def test_aimd_is_for_backends_that_refuse():
    trial = live(AIMDLimit(), SimulatedBackend(20, queue_limit=10), 8_000).part(1_000, 7_900)
    assert trial.use >= 0.9
    assert trial.drops < 0.05
