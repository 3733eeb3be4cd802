"""Histories: a batch drawn from a random generator, run on a virtual clock, and everything that was seen of it."""

import asyncio
import contextlib
import gc
import itertools
from collections.abc import Hashable
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any
from unittest import mock

import fates
from fates import Body, Fate

from asyncbatch import BatchEngine, EventSource, FailureScope, Ordering, SequenceOrderError
from asyncbatch._loop import _buried, discard_loop, kept_loop
from asyncbatch._scheduler import CAN_START_EAGERLY, Run
from asyncbatch.hooks import LimitChanged, RecordEnded, RecordStarted
from asyncbatch.testing import (
    LambdaContext,
    SimulationError,
    VirtualLoop,
    dynamodb_event,
    kafka_event,
    kinesis_event,
    sqs_event,
    sqs_fifo_event,
)

BY_FUNCTION = "by function"
STREAMS = {EventSource.KINESIS, EventSource.DYNAMODB}
GRACE = 0.1
AFTERMATH = 200.0


@dataclass(frozen=True)
class Case:
    """One batch and how it is run; everything that a history depends on."""

    source: EventSource = EventSource.SQS
    fates: tuple[Fate, ...] = ()
    keys: tuple[int, ...] = ()
    """Message group, partition key or item key, per record; Kafka's message key (0: none)."""
    partitions: tuple[int, ...] = ()
    copy_of: tuple[int, ...] = ()
    """Position of the record that this one is a copy of; its own where it is none."""
    ordering: Ordering | str | None = None
    refused: frozenset[int] = frozenset()
    """Positions that the key function refuses; only with BY_FUNCTION."""
    scope: FailureScope | None = None
    limit: int = 3
    eager: bool = CAN_START_EAGERLY
    record_timeout: float | None = None
    deadline: float | None = None
    in_own_loop: bool = True
    """`BatchEngine.run`; otherwise `BatchEngine.process`."""
    seed: int | None = None
    """Shuffles what is ready in each turn of the loop."""
    moves: tuple[int, ...] = ()
    """What the limit is after each record that it is told of, over and over; empty for a limit that stays."""
    rate: float | None = None

    @property
    def size(self):
        return len(self.fates)

    @property
    def effective_ordering(self):
        defaults = {EventSource.SQS: Ordering.UNORDERED, EventSource.KAFKA: Ordering.SEQUENTIAL}
        return self.ordering or defaults.get(self.source, Ordering.BY_KEY)

    @property
    def effective_scope(self):
        if self.scope is not None:
            return self.scope
        if self.source in STREAMS:
            return FailureScope.BATCH
        ordered = self.effective_ordering is not Ordering.UNORDERED
        lanes = ordered or self.source is not EventSource.SQS
        return FailureScope.LANE if lanes else FailureScope.RECORD

    @property
    def seal_after(self) -> float:
        """Seconds until the batch is sealed, by the documented margin."""
        if self.deadline is None:
            return float("inf")
        margin = min(max(0.1 * self.deadline, 0.3), 2.0) if self.in_own_loop else GRACE
        return max(0.0, self.deadline - margin)

    def lane(self, position: int) -> Hashable:
        """The lane of a record, by the table in the design."""
        first = self.copy_of[position]
        match self.effective_ordering:
            case Ordering.UNORDERED:
                return first
            case Ordering.SEQUENTIAL:
                return self.partitions[position] if self.source is EventSource.KAFKA else 0
            case Ordering.BY_KEY:
                return self._native_key(position)
        return ("refused", position) if position in self.refused else self.keys[position] % 3

    def _native_key(self, position: int) -> Hashable:
        if self.source is EventSource.KAFKA:
            return self.partitions[position], self.keys[position]
        return self.keys[position]

    def unit(self, position: int) -> Hashable:
        """What the source keeps in order by itself; for SQS each identifier."""
        if self.source is EventSource.SQS:
            return self.copy_of[position]
        if self.source is EventSource.KAFKA:
            return self.partitions[position]
        return self.keys[position]

    @cached_property
    def held_from_the_start(self) -> frozenset[int]:
        """The records that the key function refused, and those that they hold back."""
        held: set[int] = set()
        units: set[Hashable] = set()
        lanes: set[Hashable] = set()
        for position in range(self.size):
            behind = self.lane(position) in lanes or self.unit(position) in units
            if self.effective_scope is FailureScope.BATCH:
                behind = bool(held)
            if position in self.refused and self.source is not EventSource.SQS:
                units.add(self.unit(position))
            if position in self.refused or behind:
                held.add(position)
                lanes.add(self.lane(position))
        return frozenset(held)

    def event(self) -> dict[str, Any]:
        event = self._event_without_copies()
        raws = raw_records(event)
        for position, first in enumerate(self.copy_of):
            if first != position:
                raws[position].clear()
                raws[position].update(deepcopy(raws[first]))
        return event

    def _event_without_copies(self) -> dict[str, Any]:
        payloads = [f"record {position}" for position in range(self.size)]
        keys = [f"key {key}" for key in self.keys]
        match self.source:
            case EventSource.SQS:
                return sqs_event(payloads)
            case EventSource.SQS_FIFO:
                return sqs_fifo_event(payloads, groups=keys)
            case EventSource.KINESIS:
                return kinesis_event(payloads, keys=keys)
            case EventSource.DYNAMODB:
                return dynamodb_event([{"id": key} for key in keys])
        message_keys = [f"key {key}" if key else None for key in self.keys]
        return kafka_event(payloads, partitions=self.partitions, keys=message_keys)


