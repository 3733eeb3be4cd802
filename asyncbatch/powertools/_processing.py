"""How a processor's records are run: one after another, or by the engine's scheduler.

Both ask the processor for each record (`_process_record`, `_async_process_record`, which users override), and a
record has succeeded only if that gives a tuple that starts with "success". What was not run to its end (because of
the deadline, or of a failure that holds it back) goes through the processor's failure handler all the same.
"""

# What users override has names with underscores in the peer's API, and may return anything.
# pyright: reportPrivateUsage=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Iterable, Iterator, MutableSequence, Sequence
from time import monotonic, sleep  # noqa: TID251 - where no loop runs, there is none to tell the time
from typing import Any, Final, Protocol

from asyncbatch._deadline import budget_of, default_margin, remaining_time
from asyncbatch._events import Batch
from asyncbatch._failure_texts import describe
from asyncbatch._handlers import BoundHandler
from asyncbatch._invocation import Job, run_where_clients_live
from asyncbatch._lanes import Halts
from asyncbatch._ledger import Failure, FailureReason, SkipReason
from asyncbatch._log import Log
from asyncbatch._options import Options
from asyncbatch._raised import type_name
from asyncbatch._scheduler import is_interrupt
from asyncbatch._sources import FailureScope, SourceRules
from asyncbatch._undone import CONTAINER_TYPES, PLAIN_TYPES, undone_work
from asyncbatch.powertools._sources import UNREPORTED
from asyncbatch.powertools._turns import Tally, Turn
from asyncbatch.powertools.exceptions import ExceptionInfo, RecordNotProcessedError

Entry = tuple[Any, ...]
"""What users get for each record: ``("success", result, record)`` or ``("fail", text, record)``."""


class Processor(Protocol):
    """What running records asks of a processor."""

    success_messages: list[Any]
    _concurrency_: int | None
    _own_entries_: bool

    @property
    def _held_back_(self) -> ExceptionInfo: ...

    def _begin_run_(self, records: Sequence[Any]) -> SourceRules: ...

    def _keep_apart_(self, records: Iterable[Any]) -> None: ...

    def _process_record(self, record: Any) -> Any: ...

    async def _async_process_record(self, record: Any) -> Any: ...

    def _tell_failure_(self, record: Any, exception: ExceptionInfo) -> Any: ...


logger: Final = Log("asyncbatch.powertools")

_USUAL: Final = 3  # the length of an entry
_WHOLE_BATCH: Final = 2**31


@functools.lru_cache(maxsize=32)
def options_for(concurrency: int | None) -> Options:
    """The engine's options for a processor.

    Args:
        concurrency: Most records in flight; None for the whole batch.

    Raises:
        InvalidOptionError: it is no whole number from 1 on.
    """
    return Options(concurrency=_WHOLE_BATCH if concurrency is None else concurrency)


def claims_success(entry: Any) -> bool:
    """Whether a record's entry says that it succeeded."""
    return bool(issubclass(type(entry), tuple) and entry and entry[0] == "success")


def earned(entry: Any) -> bool:
    """Whether it says so with a result that is no work still to be done."""
    if not claims_success(entry):
        return False
    return len(entry) == 1 or type(entry[1]) in PLAIN_TYPES or undone_work(entry[1]) is None


def _refusal(entry: Any) -> tuple[FailureReason, None, str]:
    """Why an entry earns nothing, for the ledger."""
    if claims_success(entry):
        return (
            FailureReason.REFUSED,
            None,
            f"the record handler returned {undone_work(entry[1]) or 'work undone'}",
        )
    return FailureReason.RAISED, None, "its entry does not start with 'success'"


def finish(turn: Turn | None, result: Any) -> Any:
    """What a handler's result comes to where records run one after another: an awaitable is run to its end first.

    Raises:
        TypeError: the result is work that nobody did.
        BaseException: what the awaitable raised.
    """
    if type(result) not in CONTAINER_TYPES and inspect.isawaitable(result):
        result = run_to_end(turn, result)
    refuse_undone(result)
    return result


async def finish_async(result: Any) -> Any:
    """The same where records run side by side."""
    if inspect.isawaitable(result):
        result = await result
    refuse_undone(result)
    return result


