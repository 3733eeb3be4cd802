"""Worlds: an event source, its mapping and a function, drawn from a seed; and what was seen when they lived.

The handlers of the first tries have fates (raise, hang, swallow cancellations, ...), later tries go well, so that
every world comes to an end in which nothing waits. Processes crash, replies get lost, the limit moves.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import fates
from fates import Body, Fate

from asyncbatch import EventSource, FailureScope, Ordering, batch_handler
from asyncbatch.limits import AdaptiveLimit, AIMDLimit, Gradient2Limit
from asyncbatch.powertools import AsyncBatchProcessor, EventType, async_process_partial_response
from asyncbatch.testing import (
    DynamoDBMapping,
    EventSourceMapping,
    KafkaMapping,
    KinesisMapping,
    SqsFifoMapping,
    SqsMapping,
)
from asyncbatch.testing._labels import payload_text

RETENTION = 6 * 3600.0
GRACE = 0.1
LONGEST_WORK = 0.6  # seconds; every record can be handled within the shortest timeout
GOOD = tuple(kind for kind in fates.GOOD if kind is not fates.ok_leaves_a_task)
FACADE = {
    EventSource.SQS: EventType.SQS,
    EventSource.SQS_FIFO: EventType.SQS,
    EventSource.KINESIS: EventType.KinesisDataStreams,
    EventSource.DYNAMODB: EventType.DynamoDBStreams,
}
MOVING: dict[str, Any] = {"adaptive": AdaptiveLimit, "AIMD": AIMDLimit, "gradient": Gradient2Limit}
MAPPINGS: dict[EventSource, Any] = {
    EventSource.SQS: SqsMapping,
    EventSource.SQS_FIFO: SqsFifoMapping,
    EventSource.KINESIS: KinesisMapping,
    EventSource.DYNAMODB: DynamoDBMapping,
    EventSource.KAFKA: KafkaMapping,
}


@dataclass(frozen=True)
class Sent:
    """A record that is sent."""

    name: str
    key: str
    partition: int
    after: float
    fates: tuple[Fate, ...]
    """Of the first tries; later ones go well."""
    work: Fate


@dataclass(frozen=True)
class World:
    """Everything that a history depends on."""

    source: EventSource
    sent: tuple[Sent, ...]
    mapping: dict[str, Any]
    engine: dict[str, Any]
    limits: tuple[int, ...]
    """One for each invocation, in turn."""
    moves: str | None = None
    """The kind of limit, which all invocations share and which begins at the first; None for limits that stay."""
    facade: bool = False
    """Whether the function is written with `asyncbatch.powertools`."""

    @property
    def keeps_order(self) -> bool:
        if self.facade:
            return self.source is EventSource.SQS_FIFO
        return self.source is not EventSource.SQS and self.engine["ordering"] is not Ordering.UNORDERED


@dataclass(eq=False)
class Try:
    """One start of a record's handler."""

    label: str
    invocation: int
    started: float
    done_well: float | None = None
    """When its work was done; the engine may still find that too late."""


@dataclass
class Lived:
    """What was seen of a world."""

    world: World
    mapping: EventSourceMapping
    tries: list[Try] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    """Labels of records of which something ran outside their invocation."""
    in_callbacks: list[str] = field(default_factory=list)


# --- drawing ------------------------------------------------------------------------------------------


def draw(rng: Any) -> World:
    """Draw a world; ``rng`` is `random.Random`'s kind, hypothesis's or a seeded one."""
    source = rng.choice(list(EventSource))
    timeout = rng.choice((1.5, 3.0, 10.0))
    read = rng.random() < 0.85
    facade = read and source in FACADE and rng.random() < 0.2
    mapping = _draw_mapping(rng, source, timeout, read=read)
    if facade:
        mapping.pop("tumbling_window", None)  # the drop-in refuses events without records, as the peer does
    return World(
        source=source,
        sent=_draw_records(rng),
        mapping=mapping,
        engine={} if facade else _draw_engine(rng, source, read=read),
        limits=tuple(rng.randint(1, 5) for _ in range(rng.choice((1, 1, 3)))),
        moves=None if facade else rng.choice((None, None, None, *MOVING)),
        facade=facade,
    )


