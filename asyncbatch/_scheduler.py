"""The scheduler: the only file that runs tasks.

A task per record, never more than the limit at once. A task of its own gives each record its own context
variables, cancellation, timeouts and `asyncio.current_task`. It is started eagerly where the interpreter can
(3.12 and later), so that a handler that never waits costs no turn of the loop. The end of a record decides,
in plain synchronous code, what starts next.

What decides the shape of this file was measured; the traps are:

- a handler runs *inside* the constructor of an eager task, so starting is a loop, never a recursion;
- a task copies the context it is created in, which may be that of a record that just ended: each record gets a
  copy of the run's own, in which nothing runs, because what a hook or a finalizer sets would reach later records;
- `KeyboardInterrupt` and `SystemExit` leave every other task pending if they escape from a task.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from asyncio import Task
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar, copy_context
from functools import partial
from time import monotonic  # noqa: TID251 - see clock_of
from typing import TYPE_CHECKING, Any, Final, cast, final

from asyncbatch._failure_texts import describe_invalid
from asyncbatch._ledger import FailureReason, Ledger, SkipReason
from asyncbatch._raised import in_lambda, traceback_of
from asyncbatch._records import UNREAD, Record
from asyncbatch._undone import undone_work
from asyncbatch._views import RawRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncbatch._follower import Follower
    from asyncbatch._lanes import Lanes
    from asyncbatch._options import Options
    from asyncbatch._workers import Threads

CAN_START_EAGERLY: Final = sys.version_info >= (3, 12)

# Handlers that never wait give the loop a turn this often (s): short enough for a heartbeat, long enough that
# the turn (microseconds) does not count.
_SLICE: Final = 0.01
# Nor do more records than this many begin to wait in one slice: those that wait briefly end while what they use is
# still in the processor's caches, and before the garbage collector looks at it.
_BURST: Final = 64
# Where tasks cannot start eagerly, a slice is a number of starts, because nothing runs before the next turn.
# It grows while turns are short and shrinks while they are long.
_FIRST_BURST: Final = 16
# After the second cancellation a handler that obeys it needs this many turns of the loop to end.
_LAST_TURNS: Final = 3

_NO_EXPIRIES: Final[deque[tuple[float, int]]] = deque()
_NONE_UNBEGUN: Final[tuple[list[int], list[int]]] = ([], [])
_CANCELLED: Final = "cancelled by the handler"
_PENDING_CANCELLATION: Final = "a cancellation was pending when the handler returned"


@final
class ThreadedRecord:
    """What a handler that works in threads has to know of its record.

    Args:
        threads: The run's places for threads.
        position: The record's place in the batch.
        begin: Lets the record's timeout begin to count; to be called in the loop's thread. None without a timeout.
    """

    __slots__ = ("begin", "position", "threads")

    def __init__(self, threads: Threads, position: int, begin: Callable[..., None] | None) -> None:
        self.threads = threads
        self.position = position
        self.begin = begin


threaded_record: Final[ContextVar[ThreadedRecord | None]] = ContextVar("threaded_record", default=None)
"""Set for the record in whose task it is read, where its handler works in threads."""

_TASK_NAME: Final = "asyncbatch record"

Judge = Callable[[int, object], bool]
"""Decides whether what the handler of the record at a position returned is success."""


class Observer:
    """What a run tells of its records; nobody looks by default, and then nothing is called."""

    def started(self, position: int, record: Any) -> None:
        """A record's handler is about to start; called in the record's task."""

    def ended(self, position: int) -> None:
        """A record whose start was told has ended; the ledger says how. Called in the record's context."""

    def limit_changed(self, old: int, new: int) -> None:
        """The limit of records in flight has moved."""


