"""The whole call, event in and response out, beside the peers at equal concurrency."""

import sys
from collections.abc import Iterator

from benchmarks.batches import FAILS_EVERY, HANDLERS, Event, context, queue_event
from benchmarks.effort import Effort
from benchmarks.figures import Figure
from benchmarks.rounds import interleave, ratio
from benchmarks.subjects import ASYNCBATCH, POWERTOOLS, SUBJECTS, Call

SECTION = "Whole call, ratio to Powertools at equal concurrency (median of per-round quotients)"

# From 3.12 on tasks can start eagerly.
TARGETS = {
    ("never waits", 10): 0.45,
    ("never waits", 1_000): 0.40,
    ("waits once", 10): 0.85,
    ("waits once", 1_000): 0.80,
}
TARGET_WITHOUT_EAGER_TASKS = 0.95


def target(handler: str, size: int) -> float | None:
    """Return what the quotient may be at most on this interpreter."""
    if sys.version_info < (3, 12):
        return TARGET_WITHOUT_EAGER_TASKS
    return TARGETS.get((handler, size))


def measure(effort: Effort) -> Iterator[Figure]:
    """Measure every size with every handler."""
    for size in effort.sizes:
        event = queue_event(size)
        for handler in HANDLERS:
            yield from _measure(event, size, handler, effort.rounds_for(size))


def _measure(event: Event, size: int, handler: str, rounds: int) -> Iterator[Figure]:
    calls = {name: make(HANDLERS[handler](), size) for name, make in SUBJECTS.items()}
    invocations = max(1, FAILS_EVERY // size)  # so that one record in a hundred fails in every sample
    lambda_context = context()
    for name, call in calls.items():
        _check(name, call, event, handler, invocations)
    cases = {name: lambda call=call: call(event, lambda_context) for name, call in calls.items()}
    samples = interleave(cases, rounds=rounds, multiple=invocations)
    for name in calls:
        yield Figure(
            section=SECTION,
            case=f"{handler}, {size:,} records",
            subject=name,
            value=ratio(samples, name, POWERTOOLS),
            target=target(handler, size) if name == ASYNCBATCH else None,
            absolute=min(samples[name]) * 1e6 / size,
        )


def _check(name: str, call: Call, event: Event, handler: str, invocations: int) -> None:
    """Refuse to time a subject whose replies are wrong."""
    ids = [record["messageId"] for record in event["Records"]] * invocations
    named = [
        failure["itemIdentifier"]
        for _ in range(invocations)
        for failure in call(event, context())["batchItemFailures"]
    ]
    expected = ids[FAILS_EVERY - 1 :: FAILS_EVERY] if handler == "fails 1 %" else []
    if named != expected:
        raise AssertionError(f"{name}: named {len(named)} records, expected {len(expected)}")