def refuse_undone(result: object) -> None:
    """Refuse a result that is work which nobody did.

    Raises:
        TypeError: it is.
    """
    problem = undone_work(result)
    if problem is not None:
        message = f"the record handler returned {problem}"
        raise TypeError(message)


# --- one after another --------------------------------------------------------------------------------


def run_in_order(processor: Processor, turn: Turn, records: Sequence[Any]) -> list[Entry]:
    """Run records one after another, in batch position.

    Args:
        processor: Who handles them.
        turn: The use that this run belongs to.
        records: The raw records.
    """
    tally = Tally(processor._begin_run_(records), records)
    turn.tallies.append(tally)
    if turn.context is not None:
        turn.stop_at = None
        budget, remaining = _time_left(turn.context)
        if budget is not None and remaining is not None:
            turn.stop_at = monotonic() + budget
            turn.margin = remaining - budget
    entries: list[Entry] = []
    left = iter(records)
    odd: tuple[()] | tuple[Any] = ()
    while True:
        begun = len(entries)
        try:
            odd = _while_all_succeed(processor, turn.stop_at, left, entries)
        finally:
            tally.marks[begun : len(entries)] = [1] * (len(entries) - begun)
        if not odd:
            break
        entries.append(_unearned(processor, tally, len(entries), *odd))
        if tally.rules.scope is not FailureScope.RECORD:
            _go_on(processor, turn.stop_at, tally, entries)
            break
    if len(entries) < len(records):
        unprocessed = range(len(entries), len(records))
        entries += _tell_at_the_end(processor, tally, unprocessed)
        _warn_of_deadline(tally)
    return entries


def _while_all_succeed(
    processor: Processor, stop_at: float | None, records: Iterator[Any], entries: list[Entry]
) -> tuple[()] | tuple[Any]:
    """Process records until one does not succeed: most batches to their end, so with little to do for each record.

    Returns:
        The entry that is no success; empty at the end, and at the deadline. ``entries`` gets those before it.
    """
    process, own_entries = processor._process_record, processor._own_entries_
    for record in records:
        if stop_at is not None and monotonic() >= stop_at:
            break
        entry: Any = process(record)
        # The usual entry is told without a call.
        if (
            (own_entries or (type(entry) is tuple and len(entry) == _USUAL and type(entry[1]) in PLAIN_TYPES))
            and entry[0] == "success"
        ) or earned(entry):
            entries.append(entry)
        else:
            return (entry,)
    return ()


def _go_on(processor: Processor, stop_at: float | None, tally: Tally, entries: list[Entry]) -> None:
    """Process what comes behind a first failure, the last of ``entries``, but for what failures hold back."""
    halts = Halts(tally.batch, tally.rules, tally.ledger)
    halts.note(len(entries) - 1)
    for position in range(len(entries), len(tally.records)):
        if stop_at is not None and monotonic() >= stop_at:
            return
        if halts.holds(position):
            entries.append(_tell_unprocessed(processor, tally, position))
            continue
        entry = processor._process_record(tally.records[position])
        if earned(entry):
            entries.append(entry)
            tally.marks[position] = 1
        else:
            entries.append(_unearned(processor, tally, position, entry))
            halts.note(position)


def _unearned(processor: Processor, tally: Tally, position: int, entry: Any) -> Entry:
    """The entry of a record that did not succeed; a success that was claimed with work undone is taken back."""
    if not claims_success(entry):
        tally.note(position, entry)
        return entry  # type: ignore[no-any-return]  # whatever an overridden method gave
    tally.ledger.fail(position, *_refusal(entry))
    _withdraw(processor, tally.records[position])
    return _tell_unprocessed(processor, tally, position)


