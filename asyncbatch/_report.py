"""The report of a run: the sealed ledger read as outcomes, failures, a checkpoint and Lambda's reply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NotRequired, TypedDict, final

from asyncbatch._errors import FailedBatchError, SequenceOrderError
from asyncbatch._events import Batch
from asyncbatch._failure_texts import TRACED_FAILURES, encodable
from asyncbatch._ledger import Ledger, SkipReason
from asyncbatch._raised import type_name
from asyncbatch._records import ItemIdentifier
from asyncbatch._sources import EventSource, Redelivery, SourceRules

if TYPE_CHECKING:
    from asyncbatch._outcomes import Failed, Outcome, Skipped, Succeeded

RaiseOnFailure = Literal["never", "entire_batch", "any"]


class BatchItemFailure(TypedDict):
    """One entry of a partial batch response."""

    itemIdentifier: ItemIdentifier


class BatchResponse(TypedDict):
    """What Lambda reads as a partial batch response; ``state`` belongs to tumbling windows alone."""

    batchItemFailures: list[BatchItemFailure]
    state: NotRequired[dict[str, Any]]


@final
class Counts(NamedTuple):
    """How many records ended in which way.

    Attributes:
        total: Records in the batch.
        succeeded: Records whose handler returned in time.
        failed: Records that were started, or refused by a key function, and did not succeed.
        skipped: Records that were not started.
    """

    total: int
    succeeded: int
    failed: int
    skipped: int


@final
class BatchReport:
    """What became of every record of a batch.

    Args:
        batch: The records.
        ledger: Their outcomes; sealed here, if they were not.
        lane_keys: The lane of every record, where lanes were asked for; else None.
        raise_on_failure: When `response` raises.
        duration: Seconds from the call to this report.
        still_running: Positions of records whose task or thread goes on.
    """

    __slots__ = (
        "_batch",
        "_lane_keys",
        "_ledger",
        "_outcomes",
        "_raise_on_failure",
        "_succeeded",
        "all_succeeded",
        "duration",
        "still_running",
    )

    duration: float
    """Seconds from the call to this report."""

    def __init__(
        self,
        batch: Batch,
        ledger: Ledger,
        *,
        lane_keys: Sequence[Hashable] | None,
        raise_on_failure: RaiseOnFailure,
        duration: float,
        still_running: Sequence[int] = (),
    ) -> None:
        self._batch = batch
        self._ledger = ledger
        self._succeeded: Final = ledger.seal(SkipReason.DEADLINE)
        self.all_succeeded: Final = 0 not in self._succeeded
        """Whether every record succeeded."""
        self._lane_keys = lane_keys
        self._raise_on_failure: Final = raise_on_failure
        self._outcomes: tuple[Outcome, ...] | None = None
        self.duration = duration
        self.still_running: tuple[ItemIdentifier, ...] = (
            tuple(map(batch.identifier, still_running)) if still_running else ()
        )
        """Identifiers of records whose task or thread could not be stopped: it may overlap their redelivery."""

    def __repr__(self) -> str:
        counts = self.counts
        return (
            f"<BatchReport {self.source.value if self.source else 'empty'}: {counts.succeeded} succeeded, "
            f"{counts.failed} failed, {counts.skipped} skipped>"
        )

    @property
    def source(self) -> EventSource | None:
        """The event source; None for an empty batch whose source nothing tells."""
        return None if self._batch.rules is None else self._batch.rules.source

    @property
    def counts(self) -> Counts:
        """How many records ended in which way."""
        total, succeeded = len(self._succeeded), self._succeeded.count(1)
        failed = len(self._ledger.failures)
        return Counts(total, succeeded, failed, total - succeeded - failed)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One outcome per record, in input order."""
        if self._outcomes is None:
            self._outcomes = tuple(map(self.outcome, range(len(self._succeeded))))
        return self._outcomes

    @property
    def succeeded(self) -> tuple[Succeeded, ...]:
        """The records that succeeded, in input order: what a queue may delete."""
        from asyncbatch._outcomes import Succeeded  # noqa: PLC0415 - most replies need no outcomes

        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Succeeded))

    @property
    def unsuccessful(self) -> tuple[Failed | Skipped, ...]:
        """The records that did not succeed, in input order: what a queue has to deliver again."""
        from asyncbatch._outcomes import Succeeded  # noqa: PLC0415 - most replies need no outcomes

        return tuple(outcome for outcome in self.outcomes if not isinstance(outcome, Succeeded))

    def outcome(self, position: int) -> Outcome:
        """The outcome of the record at a position of the batch, from 0."""
        from asyncbatch._outcomes import outcome_of  # noqa: PLC0415 - most replies need no outcomes

        return outcome_of(self._batch, self._ledger, position, succeeded=bool(self._succeeded[position]))

    # --- what the event source is told ----------------------------------------------------------------

    @property
    def failures(self) -> list[ItemIdentifier]:
        """The item identifiers that the reply names, each once, in input order.

        Which ones a reply must name belongs to the event source: every record that did not succeed (SQS); the
        first of its message group or topic-partition and every later one of it (FIFO, Kafka); the first in the
        batch alone (Kinesis and DynamoDB streams, where it is the checkpoint).

        Raises:
            SequenceOrderError: the batch of a stream is out of order, and a record did not succeed.
        """
        rules = self._batch.rules
        if rules is None or self.all_succeeded:
            return []
        self._check_order(rules)
        named = {self._batch.names[position]: position for position in self._named(rules)}
        return [self._batch.identifier(position) for position in named.values()]

    @property
    def checkpoint(self) -> ItemIdentifier | None:
        """Where a Kinesis or DynamoDB stream will go on: the first record in batch position that did not succeed.

        None when every record succeeded, and for queues and Kafka, whose positions are one per topic-partition:
        there the first entry of `failures` for each says where it goes on.

        Raises:
            SequenceOrderError: the batch is out of order, and a record did not succeed.
        """
        rules = self._batch.rules
        if rules is None or rules.redelivery is not Redelivery.FROM_LOWEST or self.all_succeeded:
            return None
        return self.failures[0]

    def response(self, state: dict[str, Any] | None = None) -> BatchResponse:
        """The partial batch response, as Lambda's event source mapping reads it.

        Args:
            state: The new state of a tumbling window; by default the event's own is echoed.

        Raises:
            FailedBatchError: ``raise_on_failure`` asks for it.
            SequenceOrderError: the batch of a stream is out of order, and a record did not succeed.
        """
        response: BatchResponse = {"batchItemFailures": []}
        if not self.all_succeeded:
            self._raise_where_asked()
            response["batchItemFailures"] = [{"itemIdentifier": name} for name in self.failures]
        # The reply for a tumbling window must hold a state: without one Lambda takes the invocation as failed.
        # https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
        if state is not None or self._batch.window_state is not None:
            response["state"] = (self._batch.window_state or {}) if state is None else state
        return response

    def summary(self) -> str:
        """Counts by kind and the first failures; at most about 20 KiB.

        No payload is in it; the texts of the handler's exceptions are, cut at 1 KiB each.
        """
        return "\n".join(self._summary_lines())

    # --- the parts ------------------------------------------------------------------------------------

    def _named(self, rules: SourceRules) -> Iterator[int]:
        """The positions that the reply names, by the event source's rule."""
        if rules.redelivery is Redelivery.FROM_LOWEST:
            yield self._succeeded.index(0)
            return
        if rules.redelivery is Redelivery.NAMED and self._lane_keys is None:
            yield from (position for position, done in enumerate(self._succeeded) if not done)
            return
        units = self._lane_keys  # a queue without an order of its own gets the one that the user asked for
        if units is None or rules.redelivery is not Redelivery.NAMED:
            units = self._batch.lane_keys(rules.unit)
        halted: set[Hashable] = set()
        for position, unit in enumerate(units):
            if not self._succeeded[position]:
                halted.add(unit)
            if unit in halted:
                yield position

    def _check_order(self, rules: SourceRules) -> None:
        """Batch position decides order, and a stream's own numbers must agree with it."""
        if rules.redelivery is Redelivery.NAMED:
            return  # no stream, no numbers
        last: dict[Hashable, int] = {}
        units = self._batch.lane_keys(rules.unit)
        for position, number in enumerate(map(rules.position, self._batch.names)):
            if number is None:
                continue
            unit = units[position]
            if number < last.get(unit, number):
                raise SequenceOrderError(position)
            last[unit] = number

    def _raise_where_asked(self) -> None:
        counts = self.counts
        if self._raise_on_failure == "any" or (
            self._raise_on_failure == "entire_batch" and not counts.succeeded
        ):
            raise FailedBatchError(counts.total - counts.succeeded, counts.total, self.summary())

    def _summary_lines(self) -> Iterator[str]:
        counts = self.counts
        yield (
            f"{counts.succeeded} of {counts.total} records succeeded, {counts.failed} failed, "
            f"{counts.skipped} skipped, in {self.duration:.3f} s"
        )
        kinds: Counter[str] = Counter()
        for failure in self._ledger.failures.values():
            kind = failure.reason.value
            kinds[kind if failure.error is None else f"{kind}: {type_name(failure.error)}"] += 1
        kinds.update(f"skipped: {reason.value}" for reason in self._ledger.skips.values())
        yield from (f"  {number} x {kind}" for kind, number in kinds.most_common(TRACED_FAILURES))
        for position in sorted(self._ledger.failures)[:TRACED_FAILURES]:
            failure = self._ledger.failures[position]
            place = f" ({failure.trace})" if failure.trace else ""
            yield f"  {_shown(self._batch.identifier(position))}: {failure.message}{place}"
        if self.still_running:
            yield f"  still running: {', '.join(map(_shown, self.still_running[:TRACED_FAILURES]))}"


def _shown(identifier: ItemIdentifier) -> str:
    return encodable(f"{identifier!s:.200}")  # AWS's are shorter; hand-made events may have others
