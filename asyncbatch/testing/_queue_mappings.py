"""SQS as an event source: a queue with visibility timeouts, receive counts and redrive, and its mapping.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Unpack, final

from asyncbatch._errors import InvalidOptionError
from asyncbatch._sources import EventSource
from asyncbatch.testing._conditions import ConditionOptions, Conditions, check_count, check_range
from asyncbatch.testing._environment import LambdaFunction
from asyncbatch.testing._events import EPOCH_MS, add_group, receipt_handle, sqs_record
from asyncbatch.testing._labels import label_of
from asyncbatch.testing._mapping import EventSourceMapping
from asyncbatch.testing._simulated import RecordState, SimulatedInvocation, SimulatedRecord, listed
from asyncbatch.testing._verdicts import Verdict

_POLLERS: Final = 5
"""Invocations at a time with which a standard queue's mapping starts:
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""
_REGION: Final = "eu-west-1"


@dataclass(slots=True, eq=False)
class _Message:
    """A message in the queue."""

    record: SimulatedRecord
    visible_at: float = 0.0
    receives: int = 0
    held: int = 0
    """Receives whose batch has not ended yet."""


@dataclass(slots=True)
class _Receipt:
    """What one receive of a message gave."""

    message: _Message
    number: int
    raw: dict[str, Any]


