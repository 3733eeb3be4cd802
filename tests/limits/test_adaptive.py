"""The recommended limit on simulated backends, in virtual time: it finds the knee, and follows it."""

import asyncio
import copy
import logging
import math
import pickle
import random

import pytest

from asyncbatch import BatchEngine
from asyncbatch.limits import AdaptiveLimit, AIMDLimit, Gradient2Limit, Verdict
from asyncbatch.testing import SimulatedBackend, run_virtual, sqs_event
from benchmarks.trials import live

pytestmark = pytest.mark.usefixtures("silence")
SEEDS = range(8)


@pytest.fixture
def silence():
    """Outages make long reports."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def assert_at_the_knee(trial):
    assert trial.use >= 0.9, f"{trial.use:.2f} of the best throughput"
    assert trial.inflation <= 1.5, f"{trial.inflation:.2f} times the base latency"


@pytest.mark.parametrize("servers", [5, 10, 20, 50])
def test_it_is_at_the_knee_within_500_samples_and_stays(servers):
    """Chance may mislead it once in eight lives, and not far: so few samples, so widely spread."""
    trials = [live(AdaptiveLimit(), SimulatedBackend(servers, seed=seed), 2_000) for seed in SEEDS]
    parts = [part for trial in trials for part in (trial.part(500, 1_000), trial.part(1_000, 1_900))]
    assert sum(part.use < 0.9 or part.inflation > 1.5 for part in parts) <= 1
    assert min(part.use for part in parts) >= 0.75
    assert max(part.inflation for part in parts) <= 1.7


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
    assert trial.part(1_000, 3_900).use >= 0.9


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


def test_batches_smaller_than_the_limit_do_not_raise_it():
    limit, backend = AdaptiveLimit(initial=30), SimulatedBackend(100)
    for _ in range(200):
        live(limit, backend, 25)
    assert limit.current <= 30


def test_batches_of_a_hundred_teach_it_a_knee_of_twenty():
    limit, backend = AdaptiveLimit(), SimulatedBackend(20)
    for _ in range(60):
        live(limit, backend, 100)
    assert 16 <= limit.current <= 40


def test_it_falls_with_the_knee_also_where_no_batch_is_large_enough_to_use_it():
    limit, backend = AdaptiveLimit(initial=60), SimulatedBackend(60)
    for _ in range(40):
        live(limit, backend, 80)
    backend.resize(5)
    for _ in range(100):
        live(limit, backend, 80)
    assert limit.current <= 15


def throughput(limit, handler, batches=20, size=1_000, **options):
    """Records per second that succeeded, over batches that share the limit."""
    engine, seconds, done = BatchEngine(concurrency=limit, **options), 0.0, 0
    for _ in range(batches):
        report = run_virtual(engine.process(sqs_event([{}] * size), handler))
        seconds += report.duration
        done += len(report.succeeded)
    return done / seconds


@pytest.mark.parametrize("share", [0.002, 0.01, 0.05])
def test_records_that_time_out_for_reasons_of_their_own_do_not_starve_the_others(share):
    rng = random.Random(1)

    async def handler(record):
        await asyncio.sleep(100 if rng.random() < share else rng.expovariate(100))

    adaptive = throughput(AdaptiveLimit(), handler, record_timeout=0.3)
    assert adaptive >= throughput(100, handler, record_timeout=0.3)


def test_errors_that_look_like_throttling_and_come_at_every_limit_are_found_to_be_usual():
    rng = random.Random(1)

    async def handler(record):
        await asyncio.sleep(0.001)
        if rng.random() < 0.05:
            raise TimeoutError
        await asyncio.sleep(rng.expovariate(100))

    limit = AdaptiveLimit()
    throughput(limit, handler)
    assert limit.current >= 10


def test_hits_and_misses_of_a_cache_do_not_make_it_run_away():
    rng, backend = random.Random(1), SimulatedBackend(20, 0.1)

    async def handler(record):
        if rng.random() < 0.5:
            await asyncio.sleep(0.001)
        else:
            await backend.call()

    limit = AdaptiveLimit()
    throughput(limit, handler, batches=1, size=10_000)
    assert limit.current <= 300


def test_nonsense_does_not_poison_it():
    limit, backend = AdaptiveLimit(), SimulatedBackend(20)
    for latency in (math.nan, math.inf, -1.0, 1e300):
        for _ in range(100):
            limit.observe(Verdict.SUCCESS, latency, limit.current)
            limit.observe(Verdict.SUCCESS, latency, 0)
    live(limit, backend, 3_000)
    trial = live(limit, backend, 3_000)
    assert trial.use >= 0.9
    assert trial.inflation <= 2


def test_it_can_be_copied():
    assert copy.deepcopy(AdaptiveLimit(9)).current == 9
    assert pickle.loads(pickle.dumps(AdaptiveLimit(9))).current == 9


@pytest.mark.parametrize("kind", [AIMDLimit, Gradient2Limit])
def test_the_others_do_not_stay_at_the_knee(kind):
    """Why there is a limit of our own; if this fails, the documentation has to change."""
    trial = live(kind(), SimulatedBackend(20), 4_000).part(1_000, 3_900)
    assert trial.use < 0.9 or trial.inflation > 1.5


def test_aimd_is_for_backends_that_refuse():
    trial = live(AIMDLimit(), SimulatedBackend(20, queue_limit=10), 8_000).part(1_000, 7_900)
    assert trial.use >= 0.9
    assert trial.drops < 0.05


def test_where_lanes_hold_the_records_back_a_long_latency_lowers_it_to_less_than_they_use():
    limit, lowest = AdaptiveLimit(initial=20), 20
    for latency in (0.01, 0.1):
        for _ in range(200):
            limit.observe(Verdict.SUCCESS, latency, min(12, limit.current))
            lowest = min(lowest, limit.current)
    assert lowest < 12
