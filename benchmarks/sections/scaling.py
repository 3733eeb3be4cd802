"""The cost of a record in a large batch beside a smaller one, for few and many lanes."""

from collections.abc import Iterator
from functools import partial

from benchmarks.batches import EventOf, context, fifo_event, queue_event, stream_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import asyncbatch_default_call, check_reply
from benchmarks.figures import Figure
from benchmarks.handlers import HANDLERS, NEVER_WAITS, WAITS_ONCE
from benchmarks.intervals import quotients
from benchmarks.rounds import interleave

TARGET = 1.3
SUBJECT = "cost of a record, large / small"


def cases(effort: Effort) -> Iterator[Case]:
    for source, event_of in _batches().items():
        for handler in (NEVER_WAITS, WAITS_ONCE):
            case = f"{source}, {handler}"
            yield Case(case, partial(_measure, source, event_of, handler, effort.large, effort))
    if effort.huge > effort.large:
        event_of = partial(fifo_event, lanes=100)
        yield Case(
            "lanes to 100,000",
            partial(_measure, "SQS FIFO, 100 lanes", event_of, NEVER_WAITS, effort.huge, effort),
        )


def _batches() -> dict[str, EventOf]:
    batches: dict[str, EventOf] = {"SQS": queue_event}
    for source, event_of in (("SQS FIFO", fifo_event), ("Kinesis", stream_event)):
        batches[f"{source}, one lane"] = partial(event_of, lanes=1)
        batches[f"{source}, 100 lanes"] = partial(event_of, lanes=100)
        batches[f"{source}, 1,000 lanes"] = partial(event_of, lanes=1_000)
        batches[f"{source}, a lane each"] = event_of
    return batches


def _measure(source: str, event_of: EventOf, handler: str, size: int, effort: Effort) -> Iterator[Figure]:
    """Measure a large batch beside as many small ones as have its records."""
    tenth = effort.large // 10
    large, small = event_of(size), event_of(tenth)
    call = asyncbatch_default_call(HANDLERS[handler]())
    lambda_context = context()
    check_reply("asyncbatch", call(large, lambda_context))

    def many_small() -> None:
        for _ in range(size // tenth):
            call(small, lambda_context)

    samples = interleave(
        {"large": partial(call, large, lambda_context), "small": many_small},
        rounds=effort.rounds_for(size),
    )
    yield Figure(
        case=f"{source}, {handler}, {size:,} beside {tenth:,} records",
        subject=SUBJECT,
        samples=quotients(samples["large"], samples["small"]),
        base="a record of a small batch",
        target=TARGET,
        handler=handler,
        absolute=min(samples["large"]) * 1e6 / size,
    )


SECTION = Section(
    title="asyncbatch as it comes: cost of a record in a large batch beside a small one",
    text="Linear growth is 1. The limit is 100, the records are spread over the lanes in turn.",
    cases=cases,
    in_lots=False,
)