class QueueMapping(EventSourceMapping):
    """What the mappings of the two kinds of queue have in common."""

    _queue_name: str

    def __init__(
        self,
        function: LambdaFunction,
        conditions: Conditions,
        *,
        batch_size: int,
        window: float,
        concurrency: int,
        visibility_timeout: float,
        max_receive_count: int | None,
        retention: float,
    ) -> None:
        super().__init__(function, conditions)
        function_timeout = conditions.function_timeout
        check_range("visibility_timeout", visibility_timeout, 0, 43_200)
        check_range("retention", retention, 60, 1_209_600)
        if max_receive_count is not None:
            check_count("max_receive_count", max_receive_count, 1, 1000)
        if function_timeout > visibility_timeout:
            raise InvalidOptionError(
                "visibility_timeout",
                f"is {visibility_timeout:g} s, below the function's timeout of {function_timeout:g} s",
                "AWS refuses such a mapping, and recommends six times the function's timeout.",
            )
        if window and window + function_timeout > visibility_timeout:
            visibility_timeout = window + function_timeout + 30.0  # as AWS does
        self._batch_size: Final = batch_size
        self._window: Final = window
        self._concurrency: Final = concurrency
        self._visibility: Final = visibility_timeout
        self._max_receives: Final = max_receive_count
        self._retention: Final = retention
        # In the order of sending; a dict, because thousands are deleted from its middle.
        self._messages: Final[dict[_Message, None]] = {}
        self._gathered: list[_Receipt] = []
        self._gathering_since = 0.0
        self._wakes: Final[set[float]] = set()

    @property
    def dead_letters(self) -> list[str]:
        """Labels of the records in the dead-letter queue."""
        return self.in_state(RecordState.DEAD_LETTER)

    def _identifier(self, record: SimulatedRecord) -> object:
        return record.raw["messageId"]

    def _is_gone(self, record: SimulatedRecord) -> bool:
        return record.state is RecordState.EXPIRED

    def _send_later(self, payload: object, lane: str | None, after: float) -> None:
        """Put a message into the queue `after` some seconds."""
        if after < 0:
            raise InvalidOptionError("after", f"is {after!r}", "Messages are sent now or later.")
        if lane is not None:
            self._keep_time(self.now + after)
        sent = EPOCH_MS + int((self.now + after) * 1000)
        raw = sqs_record(payload, sent, self._queue_name, _REGION, self._rng)
        if lane is not None:
            add_group(raw, lane, len(self.records))
        record = SimulatedRecord(label_of(raw), lane, raw, self.now + after)
        self.records.append(record)
        self._later(record.sent, lambda: self._arrive(record))

    def _arrive(self, record: SimulatedRecord) -> None:
        self._messages[_Message(record)] = None
        self._wake(self.now)

    def _wake(self, at: float) -> None:
        """Poll at a time, once for however many reasons."""
        if at not in self._wakes:
            self._wakes.add(at)
            self._later(at, lambda: self._woken(at))

    def _woken(self, at: float) -> None:
        self._wakes.remove(at)
        self._poll()

    def _poll(self) -> None:
        """Receive what can be received; invoke once the batch is full or the window is over."""
        if self._in_flight >= self._concurrency:
            return
        self._drop_expired()
        self._receive()
        if not self._gathered:
            return
        due = self._gathering_since + self._window
        if len(self._gathered) < self._batch_size and self.now < due:
            self._wake(due)
            return
        batch, self._gathered = self._gathered, []
        self._invoke(
            [receipt.message.record for receipt in batch],
            {"Records": [receipt.raw for receipt in batch]},
            lambda verdict, invocation: self._settle(batch, verdict, invocation),
        )
        self._wake(self.now)

    def _receive(self) -> None:
        """Receive, as often as it takes, until the batch is full or nothing is visible."""
        while self._receive_once():
            pass

    def _receive_once(self) -> bool:
        """Receive what is visible; say whether there may be more."""
        found = False
        for message in self._receivable():
            if len(self._gathered) >= self._batch_size:
                return False
            if self._max_receives is not None and message.receives >= self._max_receives:
                if not message.held:
                    self._move_to_dead_letters(message)
                continue
            if not self._gathered:
                self._gathering_since = self.now
            found = True
            message.receives += 1
            message.held += 1
            copied = message.held == 1 and self._is_copied()  # there are two copies at most
            message.visible_at = self.now if copied else self.now + self._visibility
            self._gathered.append(_Receipt(message, message.receives, self._received(message)))
            self._wake(message.visible_at)
        return found

    def _receivable(self) -> Iterator[_Message]:
        """The messages that a receive may return now, in the order in which it looks at them."""
        visible = [message for message in self._messages if message.visible_at <= self.now]
        self._rng.shuffle(visible)
        yield from visible

    def _is_copied(self) -> bool:
        """Whether this receive leaves the message visible, as a standard queue now and then does."""
        return self._happens(self._conditions.duplicate_rate)

    def _received(self, message: _Message) -> dict[str, Any]:
        raw = message.record.raw
        attributes = {**raw["attributes"], "ApproximateReceiveCount": str(message.receives)}
        if message.receives == 1:
            first = str(EPOCH_MS + int(self.now * 1000))
            attributes["ApproximateFirstReceiveTimestamp"] = first
            raw["attributes"]["ApproximateFirstReceiveTimestamp"] = first
        return {**raw, "receiptHandle": receipt_handle(self._rng), "attributes": attributes}

    def _settle(self, batch: list[_Receipt], verdict: Verdict, invocation: SimulatedInvocation) -> None:
        del invocation
        deleted: dict[SimulatedRecord, None] = {}  # of two copies one
        kept: list[SimulatedRecord] = []
        for position, receipt in enumerate(batch):
            record = receipt.message.record
            receipt.message.held -= 1
            if position in verdict.failed:
                kept.append(record)
            elif self._delete(receipt):
                deleted[record] = None
        if deleted:
            self._note(f"deleted: {listed(list(deleted))}")
        if kept:
            self._note(f"not deleted, visible again after the visibility timeout: {listed(kept)}")
        self._wake(self.now)

    def _delete(self, receipt: _Receipt) -> bool:
        message, record = receipt.message, receipt.message.record
        if record.state is RecordState.DONE:
            return True
        if message not in self._messages:
            return False  # it has gone to the dead-letter queue meanwhile
        if not self._receipt_is_good(receipt):
            self._note(f"not deleted, its visibility timeout was over before the reply: {listed([record])}")
            return False
        record.leave(RecordState.DONE, self.now)
        del self._messages[message]
        return True

    def _receipt_is_good(self, receipt: _Receipt) -> bool:
        """Whether a delete with it deletes: one of a standard queue's message that was received again may not."""
        return receipt.number == receipt.message.receives

    def _move_to_dead_letters(self, message: _Message) -> None:
        message.record.leave(RecordState.DEAD_LETTER, self.now)
        del self._messages[message]
        self._note(f"to the dead-letter queue, received {message.receives} times: {listed([message.record])}")

    def _drop_expired(self) -> None:
        expired = [m for m in self._messages if m.record.sent + self._retention <= self.now]
        for message in expired:
            message.record.leave(RecordState.EXPIRED, self.now)
            del self._messages[message]
            self._note(f"LOST, in the queue for longer than the retention period: {listed([message.record])}")


