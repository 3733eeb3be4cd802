"""An event source mapping in simulation: it forms batches, invokes a function, does what AWS says of the reply.

A simulation of discrete events in one place: nothing here waits. An invocation is run to its end when it begins,
on its environment's own clock; what follows from it happens at the time of its end.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final, Self

from asyncbatch._engine import BatchHandler
from asyncbatch._errors import InvalidOptionError
from asyncbatch._sources import EventSource
from asyncbatch._threads import ThreadedHandler
from asyncbatch.testing._conditions import Conditions
from asyncbatch.testing._environment import Ending, Environment, LambdaFunction
from asyncbatch.testing._events import Event
from asyncbatch.testing._simulated import RecordState, SimulatedInvocation, SimulatedRecord, listed, shorten
from asyncbatch.testing._verdicts import Verdict, failed_batch, verdict_of

if TYPE_CHECKING:
    from asyncbatch.testing._spy import HandlerSpy

_TAIL: Final = 40  # lines of the journal in a failed assertion


class EventSourceMapping(ABC):
    """What all mappings have in common.

    Use `SqsMapping`, `SqsFifoMapping`, `KinesisMapping`, `DynamoDBMapping` or `KafkaMapping`.

    Attributes:
        records: All records, in the order in which they were sent.
        invocations: All calls of the function, in the order in which they began.
        journal: What happened, line by line; ``print(mapping)`` shows it.
        now: The time of the simulation in seconds.
    """

    source: ClassVar[EventSource]

    def __init__(self, function: LambdaFunction, conditions: Conditions) -> None:
        if not callable(function):
            hint = "Pass what Lambda calls: f(event, context)."
            raise InvalidOptionError("function", "cannot be called", hint)
        if conditions.virtual and (threads := _own_threads(function)):
            hint = "Use virtual=False: then it really waits."
            raise InvalidOptionError("function", f"{threads}, which lives in real time", hint)
        self._function: Final = function
        self._conditions: Final = conditions
        self._rng: Final = random.Random(f"mapping {conditions.seed}")
        self.records: Final[list[SimulatedRecord]] = []
        self.invocations: Final[list[SimulatedInvocation]] = []
        self.journal: Final[list[str]] = []
        self.now: float = 0.0
        self._agenda: Final[list[tuple[float, int, Callable[[], None]]]] = []
        self._numbers: Final = itertools.count()
        self._environments: Final[list[Environment]] = []
        self._environments_made = 0
        self._in_flight = 0
        self._last_noted = 0.0
        self._sent_last = 0.0
        self._runs = False
        self._broke_off = False

    # --- for tests ------------------------------------------------------------------------------------

    def run(self, *, until: float = math.inf, max_invocations: int = 100_000) -> Self:
        """Let the mapping work until nothing more happens.

        Args:
            until: Stop at this time instead, in seconds of the simulation; a later `run` goes on.
            max_invocations: Stop with an error after so many calls of the function, in all.

        Returns:
            The mapping itself.

        Raises:
            RuntimeError: there were too many invocations, the function itself called this, or an earlier run broke
                off: what was under way then is gone.
            NotSimulatedError: the function used a thread or a socket, which have no virtual time.
        """
        if self._runs:
            message = "run() is at work: a function cannot call it, but it can send"
            raise RuntimeError(message)
        if self._broke_off:
            message = "an earlier run() broke off with an error: make a new mapping"
            raise RuntimeError(message)
        self._runs = self._broke_off = True
        began = self.now
        try:
            self._work(until, max_invocations)
            self._broke_off = False
        finally:
            self._runs = False
        # Without an end that was set, the last thing that happened is the end: not a poll that found nothing.
        self.now = max(self.now, until) if math.isfinite(until) else max(began, self._last_noted)
        return self

    def _work(self, until: float, max_invocations: int) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
            if len(self.invocations) > max_invocations:
                message = f"no end after {max_invocations} invocations{self._tail()}"
                raise RuntimeError(message)

    def close(self) -> None:
        """End the environments: lifespans are left, threads end."""
        for environment in self._environments:
            environment.close()
        self._environments.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        """What happened, as lines for a person."""
        return "\n".join(self.journal)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{len(self.in_state(state))} {state}" for state in RecordState if self.in_state(state)
        )
        return f"<{type(self).__name__} at {self.now:g} s: {counts or 'no records'}>"

    def in_state(self, state: RecordState) -> list[str]:
        """Labels of the records in a state, in the order in which they were sent.

        Args:
            state: The state, or its text.
        """
        return [record.label for record in self.records if record.state == state]

    @property
    def done(self) -> list[str]:
        """Labels of the records that the event source takes as processed."""
        return self.in_state(RecordState.DONE)

    @property
    def waiting(self) -> list[str]:
        """Labels of the records that are still to be processed."""
        return self.in_state(RecordState.WAITING)

    @property
    def lost(self) -> list[str]:
        """Labels of the records that were lost in silence: named as failed in a reply that was not read."""
        return [record.label for record in self.records if record.lost]

    def assert_all_done(self) -> None:
        """Check that every record was taken as processed, and none was lost in silence.

        Raises:
            AssertionError: one was not.
        """
        left = [record for record in self.records if record.state is not RecordState.DONE or record.lost]
        if left:
            self._fail(f"{len(left)} of {len(self.records)} records are not done", left)

    def assert_nothing_lost(self, spy: HandlerSpy | None = None) -> None:
        """Check that no record is gone: every one is done, waits, or lies in a dead-letter queue or a destination.

        Args:
            spy: The record handler's spy. With it, each record that is done must have been handled to the end at
                least once by then; payloads have to differ.

        Raises:
            ValueError: two records have the same payload.
            AssertionError: one is gone, or is done without having been handled.
        """
        gone = [record for record in self.records if record.lost or self._is_gone(record)]
        if gone:
            self._fail(f"{len(gone)} of {len(self.records)} records are lost", gone)
        if spy is None:
            return
        self._check_labels(spy)
        handled = _first_returns(spy)
        done = [
            record
            for record in self.records
            if record.state is RecordState.DONE
            and record.left_at is not None
            and handled.get(record.label, math.inf) > record.left_at
        ]
        if done:
            self._fail(
                f"{len(done)} records were taken as processed when no handler had returned for them", done
            )

    def assert_order_kept(
        self, spy: HandlerSpy, *, lane: Callable[[SimulatedRecord], Hashable] | None = None
    ) -> None:
        """Check that records were handled in their event source's order.

        In each lane, a record may begin for the first time only when the one that was sent before it has been
        handled to its end, or has left the lane (to a dead-letter queue, a destination). Payloads have to differ.

        Args:
            spy: The record handler's spy.
            lane: What has to keep its order; None for message group, partition key, item key, topic-partition.

        Raises:
            AssertionError: one began too early.
            ValueError: two records have the same payload.
        """
        self._check_labels(spy)
        lanes: dict[Hashable, list[SimulatedRecord]] = {}
        for record in self.records:
            key = record.lane if lane is None else lane(record)
            if key is not None:
                lanes.setdefault(key, []).append(record)
        first: dict[str, float] = {}
        handled = _first_returns(spy)
        for call in spy.calls:
            first[call.label] = min(call.started, first.get(call.label, math.inf))
        for key, members in lanes.items():
            begun = [each for each in members if each.label in first]
            for before, after in itertools.pairwise(begun):
                if min(handled.get(before.label, math.inf), _given_up_at(before)) > first[after.label]:
                    self._fail(
                        f"in lane {key!r}, {after.label!r} was begun at {first[after.label]:g} s, before "
                        f"{before.label!r} had been handled",
                        [before, after],
                    )

    # --- for the mappings -----------------------------------------------------------------------------

    @abstractmethod
    def _identifier(self, record: SimulatedRecord) -> object:
        """The record's item identifier."""

    @abstractmethod
    def _is_gone(self, record: SimulatedRecord) -> bool:
        """Whether a record is neither processed nor kept anywhere."""

    def _keep_time(self, at: float) -> None:
        """Refuse to send something before what was sent last: its place in the order would be another one."""
        if at < self._sent_last:
            hint = f"Something was sent for {self._sent_last:g} s: send in the order of time."
            raise InvalidOptionError("after", f"means {at:g} s", hint)
        self._sent_last = at

    def _later(self, at: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (at, next(self._numbers), action))

    def _note(self, text: str) -> None:
        self._last_noted = self.now
        self.journal.append(f"{self.now:10.3f} s  {text}")

    def _happens(self, rate: float) -> bool:
        """Whether something happens this time that happens at a rate."""
        return rate > 0 and self._rng.random() < rate

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def _invoke(
        self,
        records: Sequence[SimulatedRecord],
        event: Event,
        settled: Callable[[Verdict, SimulatedInvocation], None],
        judge: Callable[[str], Verdict | None] = lambda _: None,
    ) -> None:
        """Invoke the function now, and call `settled` when the invocation has ended.

        Args:
            records: The batch.
            event: It, as the function gets it.
            settled: Applies the verdict.
            judge: Looks at a reply before the usual rules do; None where it has nothing to say.
        """
        environment = self._environment()
        crash_at = math.inf
        if self._happens(self._conditions.crash_rate):
            # Evenly on a logarithmic scale: invocations take some milliseconds or their whole time.
            crash_at = self.now + self._conditions.function_timeout * 10 ** (-3 * self._rng.random())
        number = len(self.invocations) + 1
        for record in records:
            record.deliveries += 1
        self._note(f"invocation {number} in environment {environment.number}: {listed(records)}")
        self._in_flight += 1
        ending = environment.invoke(
            event, self._uuid(), at=self.now, timeout=self._conditions.function_timeout, crash_at=crash_at
        )
        if not ending.survived:
            self._environments.remove(environment)
            environment.close()
        verdict = self._verdict(records, ending, judge)
        invocation = SimulatedInvocation(
            number,
            environment.number,
            self.now,
            ending.at,
            tuple(records),
            event,
            ending.reply,
            ending.error,
            verdict,
        )
        self.invocations.append(invocation)
        self._later(ending.at, lambda: self._end(invocation, settled))

    def _end(
        self, invocation: SimulatedInvocation, settled: Callable[[Verdict, SimulatedInvocation], None]
    ) -> None:
        self._in_flight -= 1
        verdict = invocation.verdict
        doubt = "" if verdict.documented else " (AWS does not say what that means)"
        self._note(f"invocation {invocation.number} ended: {verdict.reason}{doubt}")
        if invocation.error is not None:
            self._note(f"  {type(invocation.error).__name__}: {shorten(_text_of(invocation.error))}")
        waiting = {record for record in invocation.records if record.state is RecordState.WAITING}
        settled(verdict, invocation)
        named = [record for at, record in enumerate(invocation.records) if at in verdict.ignored]
        lost = [record for record in named if record in waiting and record.state is RecordState.DONE]
        for record in lost:
            record.lost = True
        if lost:
            self._note(
                f"LOST: the reply names {listed(lost)}, and without ReportBatchItemFailures nobody reads it"
            )

    def _environment(self) -> Environment:
        """The environment that was used last of those that are free; a new one where none is."""
        free = [each for each in self._environments if each.free_at <= self.now]
        if free:
            return max(free, key=lambda each: each.free_at)
        self._environments_made += 1
        number = self._environments_made
        seed, schedule = self._conditions.seed, self._conditions.schedule
        made = Environment(
            self._function,
            number,
            seed=None if seed is None else seed + number,
            schedule=schedule,
            virtual=self._conditions.virtual,
        )
        self._environments.append(made)
        return made

    def _verdict(
        self,
        records: Sequence[SimulatedRecord],
        ending: Ending,
        judge: Callable[[str], Verdict | None],
    ) -> Verdict:
        size = len(records)
        if ending.killed == "timeout":
            return failed_batch(size, f"timed out after {self._conditions.function_timeout:g} s")
        if ending.killed == "crash":
            return failed_batch(size, "its process crashed")
        if ending.error is not None:
            return failed_batch(size, _trouble(ending))
        if ending.reply is not None and (special := judge(ending.reply)) is not None:
            return special
        if self._happens(self._conditions.duplicate_rate):
            return failed_batch(size, "its reply got lost on the way: delivery is at least once")
        identifiers = [self._identifier(record) for record in records]
        return verdict_of(
            self.source, identifiers, ending.reply, read=self._conditions.report_batch_item_failures
        )

    def _check_labels(self, spy: HandlerSpy) -> None:
        """Refuse what would be held against another record's calls, or against none."""
        counts = Counter(record.label for record in self.records)
        for label, count in counts.most_common(1):
            if count > 1:
                what = f"{count} records have the payload {shorten(label)!r}"
                raise ValueError(f"{what}: with a spy, payloads have to differ")
        if spy.calls and counts.keys().isdisjoint(spy.order):
            what = f"the spy's labels are of no record here: {shorten(spy.order[0])!r}"
            raise ValueError(f"{what}. Leave out its label=")

    def _fail(self, what: str, records: Iterable[SimulatedRecord]) -> None:
        lines = [
            f"\n  {record.label!r}: {'lost in silence' if record.lost else record.state}, "
            f"delivered {record.deliveries} times"
            for record in itertools.islice(records, _TAIL)
        ]
        raise AssertionError(f"{what}:{''.join(lines)}{self._tail()}")

    def _tail(self) -> str:
        lines = "".join(f"\n{line}" for line in self.journal[-_TAIL:])
        return f"\nthe end of the journal:{lines}\nseed: {self._conditions.seed}"


def _own_threads(function: LambdaFunction) -> str | None:
    """What of a function of ours needs a thread, if anything does."""
    if not isinstance(function, BatchHandler):
        return None
    if function.engine.guard_blocking:
        return "has guard_blocking=True, a thread for its loop"
    handler: object = function.handler  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - any
    return "has a threaded handler" if isinstance(handler, ThreadedHandler) else None


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - whatever it is, it is the function's
        return "(its text cannot be shown)"


def _trouble(ending: Ending) -> str:
    name = type(ending.error).__name__
    if ending.returned:
        return f"the reply is no JSON: {name}"
    return f"the function raised {name}" if ending.survived else f"the function ended its process with {name}"


def _first_returns(spy: HandlerSpy) -> dict[str, float]:
    """When each record was handled to its end for the first time."""
    first: dict[str, float] = {}
    for call in spy.calls:
        if call.returned and call.ended is not None:
            first[call.label] = min(call.ended, first.get(call.label, math.inf))
    return first


def _given_up_at(record: SimulatedRecord) -> float:
    """When a record left its lane without having been processed; infinity where it did not."""
    if record.state is RecordState.DONE or record.left_at is None:
        return math.inf
    return record.left_at
