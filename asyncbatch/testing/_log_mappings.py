"""Logs as event sources, streams and topics, which are read on from a checkpoint; what becomes of failures there.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html
https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asyncbatch._errors import InvalidOptionError
from asyncbatch.testing._conditions import Conditions, check_count, check_range
from asyncbatch.testing._environment import LambdaFunction
from asyncbatch.testing._events import EPOCH_MS, Event
from asyncbatch.testing._labels import label_of
from asyncbatch.testing._mapping import EventSourceMapping
from asyncbatch.testing._simulated import RecordState, SimulatedInvocation, SimulatedRecord, listed
from asyncbatch.testing._verdicts import Verdict
from asyncbatch.testing._windows import TumblingWindow, judge_state

_MAX_DOUBLINGS: Final = 6  # of one second, which are more than the most
_MAX_BACKOFF: Final = 60.0
"""Most seconds between two tries. AWS does not say how long it waits; here it is a second, then twice as long."""


@dataclass(slots=True)
class _Batch:
    """Records that are to be delivered together, because they were before."""

    records: list[SimulatedRecord]
    tries: int = 0
    """How often it failed."""


@dataclass(slots=True)
class Poller:
    """What reads one log, one batch at a time: a shard, a part of one, or a topic's partitions."""

    name: str
    pending: deque[SimulatedRecord] = field(default_factory=deque[SimulatedRecord])
    retries: list[_Batch] = field(default_factory=list[_Batch])
    """What comes next is last."""
    busy: bool = False
    not_before: float = 0.0
    window: TumblingWindow | None = None