@final
class Run:
    """One run over one batch.

    The whole mutable state:

    - ``_live``: the tasks in flight, by position;
    - ``_expiries``: when timeouts end, and whose, in order of start and so of expiry; of records that have ended
      as well, until the timer has passed them;
    - ``_unbegun``: positions whose tasks may not have had their first step, started before the last turn of
      the loop and since; where tasks start eagerly there are none;
    - ``_contexts``: the context of every record in flight, by position, for the observer;
    - ``_task_options``: what the next task is made with; ``context`` is the last one's;
    - ``_handles``: what the loop will call: the deadline, the next slice, the next expiry, the next look at
      ``_unbegun``, and by position the next cancellation of a record that did not obey the last;
    - ``_begins``: whether a record's task has something to do before its handler is called;
    - ``_admitting``: whether more may be started, now or when a lane moves up;
    - ``_cut_short``: whether it is over for the records in flight: the deadline, or an error;
    - ``_returned``: the position of the last record whose handler returned plainly; where its task ends, which is
      next, that becomes its success, unless a cancellation is pending or it took too long;
    - ``_paused``: whether it waits for the event loop to open the next slice;
    - ``_in_flight``: how many were in flight when it began to wait for the next slice, or had started the last;
    - ``_slice_ends``, ``_burst``, ``_room``: the slice: until when, and how many starts, at most and left;
    - ``_settled``: what is called when nothing is in flight and nothing may start, or the time is up;
    - ``_left``: why what was never started was not;
    - ``_trouble``: an error of our own, a cancellation, or an interrupt outside Lambda, raised at the end;
    - ``over``: the run is over; timers and stragglers that come later do nothing.

    Args:
        raws: The raw records.
        lanes: Who may start.
        ledger: Where outcomes are noted.
        handler: The record handler, its injected arguments bound.
        record_type: The view that it gets.
        options: What the engine was asked to do.
        limit: Most records in flight, at first.
        follower: Who is told how records end, and tells what the limit is now; None for a limit that stays.
        stop_at: When the batch is sealed, in seconds of the loop's clock; None for no deadline.
        threads: The worker threads, where the handler works in some: then a record's timeout begins to count
            with its thread, which may have to wait for its turn.
        observer: Who is told of starts and ends; None for nobody.
        judge: Decides whether a record succeeded, for handlers that take raw records and turn what those raise
            into results themselves: what they raise all the same ends the run, but once the time is up it is
            no more than the record's failure. None for the rule that a plain return is success and an exception
            the record's failure.
    """

    __slots__ = (
        "_admitting",
        "_begins",
        "_burst",
        "_context",
        "_contexts",
        "_cut_short",
        "_eager",
        "_expiries",
        "_follower",
        "_grace",
        "_handler",
        "_handles",
        "_in_flight",
        "_judge",
        "_lanes",
        "_ledger",
        "_left",
        "_limit",
        "_live",
        "_loop",
        "_observer",
        "_paused",
        "_rate",
        "_raws",
        "_reader",
        "_record_timeout",
        "_record_type",
        "_returned",
        "_room",
        "_settled",
        "_slice_ends",
        "_stop_at",
        "_task_options",
        "_tell_success",
        "_threads",
        "_time",
        "_trouble",
        "_unbegun",
        "over",
    )

    _loop: asyncio.AbstractEventLoop
    _time: Callable[[], float]
    _context: Context
    _lanes: Lanes

    def __init__(  # noqa: PLR0917 - keywords would be paid per batch
        self,
        raws: Sequence[RawRecord],
        lanes: Lanes,
        ledger: Ledger,
        handler: Callable[..., Awaitable[object]],
        record_type: type[Record[Any]],
        options: Options,
        limit: int,
        follower: Follower | None,
        stop_at: float | None,
        threads: Threads | None,
        observer: Observer | None,
        judge: Judge | None,
    ) -> None:
        eager = options.eager
        self._raws = list(raws)  # its own, because `let_go` empties it
        self._lanes = lanes
        self._tell_success: Callable[[int, bool], None] | None = None
        if observer is not None:
            self._tell_success = self._tell_all
        elif lanes.queue:
            self._tell_success = lanes.settle
        self._ledger = ledger
        self._handler = handler
        self._record_type = record_type
        self._reader = options.reader
        self._limit = limit
        self._follower = follower
        self._rate = options.rate
        self._stop_at = stop_at
        self._record_timeout = options.record_timeout
        self._grace = options.grace
        self._threads = threads
        self._observer = observer
        self._judge = judge
        self._eager = eager
        self._begins = not eager or observer is not None
        self._burst = self._room = _BURST if eager else min(limit, _FIRST_BURST)
        self._admitting = True
        self._cut_short = False
        self._paused = False
        self._in_flight = 0
        self._returned = -1
        self._slice_ends = 0.0
        self._left = SkipReason.DEADLINE
        self._trouble: BaseException | None = None
        self.over = False
        self._settled: Callable[[], object] = _nothing
        self._live: dict[int, asyncio.Task[None]] = {}
        self._expiries: deque[tuple[float, int]] = _NO_EXPIRIES if self._record_timeout is None else deque()
        self._contexts: dict[int, Context] = {}
        self._unbegun: tuple[list[int], list[int]] = _NONE_UNBEGUN if eager else ([], [])
        self._handles: dict[str | int, asyncio.Handle] = {}
        # Passed as a whole: keywords one by one would be packed anew for every record.
        self._task_options: dict[str, Any] = {"name": _TASK_NAME}
        if eager:
            self._task_options["eager_start"] = True

    # --- the frame of the run -------------------------------------------------------------------------

    async def drive(self) -> None:
        """Run every record that may run; return when all have ended or the deadline is reached.

        Records that do not end although they were cancelled twice are left behind: see `stragglers`.

        Raises:
            asyncio.CancelledError: the caller was cancelled; the records were too, and had the grace to end.
            KeyboardInterrupt: a handler raised it outside Lambda.
        """
        loop = asyncio.get_running_loop()
        settled = loop.create_future()
        try:
            self.start(loop, partial(_set, settled))
            await settled
        except BaseException as error:  # noqa: BLE001 - a cancellation, or a signal handler's: it is raised at the end
            self.stop(error)
        try:
            await self._end()
        except BaseException as error:  # noqa: BLE001 - a signal handler's
            self.stop(error)
            await self._end()
        trouble = self.close()
        if trouble is not None:
            raise trouble

    async def _end(self) -> None:
        self.seal()
        if self._live:
            await self.cut_off()

    def start(self, loop: asyncio.AbstractEventLoop, settled: Callable[[], object]) -> None:
        """Start the first records, from a callback or a task of the running loop; nothing is awaited.

        Args:
            loop: The running loop.
            settled: Called when nothing is in flight and nothing may start any more, or the time is up;
                perhaps more than once, perhaps before this returns.
        """
        self._loop = loop
        self._time = clock_of(loop)
        self._context = copy_context()
        self._task_options["loop"] = loop
        self._settled = settled
        try:
            if self._follower is not None:
                self._beat(self._follower)
            self._open_slice()
            if self._stop_at is not None and (self._live or self._paused):
                self._call_at(self._stop_at, "deadline", self._on_deadline)
        except BaseException as error:  # noqa: BLE001 - our own, or a signal handler's: it is raised at the end
            self.stop(error)

    @property
    def unsettled(self) -> bool:
        """Whether records are in flight, or may still be started."""
        return bool(self._live or self._paused)

    @property
    def was_abandoned(self) -> bool:
        """Whether records are unsettled although nothing ended the run: the loop was stopped under it."""
        return self.unsettled and not self._cut_short

    @property
    def is_clean(self) -> bool:
        """Whether every record that was started has ended, and nothing stopped the run."""
        return not (self._live or self._paused) and self._trouble is None

    @property
    def left(self) -> SkipReason:
        """Why what was never started was not."""
        return self._left

    def seal(self) -> None:
        """Start nothing more, and let nothing that still runs become a success."""
        self._admitting = False
        for position, task in self._live.items():
            if _has_not_begun(task):
                self._ledger.started[position] = None
        self._ledger.seal(self._left)

    def close(self) -> BaseException | None:
        """Withdraw what the loop would still call.

        Returns:
            What stopped the run: a cancellation, an interrupt, or an error of our own.
        """
        if self._observer is not None and self._contexts:
            self._tell_of_stragglers(self._observer)
        self.over = True
        self._tell_success = None  # it may be a method of this object: a cycle
        self._task_options.clear()  # it holds the context of the last record
        self._settled = _nothing
        for handle in self._handles.values():
            handle.cancel()
        if self._threads is not None:
            self._threads.close()
        trouble = self._trouble
        if self._live or self._threads is not None:
            self.let_go()
        return trouble

    def let_go(self) -> None:
        """Refer to nothing of the batch any more: a task or a thread that does not end refers to this run.

        What such a straggler still reports goes into a ledger that nobody reads.
        """
        self.over = True
        self._admitting = self._paused = False
        self._raws.clear()
        self._ledger = Ledger(0)
        self._ledger.seal(self._left)
        self._settled = _nothing
        self._handler = _nowhere
        self._judge = None if self._judge is None else _never
        self._observer = self._follower = self._threads = self._trouble = None
        self._contexts = {}
        self._lanes = self._context = cast("Any", None)  # nothing starts any more

    @property
    def stragglers(self) -> list[int]:
        """Positions of records whose task did not end although it was cancelled."""
        return sorted(self._live)

    def stop(self, error: BaseException | None = None) -> None:
        """Start nothing more; with an error, do not wait for the records in flight either.

        Args:
            error: What `close` will return.
        """
        self._admitting = False
        self._left = SkipReason.STOPPED
        self._end_pause()
        if error is not None:
            if self._trouble is None:
                self._trouble = error
            self._cut_short = True
            self._settled()

    def leave(self) -> None:
        """Start nothing more and tell nobody of anything; from another thread, while a handler holds this one."""
        self._admitting = False
        self.over = True
        if self._threads is not None:
            self._threads.close()

    def interrupt(self, error: BaseException | None = None) -> None:
        """Stop a run whose loop was stopped, or was left by an exception; the loop does not run at this moment."""
        self._settled = _nothing
        self.stop(error)
        self._cut_short = True

    def _on_deadline(self) -> None:
        self._admitting = False
        self._cut_short = True
        self._settled()

    async def cut_off(self) -> None:
        """Cancel what is left, wait the grace, cancel again; what even then goes on is left behind."""
        self._cancel_live()
        await self._settled_within(self._time() + (self._grace if self._live else 0.0))
        if self._live:
            self._cancel_live()
            for _ in range(_LAST_TURNS):
                await self._settled_within(self._time())

    def _cancel_live(self) -> None:
        for position, task in list(self._live.items()):
            if _has_not_begun(task):
                del self._live[position]
            task.cancel()

    async def _settled_within(self, end: float) -> None:
        """Wait until nothing is in flight, or the end, whoever cancels us meanwhile (anyio does at every turn)."""
        while True:
            wake = self._loop.create_future()
            self._settled = partial(_set, wake)
            timer = self._loop.call_at(end, self._settled)
            try:
                await wake
            except asyncio.CancelledError as error:
                self.stop(error)
                if self._live and self._time() < end:
                    continue
            finally:
                timer.cancel()
            return

    # --- what the event loop calls ----------------------------------------------------------------------

    def _call_soon(self, name: str, callback: Callable[[], object]) -> None:
        self._handles[name] = self._loop.call_soon(self._call, callback, context=self._context.copy())

    def _call_at(self, when: float, name: str | int, callback: Callable[[], object]) -> None:
        self._handles[name] = self._loop.call_at(when, self._call, callback, context=self._context.copy())

    def _call(self, callback: Callable[[], object]) -> None:
        """Call a callback of ours. The loop would log what it raises, and the run would wait for its deadline."""
        if self.over:
            # Its thread was left behind; or an exception came before the note of this callback's handle, so that
            # the handle was not cancelled.
            self._settled()
            return
        try:
            callback()
        except BaseException as error:  # noqa: BLE001 - our own, or a signal handler's: it is raised at the end
            self.stop(error)

    # --- starting records -----------------------------------------------------------------------------

    def _open_slice(self) -> None:
        now = self._time()
        if self._paused:
            self._paused = False
            if not self._eager:
                # The last slice's starts ran in the turn that ends here.
                long = now > self._slice_ends
                self._burst = max(1, self._burst // 2) if long else min(self._limit, self._burst * 2)
        self._room = self._burst
        self._slice_ends = now + _SLICE
        if self._stop_at is not None and self._stop_at <= self._slice_ends:
            # A slice does not reach beyond the deadline.
            self._slice_ends = self._stop_at
            self._admitting = self._admitting and now < self._stop_at
        self._fill(now)

    def _pause(self) -> None:
        """Give the loop a turn; one slice for the loop, not one per task."""
        self._paused = True
        self._in_flight = len(self._live) + 1
        if not self._eager:
            self._slice_ends = self._time() + _SLICE
        self._call_soon("slice", self._open_slice)

    def _pause_until(self, due: float) -> None:
        """Wait until the rate limit lets the next record start; not if that is after the deadline."""
        if self._stop_at is not None and due >= self._stop_at:
            self._admitting = False
            return
        self._paused = True
        self._in_flight = 0
        self._slice_ends = due + _SLICE  # being late is no sign of a busy loop
        self._call_at(due, "slice", self._open_slice)

    def _end_pause(self) -> None:
        """Do not wait for a slice in which nothing will start."""
        if self._paused and not (self._lanes.left and self._admitting):
            self._paused = self._admitting = False
            if (handle := self._handles.get("slice")) is not None:
                handle.cancel()
            if not self._live:
                self._settled()

    def _fill(self, now: float) -> None:  # noqa: C901, PLR0912, PLR0915 - the hot loop: a call per case would be paid per record
        """Start records while there is room, work and time. What stands in this loop is paid per record."""
        live, lanes, time, rate = self._live, self._lanes, self._time, self._rate
        take, singles = lanes.take, lanes.singles
        context, attempt, eager = self._context, self._attempt, self._eager
        succeeded, started, ended = self._ledger.succeeded, self._ledger.started, self._ledger.ended
        raws, view, reader = self._raws, None if self._judge else self._record_type.unread, self._reader
        options, tell_success = self._task_options, self._tell_success
        slice_ends = self._slice_ends if self._room else now
        unbegun = self._unbegun[1]
        prepare = self._prepare if self._observer is not None or self._threads is not None else None
        try:
            # Whether anything is in flight takes a third of counting it; of handlers that never wait, nothing is.
            while self._admitting and (not live or len(live) < self._limit):
                if now >= slice_ends:
                    self._pause()
                    break
                if rate is not None and lanes.left and (due := rate.take(now)) > now:
                    self._pause_until(due)
                    break
                position = take() if singles is None else next(singles, None)
                if position is None:
                    self._admitting = lanes.left > 0
                    self._in_flight = max(len(live), min(self._in_flight, self._limit))
                    if rate is not None and self._admitting:
                        rate.give_back()
                    break
                options["context"] = own = context.copy()
                if prepare is not None:
                    prepare(position, own)
                record: Any = raws[position]
                if view is not None:
                    # What `Record.__init__` does, without the call: it would take half as long again.
                    raw, record = record, view()
                    record.raw = raw
                    record.reader = reader
                    record._json = UNREAD  # noqa: SLF001 - see above
                started[position] = now
                task = Task(attempt(position, record), **options)
                returned = self._returned == position
                if returned or task.done():  # it was started eagerly, and never waited
                    ended[position] = now = time()
                    if returned and not task.cancelling():
                        succeeded[position] = 1
                        if tell_success is not None:
                            if prepare is None:
                                tell_success(position, True)  # noqa: FBT003 - once per record
                            else:
                                own.run(tell_success, position, True)  # noqa: FBT003 - once per record
                    else:
                        own.run(self._did_not_succeed, position, task)
                    continue
                live[position] = task
                if not eager:
                    unbegun.append(position)
                self._room -= 1
                if not self._room:
                    slice_ends = now
                if self._record_timeout is not None and self._threads is None:
                    self._arm(position, now)
                now = time()
        except BaseException as error:  # noqa: BLE001 - our own, or a signal handler's: it is raised at the end
            self._find_unnoted_tasks()
            self.stop(error)
        if unbegun:
            self._expect_begin()
        if not (live or self._paused):
            self._settled()

    def _find_unnoted_tasks(self) -> None:
        """Note tasks that were made and not noted, because an exception came between the two."""
        for task in asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}:
            coroutine: Any = task.get_coro()
            if getattr(coroutine, "cr_code", None) is _ATTEMPT:
                values = inspect.getcoroutinelocals(coroutine)
                if values["self"] is self:
                    self._live.setdefault(values["position"], task)

    def _expect_begin(self) -> None:
        """Look after tasks that were not started eagerly: cancelled before its first step, one ends silently."""
        if "begin" not in self._handles:
            self._call_soon("begin", self._check_begun)

    def _check_begun(self) -> None:
        # What was started before the last turn has had its first step by now; what is younger may not.
        del self._handles["begin"]
        due, younger = self._unbegun
        self._unbegun = (younger, [])
        for position in sorted(self._live.keys() & due):
            if self._live[position].done():
                self._ledger.fail(position, FailureReason.CANCELLED, None, _CANCELLED)
                self._contexts.pop(position, None)  # nobody was told of a start
                self._settle(position)
        if younger and self._live:
            self._expect_begin()

    def _prepare(self, position: int, context: Context) -> None:
        if self._observer is not None:
            self._contexts[position] = context
        if self._threads is not None:
            begin = None if self._record_timeout is None else partial(self._begin_in_thread, position)
            context.run(threaded_record.set, ThreadedRecord(self._threads, position, begin))

    # --- one record -----------------------------------------------------------------------------------

    async def _attempt(self, position: int, record: Any) -> None:
        """Run one record's handler to its end. *Everything* is caught here: one record's trouble is its own."""
        try:
            try:
                if (not self._begins or self._begin(position, record)) and (
                    self._reader is None or self._has_valid_payload(position, record)
                ):
                    result = await self._handler(record)
                    if (
                        (result is None or self._is_plain(position, result))
                        if self._judge is None
                        else self._judge(position, result)
                    ):
                        self._returned = position
            except BaseException as error:  # noqa: BLE001 - the one boundary where an exception becomes an outcome
                self._failed(position, error)
            live = self._live
            if live and position in live:  # else it ended inside its own start, and `_fill` goes on
                self._settle(position)
        except BaseException as error:  # noqa: BLE001 - a signal handler's, which may come at any moment
            self._live.pop(position, None)
            self.stop(error)

    def _begin(self, position: int, record: Any) -> bool:
        """Tell the observer of a record's start; not where it may not start after all, which this returns."""
        reason = None if self._eager else self._held_back(position)
        if reason is not None:
            self._ledger.started[position] = None
            self._ledger.skip(position, reason)
            self._contexts.pop(position, None)  # nobody is told of its end
            return False
        if self._observer is not None:
            self._observer.started(position, record)
        return True

    def _held_back(self, position: int) -> SkipReason | None:
        """Why a task that was not started eagerly may not do its work now that its turn has come."""
        if self._stop_at is not None and self._time() >= self._stop_at:
            return SkipReason.DEADLINE
        if not self._admitting and self._left is SkipReason.STOPPED:
            return SkipReason.STOPPED
        return None if self._lanes.allows(position) else SkipReason.BATCH_HALTED

    def _failed(self, position: int, error: BaseException) -> None:
        kind = type(error)  # `isinstance` would ask the error's own class
        if issubclass(kind, asyncio.CancelledError):
            self._ledger.fail(position, FailureReason.CANCELLED, error, _CANCELLED)
            return
        ends_the_run = self._judge is not None and (not self._cut_short or is_interrupt(error))
        # A coroutine that was closed, by a handler or where a task could not be made, says nothing of the run.
        if ends_the_run and not issubclass(kind, KeyboardInterrupt | GeneratorExit):
            self._ledger.fail(position, FailureReason.RAISED, None, self._ledger.describe(error))
            self.stop(error)
            return
        self._ledger.fail(position, FailureReason.RAISED, error)
        if issubclass(kind, KeyboardInterrupt):
            self.stop()  # in Lambda too, where no more comes of it

    def _has_valid_payload(self, position: int, record: Record[Any]) -> bool:
        try:
            record.payload  # noqa: B018 - decodes and validates, once
        except BaseException as error:  # noqa: BLE001 - a validator may raise anything
            names = self._reader.names() if self._reader is not None else ()
            message = self._ledger.describe(error, partial(describe_invalid, names=names))
            self._ledger.fail(position, FailureReason.INVALID_PAYLOAD, error, message)
            return False
        return True

    def _is_plain(self, position: int, result: object) -> bool:
        """Whether a result can be success."""
        problem = undone_work(result)
        if problem is None:
            return True
        self._ledger.fail(position, FailureReason.REFUSED, None, f"the handler returned {problem}")
        return False

    def _settle(self, position: int) -> None:  # noqa: C901 - a call per case would be paid per record
        """A record in flight ended: its slot is free, and the next record starts."""
        live = self._live
        task = live.pop(position)
        if self.over:  # a straggler that ends after all
            return
        ledger = self._ledger
        ledger.ended[position] = now = self._time()
        try:
            if self._returned == position and not task.cancelling() and position not in ledger.failures:
                ledger.succeeded[position] = 1
                if self._tell_success is not None:
                    self._tell_success(position, True)  # noqa: FBT003 - once per record
                if self._follower is not None:
                    in_flight = len(live) + 1 if self._admitting and not self._paused else self._used()
                    self._limit = self._follower.succeeded(ledger.started[position], now, in_flight)
            else:
                self._did_not_succeed(position, task)
        except BaseException as error:  # noqa: BLE001 - our own error must not leave the run waiting
            self.stop(error)
        if self._paused:
            if self._rate is not None:
                self._end_pause()
        elif self._admitting:
            self._fill(now)
        elif not live:
            self._settled()

    def _did_not_succeed(self, position: int, task: Task[None]) -> None:
        if self.over:  # the handler held this thread until it was left behind
            return
        if self._returned == position:  # where it took too long as well, the ledger has noted that first
            self._ledger.fail(position, FailureReason.CANCELLED, None, _PENDING_CANCELLATION)
        elif task.done() and not task.cancelled() and (error := task.exception()) is not None:
            # A signal handler's, before the first step of the task: whatever comes later is caught there. One that
            # came through no code is asyncio's own, because another handler has closed the coroutine.
            came_from_code = traceback_of(error) is not None
            self._ledger.fail(position, FailureReason.RAISED, error)
            if came_from_code:
                self.stop(error)
        self._tell_all(position, False)  # noqa: FBT003 - once per record
        if self._ledger.interrupt is not None:
            self.stop(self._ledger.interrupt)
        if self._follower is not None and not self._cut_short:
            self._limit = self._follower.failed(position, self._used())

    def _used(self) -> int:
        """Records in flight while one ran: its batch's end, or the next slice, leaves places that nobody takes."""
        in_flight = len(self._live) + 1
        return in_flight if self._admitting and not self._paused else max(in_flight, self._in_flight)

    def _beat(self, follower: Follower) -> None:
        """Let the follower see whether the loop stood still."""
        self._call_at(follower.beat(self._time()), "beat", partial(self._beat, follower))

    def _tell_all(self, position: int, succeeded: bool) -> None:  # noqa: FBT001 - once per record
        """Let the lanes and the observer know how a record ended: its lane moves up or halts."""
        self._lanes.settle(position, succeeded)
        if self._observer is not None and self._contexts.pop(position, None) is not None:
            self._observer.ended(position)

    def _tell_of_stragglers(self, observer: Observer) -> None:
        """Let the observer know of records whose start was told and that did not end."""
        contexts, self._contexts = self._contexts, {}
        for position, context in contexts.items():
            if self._ledger.started[position] is None:  # its task never began
                continue
            try:
                context.run(observer.ended, position)
            except BaseException as error:  # noqa: BLE001 - an interrupt, raised at the end
                if self._trouble is None:
                    self._trouble = error

    # --- record timeouts: one timer for all -----------------------------------------------------------

    def _arm(self, position: int, now: float | None = None) -> None:
        """Let a record's timeout begin to count.

        Equal timeouts expire in the order of their start, so the first entry is the next to expire.
        """
        if self._record_timeout is None or self.over or position not in self._live:
            return
        if position in self._ledger.failures:
            return
        self._expiries.append(((self._time() if now is None else now) + self._record_timeout, position))
        if "expiry" not in self._handles:
            self._set_timer()

    def _begin_in_thread(self, position: int, *, after_waiting: bool = False) -> None:
        """Let the timeout of a record begin to count: its thread starts, or it begins to wait for one.

        Args:
            position: The record's place in the batch.
            after_waiting: It had to wait, and has the whole time now that its thread starts.
        """
        if after_waiting:
            self._expiries = deque(each for each in self._expiries if each[1] != position)
        self._arm(position)

    def _set_timer(self) -> None:
        self._call_at(self._expiries[0][0], "expiry", self._on_timer)

    def _on_timer(self) -> None:
        del self._handles["expiry"]
        now, expiries = self._time(), self._expiries
        while expiries:
            expiry, position = expiries[0]
            runs = position in self._live and position not in self._ledger.failures
            if runs and expiry > now:
                self._set_timer()
                break
            expiries.popleft()
            if runs:
                self._ledger.fail(position, FailureReason.TIMED_OUT, None, self._timeout_text(position))
                self._cancel_until_ended(position)

    def _timeout_text(self, position: int) -> str:
        if self._threads is not None and self._threads.is_waiting(position):
            return (
                f"waited longer than record_timeout ({self._record_timeout:g} s) for a thread: none came back"
            )
        return f"took longer than record_timeout ({self._record_timeout:g} s)"

    def _cancel_until_ended(self, position: int) -> None:
        """Cancel again every grace: the record keeps its slot and its lane until it really ends."""
        task = self._live.get(position)
        if task is not None:
            task.cancel()
            again = partial(self._cancel_until_ended, position)
            self._call_at(self._time() + self._grace, position, again)


def _has_not_begun(task: Task[None]) -> bool:
    return inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED  # type: ignore[arg-type]  # our own coroutine


_ATTEMPT: Final = Run._attempt.__code__  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - tells tasks of runs


_STANDARD_CLOCK: Final = asyncio.BaseEventLoop.time


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """A loop's clock. Asyncio's own is asked at its source, where it takes half as long, twice a record."""
    return monotonic if type(loop).time is _STANDARD_CLOCK else loop.time


async def _nowhere(_: object) -> None:
    """The handler of a run that is over."""


def _never(_position: int, _result: object) -> bool:
    """The judge of a run that is over."""
    return False


# What a record can raise and still be the only one to fail. Outside Lambda the others end the batch: an interrupt,
# or what a test framework raises to end a test.
_ONE_RECORDS: Final = (Exception, asyncio.CancelledError, SystemExit, GeneratorExit, BaseExceptionGroup)


def is_interrupt(error: BaseException) -> bool:
    """Whether a person wants the program, or the test, to stop. In Lambda nobody can."""
    return not issubclass(type(error), _ONE_RECORDS) and not in_lambda()


def _nothing() -> None:
    """Nobody waits at this moment."""


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
