"""The cost of a record in a large batch beside one a tenth as large, for few and many lanes."""

from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.batches import (
    HANDLERS,
    Event,
    context,
    fifo_event,
    queue_event,
    stream_event,
)
from benchmarks.effort import Effort
from benchmarks.figures import Figure
from benchmarks.rounds import interleave, ratio
from benchmarks.subjects import asyncbatch_default_call

SECTION = "asyncbatch, cost per record: a large batch beside one a tenth as large"
TARGET = 1.3

EventOf = Callable[[int], Event]


def measure(effort: Effort) -> Iterator[Figure]:
    """Measure every number of lanes, on the sources whose lanes are ranked differently."""
    for case, event_of in _batches().items():
        for handler in ("never waits", "waits once"):
            yield _measure(case, event_of, handler, effort)


def _batches() -> dict[str, EventOf]:
    batches: dict[str, EventOf] = {"SQS": queue_event}
    for source, event_of in (("SQS FIFO", fifo_event), ("Kinesis", stream_event)):
        batches[f"{source}, one lane"] = partial(event_of, lanes=1)
        batches[f"{source}, 100 lanes"] = partial(event_of, lanes=100)
        batches[f"{source}, 1,000 lanes"] = partial(event_of, lanes=1_000)
        batches[f"{source}, a lane each"] = event_of
    return batches


def _measure(case: str, event_of: EventOf, handler: str, effort: Effort) -> Figure:
    large, small = event_of(effort.large), event_of(effort.large // 10)
    call = asyncbatch_default_call(HANDLERS[handler](), 0)
    lambda_context = context()

    def ten_small() -> None:
        for _ in range(10):
            call(small, lambda_context)

    samples = interleave(
        {"large": lambda: call(large, lambda_context), "small": ten_small},
        rounds=max(1, effort.rounds // 2),
    )
    return Figure(
        section=SECTION,
        case=f"{case}, {handler}",
        subject="large / small",
        value=ratio(samples, "large", "small"),
        target=TARGET,
        absolute=min(samples["large"]) * 1e6 / effort.large,
    )
