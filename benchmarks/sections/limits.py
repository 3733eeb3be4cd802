"""Limits that move, on simulated backends in virtual time: how near the knee they are, and how soon."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from asyncbatch.limits import AdaptiveLimit, AIMDLimit, FixedLimit, Gradient2Limit, Limit
from asyncbatch.testing import SimulatedBackend
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.figures import Figure
from benchmarks.trials import Changes, Trial, live

KNEE = 20
ADAPTIVE = "AdaptiveLimit"
LIMITS: dict[str, Callable[[], Limit]] = {
    ADAPTIVE: AdaptiveLimit,
    "AIMDLimit": AIMDLimit,
    "Gradient2Limit": Gradient2Limit,
    "1.2 times the knee, fixed": lambda: FixedLimit(round(1.2 * KNEE)),
    "100, fixed": lambda: FixedLimit(100),
}
LEAST_USE, MOST_LATENCY, MINIMUM_WITHIN = 0.9, 1.5, 50


@dataclass(frozen=True)
class World:
    """A backend, what happens to it, and which records are looked at.

    Args:
        backend: Makes the backend, from a seed.
        records: Size of the batch.
        looked_at: The first and the last record that count.
        changes: What is done to the backend after so many records.
    """

    backend: Callable[[int], SimulatedBackend]
    records: int
    looked_at: tuple[int, int]
    changes: Callable[[SimulatedBackend], Changes] = lambda _backend: {}


def halves(backend: SimulatedBackend) -> Changes:
    return {2_000: lambda: backend.resize(KNEE // 2)}


def goes_down_and_comes_back(backend: SimulatedBackend) -> Changes:
    def down() -> None:
        backend.down = True

    def up() -> None:
        backend.down = False

    return {2_000: down, 2_200: up}


def simulated(**options: float) -> Callable[[int], SimulatedBackend]:
    return lambda seed: SimulatedBackend(KNEE, seed=seed, **options)  # type: ignore[arg-type]


WORLDS = {
    "M/M/20, samples 500 to 1,000": World(simulated(), 1_100, (500, 1_000)),
    "M/M/20, samples 1,000 to 3,000": World(simulated(), 3_100, (1_000, 3_000)),
    "service gets slower beyond the knee": World(simulated(thrash=0.02), 3_100, (500, 3_000)),
    "refuses with 10 waiting": World(simulated(queue_limit=10), 3_100, (1_000, 3_000)),
    "one call in a hundred takes 20 times as long": World(simulated(slow_share=0.01), 3_100, (500, 3_000)),
    "the knee halves, 1,000 samples later": World(simulated(), 4_100, (3_000, 4_000), halves),
    "after an outage, 800 samples later": World(simulated(), 4_100, (3_000, 4_000), goes_down_and_comes_back),
}


def cases(effort: Effort) -> Iterator[Case]:
    seeds = range(1 if effort.rounds == 1 else 5)
    worlds = dict(list(WORLDS.items())[:1]) if effort.rounds == 1 else WORLDS
    for name, world in worlds.items():
        yield Case(name, partial(_measure, name, world, seeds))
    yield Case("an outage", partial(_measure_outage, seeds))


def _measure(name: str, world: World, seeds: range) -> Iterator[Figure]:
    for subject, make in LIMITS.items():
        trials = [_trial(make(), world, seed) for seed in seeds]
        parts = [trial.part(*world.looked_at) for trial in trials]
        is_ours = subject == ADAPTIVE
        yield Figure(
            case=f"{name}: best throughput / its own",
            subject=subject,
            samples=tuple(1 / part.use for part in parts),
            base="the limit's own",
            target=1 / LEAST_USE if is_ours else None,
        )
        yield Figure(
            case=f"{name}: latency / base latency",
            subject=subject,
            samples=tuple(part.inflation for part in parts),
            base="the latency without a queue",
            target=MOST_LATENCY if is_ours else None,
        )


def _measure_outage(seeds: range) -> Iterator[Figure]:
    world = WORLDS["after an outage, 800 samples later"]
    for subject, make in LIMITS.items():
        if isinstance(make(), FixedLimit):
            continue
        trials = [_trial(make(), world, seed) for seed in seeds]
        yield Figure(
            case="an outage: samples until the limit is at its minimum (200 is never)",
            subject=subject,
            samples=tuple(float(_until_minimum(trial)) for trial in trials),
            unit="samples",
            target=float(MINIMUM_WITHIN) if subject == ADAPTIVE else None,
        )


def _until_minimum(trial: Trial) -> int:
    outage = trial.samples[2_000:2_200]
    return next((at for at, sample in enumerate(outage, start=1) if sample.limit == 1), len(outage))


def _trial(limit: Limit, world: World, seed: int) -> Trial:
    backend = world.backend(seed)
    logging.disable(logging.CRITICAL)  # an outage makes a long report
    try:
        return live(limit, backend, world.records, world.changes(backend))
    finally:
        logging.disable(logging.NOTSET)


SECTION = Section(
    title="Limits that move, on simulated backends (virtual time)",
    text=(
        "One batch of thousands of records, from a cold start, on a backend with 20 servers whose service times "
        "are exponential, five seeds. Throughput is told by the servers' use over time, latency by Little's law, "
        "so that the chance of single service times does not count. A limit that is too low loses throughput, one "
        "that is too high only adds latency: both have to be small."
    ),
    cases=cases,
    in_lots=False,
)