def _draw_records(rng: Any) -> tuple[Sent, ...]:
    trouble, keys, span = rng.choice((0.0, 0.2, 0.5)), rng.randint(1, 4), rng.choice((0, 5, 100))
    return tuple(
        Sent(
            name=f"r{number}",
            key=f"k{rng.randrange(keys)}",
            partition=rng.randrange(2),
            after=rng.randint(0, span),
            fates=_draw_bad_fates(rng, trouble),
            work=_draw_fate(rng, GOOD if rng.random() < 0.3 else (fates.ok,)),
        )
        for number in range(rng.randint(1, 16) if rng.random() < 0.1 else rng.randint(1, 6))
    )


def _draw_bad_fates(rng: Any, trouble: float) -> tuple[Fate, ...]:
    if rng.random() >= trouble:
        return ()
    kinds = fates.FAILING + fates.ENDLESS
    return tuple(_draw_fate(rng, kinds) for _ in range(rng.randint(1, 2)))


def _draw_fate(rng: Any, kinds: Any) -> Fate:
    return Fate(rng.choice(kinds).__name__, rng.randint(1, 6) / 10 * LONGEST_WORK, rng.randint(0, 3))


def _draw_mapping(rng: Any, source: EventSource, timeout: float, *, read: bool) -> dict[str, Any]:
    options: dict[str, Any] = {
        # A batch that is taken or refused as a whole has to fit into the shortest timeout, record by record.
        "batch_size": rng.choice((1, 3, 10) if read else (1, 3)),
        "function_timeout": timeout,
        "report_batch_item_failures": read,
        "duplicate_rate": rng.choice((0.0, 0.0, 0.2)),
        "crash_rate": rng.choice((0.0, 0.0, 0.3)),
        "seed": rng.choice((None, rng.randrange(1 << 30))),
        "schedule": rng.choice(("shuffle", "priorities")),
        "retention": RETENTION,
    }
    if source in {EventSource.SQS, EventSource.SQS_FIFO}:
        options["visibility_timeout"] = timeout + rng.choice((0.0, 1.0, 60.0))
        options["max_receive_count"] = rng.choice((None, None, 4))
        options["maximum_concurrency"] = rng.choice((1, 2, 5))
        return options
    options["bisect_batch_on_function_error"] = rng.random() < 0.3
    options["maximum_retry_attempts"] = rng.choice((-1, -1, 3))
    options["on_failure"] = True
    if source is EventSource.KAFKA:
        options["partitions"] = 2
        options["redelivers"] = rng.choice(("named", "from lowest named"))
        return options
    options["shards"] = rng.randint(1, 2)
    options["parallelization_factor"] = rng.choice((1, 1, 3))
    if options["parallelization_factor"] == 1 and rng.random() < 0.15:
        options["tumbling_window"] = 30.0
    return options


def _draw_engine(rng: Any, source: EventSource, *, read: bool) -> dict[str, Any]:
    orderings: list[Ordering | None] = [None, None, None, Ordering.SEQUENTIAL, Ordering.UNORDERED]
    if source is not EventSource.SQS:
        orderings.append(Ordering.BY_KEY)
    ordering = rng.choice(orderings)
    scopes = [None, FailureScope.LANE, FailureScope.BATCH]
    if ordering is Ordering.UNORDERED or (ordering is None and source is EventSource.SQS):
        scopes.append(FailureScope.RECORD)
    return {
        "ordering": ordering,
        "failure_scope": rng.choice(scopes),
        "record_timeout": rng.choice((None, None, 0.9)),
        "grace": GRACE,
        "rate_limit": rng.choice((None, None, None, 25.0, 100.0)),  # a batch fits into the shortest timeout
        "raise_on_failure": "never" if read else "any",
    }


# --- living -------------------------------------------------------------------------------------------

Function = Callable[[Any, Any], Any]
MakeFunction = Callable[[World, Any], Function]