class LogMapping(EventSourceMapping):
    """What the mappings of streams and topics have in common."""

    def __init__(
        self,
        function: LambdaFunction,
        conditions: Conditions,
        *,
        pollers: Sequence[str],
        batch_size: int,
        window: float,
        tumbling: float,
        bisect: bool,
        max_retries: int,
        max_age: float,
        on_failure: bool,
        retention: float,
    ) -> None:
        super().__init__(function, conditions)
        check_count("batch_size", batch_size, 1, 10_000)
        check_range("maximum_batching_window", window, 0, 300)
        check_count("maximum_retry_attempts", max_retries, -1, 10_000)
        check_range("retention", retention, 60, 31_536_000)
        if max_age != -1:
            check_range("maximum_record_age", max_age, 60, 604_800)
        self._pollers: Final = [Poller(name) for name in pollers]
        self._batch_size: Final = batch_size
        self._window: Final = window
        self._tumbling: Final = tumbling
        self._bisect: Final = bisect
        self._max_retries: Final = math.inf if max_retries == -1 else max_retries
        self._max_age: Final = math.inf if max_age == -1 else max_age
        self._on_failure: Final = on_failure
        self._retention: Final = retention

    @property
    def discarded(self) -> list[str]:
        """Labels of the records that were given up; they are on the failure destination if there is one."""
        return self.in_state(RecordState.DISCARDED)

    def _is_gone(self, record: SimulatedRecord) -> bool:
        return record.state is RecordState.EXPIRED or (
            record.state is RecordState.DISCARDED and not self._on_failure
        )

    @abstractmethod
    def _event(self, records: Sequence[SimulatedRecord]) -> Event:
        """The event of a batch."""

    @abstractmethod
    def _remaining(self, records: Sequence[SimulatedRecord], failed: frozenset[int]) -> list[SimulatedRecord]:
        """The records that a partial response leaves to be delivered again."""

    def _arn(self) -> str:
        """The ARN for the events of tumbling windows."""
        return ""

    def _add(self, raw: dict[str, Any], poller: Poller, lane: str, after: float) -> None:
        record = SimulatedRecord(label_of(raw), lane, raw, self.now + after)
        self.records.append(record)

        def arrive() -> None:
            poller.pending.append(record)
            self._wake(poller, self.now)  # after what arrives at the same time

        self._later(record.sent, arrive)

    def _sent(self, after: float) -> int:
        """When a record is sent that is sent `after` some seconds, as a Unix time in milliseconds."""
        if after < 0:
            raise InvalidOptionError("after", f"is {after!r}", "Records are sent now or later.")
        self._keep_time(self.now + after)
        return EPOCH_MS + int((self.now + after) * 1000)

    # --- one poller -----------------------------------------------------------------------------------

    def _advance(self, poller: Poller) -> None:
        """Invoke the function for the poller's next batch, if there is one and it is time."""
        if poller.busy:
            return
        if self.now < poller.not_before:
            return  # there is a timer for it
        self._drop_expired(poller)
        batch = self._next_retry(poller) or self._next_new(poller)
        if batch is not None:
            self._deliver(poller, batch)
        elif self._window_is_over(poller):
            self._deliver(poller, _Batch([]))

    def _next_retry(self, poller: Poller) -> _Batch | None:
        while poller.retries:
            batch = poller.retries.pop()
            batch.records = self._young_enough(batch.records)
            if batch.records:
                return batch
            if poller.window is not None and self._window_is_over(poller):
                return batch  # the final invocation of a window, which has no records
        return None

    def _next_new(self, poller: Poller) -> _Batch | None:
        """The next batch of records that were not delivered yet, once it is full or has been waited for."""
        pending = poller.pending
        while pending and not self._young_enough([pending[0]]):
            pending.popleft()
        ready = self._within_window(poller)
        if not ready:
            return None
        due = pending[0].sent + self._window
        if poller.window is not None:
            due = min(due, poller.window.end)  # its last invocation comes behind all its records
        if ready < self._batch_size and self.now < due:
            self._wake(poller, due)
            return None
        return _Batch([pending.popleft() for _ in range(ready)])

    def _within_window(self, poller: Poller) -> int:
        """How many of the pending records may come together; opens a tumbling window for them."""
        pending = poller.pending
        if not self._tumbling:
            return min(len(pending), self._batch_size)
        window = poller.window
        if window is None:
            if not pending:
                return 0
            begin = pending[0].sent - pending[0].sent % self._tumbling
            poller.window = window = TumblingWindow(begin, self._tumbling, {})
            self._wake(poller, window.end)
        if window.cut_short:
            return 0
        ahead = itertools.takewhile(lambda record: record.sent < window.end, pending)
        return sum(1 for _ in itertools.islice(ahead, self._batch_size))

    def _window_is_over(self, poller: Poller) -> bool:
        window = poller.window
        return window is not None and (window.cut_short or self.now >= window.end)

    def _deliver(self, poller: Poller, batch: _Batch) -> None:
        poller.busy = True
        window, size = poller.window, len(batch.records)
        if window is None:
            self._invoke(
                batch.records,
                self._event(batch.records),
                lambda verdict, invocation: self._settle(poller, batch, verdict, invocation),
            )
            return
        raws = [record.raw for record in batch.records]
        self._invoke(
            batch.records,
            window.event(raws, poller.name, self._arn(), final=not batch.records),
            lambda verdict, invocation: self._settle(poller, batch, verdict, invocation),
            lambda reply: judge_state(size, reply),
        )

    def _settle(
        self, poller: Poller, batch: _Batch, verdict: Verdict, invocation: SimulatedInvocation
    ) -> None:
        poller.busy = False
        remaining = batch.records
        if not verdict.invocation_failed:
            remaining = self._remaining(batch.records, verdict.failed) if verdict.failed else []
            self._take_state(poller, batch, invocation)
        left = set(remaining)
        done = [record for record in batch.records if record not in left]
        for record in done:
            record.leave(RecordState.DONE, self.now)
        if done:
            self._note(f"{poller.name} is done with {listed(done)}")
        if remaining or verdict.invocation_failed:
            self._try_again(poller, batch, remaining, verdict)
        self._wake(poller, poller.not_before)

    def _take_state(self, poller: Poller, batch: _Batch, invocation: SimulatedInvocation) -> None:
        window = poller.window
        if window is None or invocation.reply is None:
            return
        if batch.records:
            window.take_state(invocation.reply)
        else:
            self._close_window(poller, window)

    def _close_window(self, poller: Poller, window: TumblingWindow) -> None:
        poller.window = None
        self._note(f"{poller.name}: the window from {window.begin:g} to {window.end:g} s is closed")

    def _try_again(
        self, poller: Poller, batch: _Batch, remaining: list[SimulatedRecord], verdict: Verdict
    ) -> None:
        tries = batch.tries
        if self._bisect and verdict.invocation_failed and len(remaining) > 1:
            middle = len(remaining) // 2
            first, second = remaining[:middle], remaining[middle:]
            poller.retries += [_Batch(second, tries), _Batch(first, tries)]
            self._note(f"split: {listed(first)} | {listed(second)}")
        elif self._bisect and len(remaining) < len(batch.records):
            poller.retries.append(_Batch(remaining, tries))  # the cut was a split, and no retry
        elif tries >= self._max_retries:
            self._give_up(poller, remaining, tries + 1)
            return
        else:
            poller.retries.append(_Batch(remaining, tries + 1))
        wait = _MAX_BACKOFF if tries >= _MAX_DOUBLINGS else 2.0**tries
        poller.not_before = self.now + wait
        self._note(f"to be tried again in {wait:g} s: {listed(remaining)}")

    def _wake(self, poller: Poller, at: float) -> None:
        self._later(max(at, self.now), lambda: self._advance(poller))

    # --- records that are given up --------------------------------------------------------------------

    def _give_up(self, poller: Poller, records: list[SimulatedRecord], tries: int) -> None:
        if records:
            self._discard(records, f"tried {tries} times")
        elif poller.window is not None:  # else its final invocation would come for ever
            self._close_window(poller, poller.window)

    def _young_enough(self, records: list[SimulatedRecord]) -> list[SimulatedRecord]:
        old = [record for record in records if self.now - record.sent > self._max_age]
        if not old:
            return records
        self._discard(old, f"older than {self._max_age:g} s")
        return [record for record in records if record.state is RecordState.WAITING]

    def _discard(self, records: list[SimulatedRecord], why: str) -> None:
        for record in records:
            record.leave(RecordState.DISCARDED, self.now)
        where = "to the failure destination" if self._on_failure else "LOST, there is no failure destination"
        self._note(f"{where}, {why}: {listed(records)}")

    def _drop_expired(self, poller: Poller) -> None:
        """Drop what the log keeps no longer; what is being retried with it."""
        for records in (poller.pending, *(batch.records for batch in poller.retries)):
            expired = [record for record in records if self.now - record.sent >= self._retention]
            for record in expired:
                record.leave(RecordState.EXPIRED, self.now)
                records.remove(record)
            if expired:
                self._note(f"LOST: {listed(expired)} in the log for longer than the retention period")
        poller.retries[:] = [batch for batch in poller.retries if batch.records or poller.window]