def run_to_end(turn: Turn | None, awaitable: Awaitable[Any]) -> Any:
    """Run what a handler returned to its end, for a processor that runs records one after another.

    Args:
        turn: The use that the record belongs to.
        awaitable: What the handler returned.

    Returns:
        What the awaitable gave.

    Raises:
        BaseException: what the awaitable raised.
        RecordNotProcessedError: it did not end before the deadline, or left a cancellation behind.
    """
    results: list[Any] = []
    raised: list[Exception] = []

    async def wait(_: object) -> None:
        try:
            results.append(await awaitable)
        except Exception as error:  # noqa: BLE001 - raised again below, with its traceback
            raised.append(error)

    budget = remaining = None
    if turn is not None and turn.stop_at is not None:
        budget = max(0.0, turn.stop_at - monotonic())
        remaining = budget + turn.margin
    batch = Batch(UNREPORTED, [{}], ["the record"], (), 1)
    job = Job(options_for(1), batch, BoundHandler(wait), None, budget, None)
    left = run_where_clients_live(job, remaining)
    if job.ledger.seal(left) == b"\1":
        if raised:
            raise raised[0]
        return results[0]
    if inspect.iscoroutine(awaitable) and inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED:
        awaitable.close()  # one that was begun may swallow that as well, and never return from here
    failure = job.ledger.failures.get(0)
    if failure is not None and failure.error is not None:
        raise failure.error
    raise RecordNotProcessedError(_explained(failure, job.ledger.skips.get(0)))


# --- by the scheduler ---------------------------------------------------------------------------------


def run_concurrently(processor: Processor, turn: Turn, records: Sequence[Any]) -> list[Entry]:
    """Run records side by side, as the lanes of their event source allow.

    Args:
        processor: Who handles them.
        turn: The use that this run belongs to.
        records: The raw records.

    Returns:
        The entries, in batch position; the processor's lists are in that order as well.

    Raises:
        BaseException: what an overridden method let out. Nothing is left running.
    """
    tally = Tally(processor._begin_run_(records), records)
    turn.tallies.append(tally)
    budget, remaining = _time_left(turn.context)
    entries: dict[int, Any] = {}
    own_entries = processor._own_entries_

    def judge(position: int, entry: Any) -> bool:
        entries[position] = entry
        # The usual entry is told without a call, which would be paid per record.
        if (
            (own_entries or (type(entry) is tuple and len(entry) == _USUAL and type(entry[1]) in PLAIN_TYPES))
            and entry[0] == "success"
        ) or earned(entry):
            return True
        tally.ledger.fail(position, *_refusal(entry))
        tally.note(position, entry)
        return False

    handler = BoundHandler(processor._async_process_record)
    job = Job(options_for(processor._concurrency_), tally.batch, handler, None, budget, judge)
    tally.ledger = job.ledger
    lists = [getattr(processor, name, []) for name in ("success_messages", "fail_messages", "exceptions")]
    marks = list(map(len, lists))
    is_raised = True
    try:
        left = run_where_clients_live(job, remaining)
        is_raised = False
    finally:
        if is_raised or job.left_behind:  # an alarm may have come between a record's end and the note of it
            begun, ended = job.ledger.started, job.ledger.ended
            processor._keep_apart_(
                record
                for at, record in enumerate(tally.records)
                if begun[at] is not None and ended[at] is None
            )
    job.ledger.seal(left)
    if not tally.all_succeeded:
        _tell_the_rest(processor, tally, entries)
    as_ended = list(entries)
    in_order = sorted(as_ended)
    if as_ended != in_order:
        _sort_lists(lists, marks, entries)
    return [entries[position] for position in in_order]


def _tell_the_rest(processor: Processor, tally: Tally, entries: dict[int, Any]) -> None:
    """Let the failure handler know of every record that did not succeed and of which it was not told."""
    untold: list[int] = []
    for position, succeeded in enumerate(tally.succeeded):
        if succeeded or (position in entries and not claims_success(entries[position])):
            continue
        if position in entries:  # with success too late, a cancellation pending, or work undone
            del entries[position]
            _withdraw(processor, tally.records[position])
        untold.append(position)
    entries.update(zip(untold, _tell_at_the_end(processor, tally, untold), strict=True))
    _warn_of_deadline(tally)


def _withdraw(processor: Processor, record: object) -> None:
    messages: list[Any] = getattr(processor, "success_messages", [])
    for index, message in enumerate(messages):
        if message is record:
            del messages[index]
            return