def our_function(world: World, handler: Any) -> Function:
    """The function under test: the engine, or the drop-in."""
    if world.facade:
        processor = AsyncBatchProcessor(FACADE[world.source])
        processor.concurrency = world.limits[0]

        def through_the_drop_in(event: Any, context: Any) -> Any:
            return async_process_partial_response(event, handler, processor, context)

        return through_the_drop_in
    limits: Sequence[Any] = world.limits
    if world.moves is not None:
        limits = [MOVING[world.moves](initial=world.limits[0])]
    functions = [
        batch_handler(concurrency=limit, **world.engine)(handler)  # type: ignore[call-overload]
        for limit in limits
    ]
    calls = iter(range(1 << 30))

    def through_the_engine(event: Any, context: Any) -> Any:
        return functions[next(calls) % len(functions)](event, context)

    return through_the_engine


class Observed:
    """Handles records as their fates say, and writes down what happens."""

    def __init__(self, world: World, make: MakeFunction | None = None) -> None:
        self._fates: dict[str, Sent] = {}
        self._tries: dict[str, int] = {}
        self._function = (make or our_function)(world, self.handler)
        self._invocations = 0
        self._inside: int | None = None
        self.lived = Lived(world, MAPPINGS[world.source](self.call, **world.mapping))

    def call(self, event: Any, context: Any) -> Any:
        self._invocations += 1
        self._inside = self._invocations
        try:
            return self._function(event, context)
        finally:
            self._inside = None

    async def handler(self, record: Any) -> object:
        label = payload_text(record)
        loop, invocation = asyncio.get_running_loop(), self._inside
        assert invocation is not None
        attempt = Try(label, invocation, loop.time())
        self.lived.tries.append(attempt)
        sent = self._fates[label]
        number = self._tries[label] = self._tries.get(label, 0) + 1
        fate = sent.fates[number - 1] if number <= len(sent.fates) else sent.work

        def done_well() -> None:
            attempt.done_well = loop.time()

        body = Body(fate, partial(self._pause, label, invocation), done_well)
        result: object = await fates.BY_KIND[fate.kind](body)
        return result

    async def _pause(self, label: str, invocation: int, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except GeneratorExit:  # its process was killed, or its loop thrown away: nothing runs
            raise
        except asyncio.CancelledError:
            self._look_around(label, invocation)
            raise
        self._look_around(label, invocation)

    def _look_around(self, label: str, invocation: int) -> None:
        if self._inside != invocation:
            self.lived.ghosts.append(label)

    def send(self, sent: Sent) -> None:
        mapping: Any = self.lived.mapping
        known = len(mapping.records)
        match self.lived.world.source:
            case EventSource.SQS:
                mapping.send(sent.name, after=sent.after)
            case EventSource.SQS_FIFO:
                mapping.send(sent.name, group=sent.key, after=sent.after)
            case EventSource.KINESIS:
                mapping.send(sent.name, key=sent.key, after=sent.after)
            case EventSource.DYNAMODB:
                mapping.put({"id": sent.key, "name": sent.name}, after=sent.after)
            case EventSource.KAFKA:
                mapping.send(sent.name, key=sent.key, partition=sent.partition, after=sent.after)
        self._fates[mapping.records[known].label] = sent


def live(world: World, make: MakeFunction = our_function) -> Lived:
    """Let a world live to its end."""
    observed = Observed(world, make)
    for sent in sorted(world.sent, key=lambda each: each.after):
        observed.send(sent)
    with observed.lived.mapping as mapping:
        mapping.run(max_invocations=5000)
    return observed.lived


def lives(seed: int, make: MakeFunction = our_function) -> Lived:
    """The world of a seed."""
    logging.disable(logging.CRITICAL)
    try:
        return live(draw(random.Random(seed)), make)
    finally:
        logging.disable(logging.NOTSET)


def lane_of(lived: Lived, record: Any) -> Hashable:
    """What keeps its order, by the engine's options."""
    world = lived.world
    if not world.keeps_order:
        return None
    if world.source is EventSource.KAFKA and world.engine["ordering"] is Ordering.BY_KEY:
        return record.raw["partition"], record.raw["key"]
    return record.lane