@final
class SqsMapping(QueueMapping):
    """An SQS standard queue with a Lambda function behind it.

    Messages come in any order, as a standard queue's do, up to five batches side by side. One that is not deleted
    is visible again after the visibility timeout, and once received often enough goes to the dead-letter queue.

    Args:
        function: The Lambda function: ``function(event, context)``, of whatever kind.
        batch_size: Most messages of a batch, 1 to 10,000; above 10 it takes a window.
        maximum_batching_window: Seconds, 0 to 300, in which a batch is gathered.
        maximum_concurrency: Most invocations at a time.
        visibility_timeout: Seconds for which a received message is hidden.
        max_receive_count: Receives after which a message goes to the dead-letter queue; None for a queue without
            one, where a message that never succeeds comes again until the retention period is over.
        retention: Seconds for which the queue keeps a message.
        conditions: What every mapping has: see `ConditionOptions`.

    Raises:
        InvalidOptionError: AWS would refuse an option, or two of them together.
    """

    source: ClassVar[EventSource] = EventSource.SQS
    _queue_name = "orders"

    def __init__(
        self,
        function: LambdaFunction,
        *,
        batch_size: int = 10,
        maximum_batching_window: float = 0.0,
        maximum_concurrency: int = _POLLERS,
        visibility_timeout: float = 30.0,
        max_receive_count: int | None = 5,
        retention: float = 345_600.0,
        **conditions: Unpack[ConditionOptions],
    ) -> None:
        check_count("batch_size", batch_size, 1, 10_000)
        check_range("maximum_batching_window", maximum_batching_window, 0, 300)
        check_count("maximum_concurrency", maximum_concurrency, 1, 1000)
        if batch_size > 10 and maximum_batching_window < 1:  # noqa: PLR2004 - AWS's figures
            raise InvalidOptionError(
                "batch_size",
                f"is {batch_size} without a batching window",
                "Above 10, AWS wants maximum_batching_window=1 or more.",
            )
        super().__init__(
            function,
            Conditions.of(conditions),
            batch_size=batch_size,
            window=maximum_batching_window,
            concurrency=maximum_concurrency,
            visibility_timeout=visibility_timeout,
            max_receive_count=max_receive_count,
            retention=retention,
        )

    def send(self, *payloads: object, after: float = 0.0) -> None:
        """Put messages into the queue.

        Args:
            payloads: Their bodies: text and bytes (UTF-8) as they are, anything else as JSON.
            after: Seconds from now.
        """
        for payload in payloads:
            self._send_later(payload, None, after)


@final
class SqsFifoMapping(QueueMapping):
    """An SQS FIFO queue with a Lambda function behind it.

    A message group's messages come in order, and none of them comes while an earlier one is hidden: received and
    not deleted. Batches of different groups run side by side.

    Args:
        function: The Lambda function: ``function(event, context)``, of whatever kind.
        batch_size: Most messages of a batch, 1 to 10.
        maximum_concurrency: Most invocations at a time; None for as many as there are groups.
        visibility_timeout: Seconds for which a received message is hidden.
        max_receive_count: Receives after which a message goes to the dead-letter queue, and the rest of its group
            goes on without it; None for a queue without one.
        retention: Seconds for which the queue keeps a message.
        conditions: What every mapping has: see `ConditionOptions`.

    Raises:
        InvalidOptionError: AWS would refuse an option, or two of them together.
    """

    source: ClassVar[EventSource] = EventSource.SQS_FIFO
    _queue_name = "orders.fifo"

    def __init__(
        self,
        function: LambdaFunction,
        *,
        batch_size: int = 10,
        maximum_concurrency: int | None = None,
        visibility_timeout: float = 30.0,
        max_receive_count: int | None = 5,
        retention: float = 345_600.0,
        **conditions: Unpack[ConditionOptions],
    ) -> None:
        check_count("batch_size", batch_size, 1, 10)
        concurrency = 1000 if maximum_concurrency is None else maximum_concurrency
        check_count("maximum_concurrency", concurrency, 1, 1000)
        super().__init__(
            function,
            Conditions.of(conditions),
            batch_size=batch_size,
            window=0.0,
            concurrency=concurrency,
            visibility_timeout=visibility_timeout,
            max_receive_count=max_receive_count,
            retention=retention,
        )

    def send(self, *payloads: object, group: str, after: float = 0.0) -> None:
        """Put messages of one group into the queue.

        Args:
            payloads: Their bodies: text and bytes (UTF-8) as they are, anything else as JSON.
            group: Their message group.
            after: Seconds from now.
        """
        if not isinstance(group, str) or not group:  # pyright: ignore[reportUnnecessaryIsInstance] - a test's mistake
            raise InvalidOptionError("group", f"is {group!r}", "A message group is a text.")
        for payload in payloads:
            self._send_later(payload, group, after)

    def _receivable(self) -> Iterator[_Message]:
        """Of each group its messages up to the first hidden one; all of one group, then the next."""
        groups: dict[object, list[_Message]] = {}
        for message in self._messages:
            groups.setdefault(message.record.lane, []).append(message)
        for members in groups.values():
            for message in members:
                if message.visible_at > self.now:
                    break
                yield message

    def _is_copied(self) -> bool:
        return False

    def _receipt_is_good(self, receipt: _Receipt) -> bool:
        """Whether a delete with it deletes: after the visibility timeout it fails."""
        message = receipt.message
        return receipt.number == message.receives and self.now <= message.visible_at