def raw_records(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The raw records of an event, in batch position."""
    return event.get("Records") or [raw for log in event["records"].values() for raw in log]


@dataclass
class Seen:
    """What was seen of one run, from outside the engine."""

    case: Case
    log: list[tuple[float, str, int]] = field(default_factory=list)
    """(time, "start" or "end", position), in the order of happening."""
    done_well: dict[int, float] = field(default_factory=dict)
    ghosts: set[int] = field(default_factory=set)
    """Positions of which something ran after the return."""
    strange_contexts: set[int] = field(default_factory=set)
    in_callbacks: list[str] = field(default_factory=list)
    left_on_loop: list[int | None] = field(default_factory=list)
    """Positions of the record tasks that were alive after the return; None for another task of a handler."""
    error: BaseException | None = None
    report: Any = None
    outcomes: tuple[Any, ...] = ()
    reply: list[Any] | None = None
    """The identifiers that the reply names; None where the whole batch is to be retried."""
    next_batch_succeeded: bool = True
    followed: list[tuple[str, int]] = field(default_factory=list)
    """Where the limit moves: ("admit", position), ("ended", position), ("limit", limit), in order."""
    limits: list[tuple[int, int]] = field(default_factory=list)
    """(entries of the log before it, limit)."""
    took: float = 0.0

    @property
    def started(self):
        return {position: time for time, what, position in self.log if what == "start"}

    @property
    def ended(self):
        return {position: time for time, what, position in self.log if what == "end"}

    def limit_at(self, index: int) -> int:
        """The limit after so many entries of the log."""
        return [limit for before, limit in self.limits if before <= index][-1]


class ScriptedLimit:
    """A limit that moves as it is told to, whatever it observes."""

    def __init__(self, initial, moves):
        self.current = initial
        self._moves = itertools.cycle(moves)

    def observe(self, verdict, latency, in_flight):
        self.current = next(self._moves)

    def is_drop(self, error):
        return False


_mark: ContextVar[int | str] = ContextVar("mark", default="nobody's")


class World:
    """Runs the fates of one batch and writes down what happens."""

    def __init__(self, case: Case, event: dict[str, Any]) -> None:
        self.seen = Seen(case, limits=[(0, case.limit)])
        self._case = case
        self.returned = False
        self._destroyed: set[int] = set()
        self._positions = {id(raw): position for position, raw in enumerate(raw_records(event))}
        self._tasks: dict[int, asyncio.Task[Any]] = {}

    def position(self, record) -> int:
        return self._positions[id(record.raw)]

    def lane_key(self, record) -> Hashable:
        position = self.position(record)
        if position in self._case.refused:
            raise ValueError
        return self._case.keys[position] % 3

    async def handler(self, record):
        position = self.position(record)
        loop, seen = asyncio.get_running_loop(), self.seen
        self._tasks[position] = asyncio.current_task()
        seen.log.append((loop.time(), "start", position))
        if _mark.get() != "the caller's":
            seen.strange_contexts.add(position)
        _mark.set(position)
        fate = self._case.fates[position]
        body = Body(fate, partial(self._pause, position), partial(self._done_well, position))
        try:
            return await fates.BY_KIND[fate.kind](body)
        finally:
            if position not in self._destroyed:
                seen.log.append((loop.time(), "end", position))

    async def _pause(self, position: int, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except GeneratorExit:  # its loop was thrown away: nothing runs
            self._destroyed.add(position)
            raise
        except asyncio.CancelledError:
            self._look_around(position)
            raise
        self._look_around(position)

    def _look_around(self, position: int) -> None:
        if self.returned:
            self.seen.ghosts.add(position)
        if _mark.get() != position:
            self.seen.strange_contexts.add(position)

    def _done_well(self, position: int) -> None:
        self.seen.done_well[position] = asyncio.get_running_loop().time()

    def hook(self, event) -> None:
        match event:
            case RecordStarted(position=position):
                if _mark.get() != "the caller's":
                    self.seen.strange_contexts.add(position)
            case RecordEnded(outcome=outcome):
                if _mark.get() != outcome.position:
                    self.seen.strange_contexts.add(outcome.position)
            case LimitChanged(new=new):
                self.seen.followed.append(("limit", new))
                self.seen.limits.append((len(self.seen.log), new))
            case _:
                pass

    def survey(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write down who is left on the loop."""
        positions = {task: position for position, task in self._tasks.items()}
        me = asyncio.current_task(loop) if loop.is_running() else None
        self.seen.left_on_loop = [positions.get(task) for task in asyncio.all_tasks(loop) if task is not me]


# --- drawing ------------------------------------------------------------------------------------------


def draw(rng) -> Case:
    """Draw a case; ``rng`` is `random.Random`'s kind, hypothesis's or a seeded one."""
    source = rng.choice(list(EventSource))
    large = rng.random() < 0.04
    size = rng.randint(30, 60) if large else rng.randint(1, 12)
    limit = rng.randint(1, 40) if large else rng.randint(1, 5)
    partitions = tuple(sorted(rng.randint(0, 2) for _ in range(size)))
    keys = [rng.randint(0, rng.choice((1, 3, 20))) for _ in range(size)]
    copy_of = list(range(size))
    if rng.random() < 0.25:
        for position in range(1, size):
            if rng.random() < 0.2:
                first = copy_of[rng.randrange(position)]
                same_log = source is not EventSource.KAFKA or partitions[first] == partitions[position]
                if same_log:
                    copy_of[position], keys[position] = first, keys[first]
    ordering, refused = _draw_ordering(rng, source, copy_of)
    record_timeout = rng.choice((None, None, 0.37, 1.13))
    deadline = rng.choice((None, 0.2, 0.7, 1.9, 4.3, 30.0))
    endless = deadline is not None or record_timeout is not None
    scopes = [None, FailureScope.LANE, FailureScope.BATCH]
    if ordering is Ordering.UNORDERED or (ordering is None and source is EventSource.SQS):
        scopes.append(FailureScope.RECORD)
    trouble = rng.choice((0.0, 0.15, 0.5))
    return Case(
        source=source,
        fates=tuple(_draw_fate(rng, trouble, endless=endless) for _ in range(size)),
        keys=tuple(keys),
        partitions=partitions,
        copy_of=tuple(copy_of),
        ordering=ordering,
        refused=refused,
        scope=rng.choice(scopes),
        limit=limit,
        eager=CAN_START_EAGERLY and rng.random() < 0.5,
        record_timeout=record_timeout,
        deadline=deadline,
        in_own_loop=rng.random() < 0.5,
        seed=rng.choice((None, rng.randrange(1 << 30))),
        moves=tuple(rng.randint(1, limit + 2) for _ in range(rng.randint(1, 6)))
        if rng.random() < 0.3
        else (),
        rate=rng.choice((0.5, 2.0, 10.0)) if rng.random() < 0.2 else None,
    )


def _draw_ordering(rng, source, copy_of):
    orderings = [None, None, Ordering.UNORDERED, Ordering.SEQUENTIAL, BY_FUNCTION]
    if source is not EventSource.SQS:
        orderings.append(Ordering.BY_KEY)
    ordering = rng.choice(orderings)
    refused = frozenset(
        position
        for position in range(len(copy_of))
        if ordering == BY_FUNCTION and copy_of.count(copy_of[position]) == 1 and rng.random() < 0.1
    )
    return ordering, refused


def _draw_fate(rng, trouble, *, endless):
    kinds = fates.GOOD
    if rng.random() < trouble:
        kinds = fates.ENDLESS if endless and rng.random() < 0.5 else fates.FAILING
    kind = fates.ok if kinds is fates.GOOD and rng.random() < 0.6 else rng.choice(kinds)
    return Fate(kind.__name__, rng.randint(1, 20) / 10, rng.randint(0, 3))


# --- running ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def virtual_kept_loops(seed: int | None = None, troubles: list[str] | None = None):
    """Let this thread's kept loops be virtual ones."""

    def new_loop() -> VirtualLoop:
        return _virtual_loop(seed, troubles if troubles is not None else [])

    with mock.patch.object(asyncio, "new_event_loop", new_loop):
        discard_loop()
        others = set(
            _buried
        )  # a task of another test that obeys nothing would run for ever when it is collected
        try:
            yield
        finally:
            discard_loop()
            _buried.intersection_update(others)  # thousands of histories in one process
            gc.collect(1)


def _virtual_loop(seed, troubles):
    def note(_loop, context):
        if "callback" in context["message"]:  # not: a task that was left behind on purpose
            troubles.append(f"{context['message']}: {context.get('exception')!r}")

    loop = VirtualLoop(seed=seed)
    loop.set_exception_handler(note)
    return loop


@contextlib.contextmanager
def _places_are_noted(seen):
    """Note when a record takes a place and gives it up; where tasks start later than that no hook tells."""
    prepare, tell_all = Run._prepare, Run._tell_all

    def takes_a_place(run, position, context):
        seen.followed.append(("admit", position))
        prepare(run, position, context)

    def gives_it_up(run, position, succeeded):
        seen.followed.append(("ended", position))
        tell_all(run, position, succeeded)

    with mock.patch.object(Run, "_prepare", takes_a_place), mock.patch.object(Run, "_tell_all", gives_it_up):
        yield


def live_through(case: Case) -> Seen:
    """Run a case and return what was seen."""
    event = case.event()
    world = World(case, event)
    engine = BatchEngine(
        concurrency=ScriptedLimit(case.limit, case.moves) if case.moves else case.limit,
        rate_limit=case.rate,
        hooks=[world.hook] if case.moves else [],
        ordering=world.lane_key if case.ordering == BY_FUNCTION else case.ordering,
        failure_scope=case.scope,
        record_timeout=case.record_timeout,
        grace=GRACE,
        raise_on_failure="never",
        eager=case.eager,
    )
    token = _mark.set("the caller's")
    try:
        with _places_are_noted(world.seen) if case.moves else contextlib.nullcontext():
            live = _live_in_own_loop if case.in_own_loop else _live_in_callers_loop
            live(case, event, world, engine)
    finally:
        _mark.reset(token)
    _read_report(world.seen)
    return world.seen


def _live_in_own_loop(case, event, world, engine):
    seen = world.seen
    with virtual_kept_loops(case.seed, seen.in_callbacks):
        loop = kept_loop().loop
        context = None
        if case.deadline is not None:
            context = LambdaContext(case.deadline, clock=loop.time)
        try:
            seen.report = engine.run(event, world.handler, context)
        except (SimulationError, Exception) as error:
            seen.error = error
            return
        seen.took = loop.time()
        world.returned = True
        _read_report(seen)
        survivor = kept_loop().loop
        world.survey(survivor)
        survivor.run_until_complete(asyncio.sleep(AFTERMATH))
        seen.next_batch_succeeded = _next_batch_succeeds(engine)


def _next_batch_succeeds(engine):
    async def innocent(record):
        await asyncio.sleep(0.01)

    plain = BatchEngine(concurrency=engine.concurrency, eager=engine.eager)
    report = plain.run(sqs_event(["a", "b", "c"], seed=9), innocent)
    return report.all_succeeded


def _live_in_callers_loop(case, event, world, engine):
    seen = world.seen
    loop = _virtual_loop(case.seed, seen.in_callbacks)

    async def caller() -> None:
        try:
            seen.report = await engine.process(event, world.handler, deadline=case.deadline)
        except Exception as error:
            seen.error = error
            return
        seen.took = loop.time()
        world.returned = True
        world.survey(loop)
        _read_report(seen)
        await asyncio.sleep(AFTERMATH)

    try:
        loop.run_until_complete(caller())
    except SimulationError as error:
        seen.error = error
    finally:
        loop.set_exception_handler(lambda _loop, _context: None)
        loop.close()
        gc.collect(1)


def _read_report(seen: Seen) -> None:
    """Read the report; the second time must tell the same."""
    if seen.report is None:
        return
    try:
        reply = list(seen.report.failures)
    except SequenceOrderError:
        reply = None
    if seen.outcomes and reply != seen.reply:
        seen.in_callbacks.append("the report changed after it was returned")
    seen.outcomes, seen.reply = seen.report.outcomes, reply