def _sort_lists(lists: Sequence[MutableSequence[Any]], marks: Sequence[int], entries: dict[int, Any]) -> None:
    """Bring what a run added to the processor's lists into batch position; it came as records ended."""
    succeeded = [position for position, entry in entries.items() if earned(entry)]
    others = [position for position, entry in entries.items() if not earned(entry)]
    for items, mark, positions in zip(lists, marks, (succeeded, others, others), strict=True):
        added = items[mark:] if isinstance(items, list) else []
        if len(added) == len(positions):  # else an overridden handler keeps books of its own
            pairs = sorted(zip(positions, added, strict=True), key=lambda pair: pair[0])
            items[mark:] = [item for _, item in pairs]


# --- records that were not run to their end -----------------------------------------------------------


def _tell_at_the_end(processor: Processor, tally: Tally, positions: Sequence[int]) -> list[Entry]:
    """Let the processor's failure handler have records that were not run to their end, when all others have ended.

    What it raises now ends nothing any more, and is logged: it would cost the other records their reply.
    """
    entries: list[Entry] = []
    errors: list[str] = []
    for position in positions:
        try:
            entries.append(_tell_unprocessed(processor, tally, position))
        except BaseException as error:
            if is_interrupt(error):
                raise
            errors.append(type_name(error))
            entries.append(("fail", describe(error), tally.records[position]))
    if errors:
        logger.warning(
            "failure_handler raised for %d of %d records that were not processed, which are reported all the "
            "same (%s)",
            len(errors),
            len(positions),
            ", ".join(sorted(set(errors))),
        )
    return entries


def _tell_unprocessed(processor: Processor, tally: Tally, position: int) -> Entry:
    """Let the processor's failure handler have a record that was not started, or not finished."""
    ledger = tally.ledger
    failure = ledger.failures.get(position)
    if failure is None:
        ledger.skip(position, SkipReason.DEADLINE)
    skip = ledger.skips.get(position)
    exception: ExceptionInfo
    if skip in {SkipReason.LANE_HALTED, SkipReason.BATCH_HALTED}:
        exception = processor._held_back_
    elif failure is not None and failure.error is not None:
        exception = type(failure.error), failure.error, None
    else:
        refused = failure is not None and failure.reason is FailureReason.REFUSED
        error = (TypeError if refused else RecordNotProcessedError)(_explained(failure, skip))
        exception = type(error), error, None
    entry: Entry = processor._tell_failure_(tally.records[position], exception)
    tally.note(position, entry)
    return entry


def _explained(failure: Failure | None, skip: SkipReason | None) -> str:
    if failure is None:
        stopped = skip is SkipReason.STOPPED
        return "not started: the run was stopped" if stopped else "not started before the deadline"
    if failure.reason is FailureReason.DEADLINE:
        return "not finished before the deadline"
    if failure.reason is FailureReason.STOPPED:
        return "not finished: the run was stopped"
    return failure.message


def _warn_of_deadline(tally: Tally) -> None:
    ledger = tally.ledger
    late = sum(reason is SkipReason.DEADLINE for reason in ledger.skips.values())
    late += sum(failure.reason is FailureReason.DEADLINE for failure in ledger.failures.values())
    if late:
        logger.warning(
            "%d of %d records were not finished before the deadline and are reported as failed",
            late,
            len(tally.records),
        )


def _time_left(context: object) -> tuple[float | None, float | None]:
    """Seconds until the batch must be sealed, and until Lambda's deadline; None without one.

    Tests often pass a context with a few milliseconds left, or none, for ever. A remaining time that leaves no
    room for a single record, and stands still, is no deadline.
    """
    remaining = None if context is None else _remaining(context)
    if remaining is None:
        return None, None
    margin = default_margin(remaining)
    if remaining <= margin:
        sleep(_A_WHILE)
        if _remaining(context) == remaining:
            logger.info("the context's remaining time stands still at %.3f s: no deadline", remaining)
            return None, None
    return budget_of(remaining, margin), remaining


def _remaining(context: object) -> float | None:
    try:
        return remaining_time(context)
    except Exception as error:  # noqa: BLE001 - a test's stand-in; Lambda's own raises nothing
        logger.info("the context does not tell the remaining time (%s): no deadline", type(error).__name__)
        return None


_A_WHILE: Final = 0.003  # a real one counts milliseconds
