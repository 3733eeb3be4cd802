"""One batch on its way through the engine: from the event to the report, on whichever loop.

The three ways differ where they must. On our own loop a handler may do to the loop what it likes, because the
loop is replaced; in the caller's loop it may not, and what does not end stays behind; with the guard the loop has
a thread of its own, which is left behind when a handler holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from contextvars import copy_context
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Final, final

from asyncbatch._deadline import own_budget, time_left
from asyncbatch._events import Batch, read_event
from asyncbatch._guard import GuardedCall, call_guarded
from asyncbatch._handlers import BoundHandler
from asyncbatch._lanes import KeyFunction, Lanes, build_lanes, refuse_illegal
from asyncbatch._ledger import Ledger, SkipReason
from asyncbatch._lifespan import lifespan_state, open_state
from asyncbatch._log import Log
from asyncbatch._loop import (
    LIVES_ON_THE_LOOP,
    KeptLoop,
    Known,
    LeftBehind,
    current_loop,
    discard_loop,
    is_inside_loop,
    kept_loop,
    leave_loop,
    replace_loop,
    shutdown_loop,
)
from asyncbatch._options import DEFAULT_LIMIT, Options
from asyncbatch._raised import in_lambda, type_name
from asyncbatch._report import BatchReport, BatchResponse, RaiseOnFailure
from asyncbatch._scheduler import Judge, Run
from asyncbatch._sources import Ordering

if TYPE_CHECKING:
    from asyncbatch._contained import Contained
    from asyncbatch._follower import Follower
    from asyncbatch._hook_calls import HookCalls
    from asyncbatch._workers import Threads
    from asyncbatch.limits import Limit

logger: Final = Log("asyncbatch")


@final
class Job:
    """One batch on its way through the engine: what the entry points have in common.

    Args:
        options: What the engine was asked to do.
        batch: The records, named and checked.
        bound: The handler.
        context: Lambda's context, to be injected.
        budget: Seconds until the batch is sealed; None without a deadline.
        judge: Decides whether a record succeeded, in place of the rule that a plain return is success; the handler
            then gets raw records. None for that rule.

    Raises:
        BlockedThreadsError: the handler works in threads, and too many of this process were left behind.
    """

    __slots__ = (
        "_contained",
        "_hooks",
        "_lane_keys",
        "_lanes",
        "_time",
        "batch",
        "bound",
        "budget",
        "context",
        "judge",
        "ledger",
        "left_behind",
        "options",
        "run",
        "started",
        "stop_at",
        "threads",
    )

    def __init__(  # noqa: PLR0917 - keywords would be paid per batch
        self,
        options: Options,
        batch: Batch,
        bound: BoundHandler,
        context: object,
        budget: float | None,
        judge: Judge | None,
    ) -> None:
        if bound.threads is not None:
            from asyncbatch._workers import refuse_blocked  # noqa: PLC0415 - only where threads work

            refuse_blocked()
        self.threads: Threads | None = None
        self.options = options
        self.batch = batch
        self.bound = bound
        self.context = context
        self.judge = judge
        self.ledger = Ledger(len(batch.raws))
        self.run: Run | None = None
        self.started = 0.0
        self.stop_at: float | None = None
        self.budget = budget
        self.left_behind = False
        self._time: Callable[[], float] = float
        self._hooks: HookCalls | None = None
        self._contained: Contained | None = None
        self._lanes: Lanes | None = None
        self._lane_keys: Sequence[Hashable] | None = None

    def begin(self, time: Callable[[], float]) -> None:
        """Start the clock, and sort the records into lanes.

        Args:
            time: The clock of the event loop that will run them.
        """
        self._time = time
        self.started = time()
        if self.budget is not None:
            self.stop_at = self.started + self.budget
        options, rules = self.options, self.batch.rules
        if options.hooks:
            from asyncbatch._hook_calls import HookCalls  # noqa: PLC0415 - only where somebody listens

            self._hooks = HookCalls(options.hooks, self.batch, self.ledger, self._contain())
            self._hooks.batch_started(self._limit())
        if rules is None or not self.batch.raws:
            return
        ordering: Ordering | KeyFunction = rules.ordering
        scope = rules.scope
        if options.ordering is not None or options.failure_scope is not None:
            refuse_illegal(options.ordering, options.failure_scope, rules)
            ordering = rules.ordering if options.ordering is None else options.ordering
            scope = options.failure_scope or rules.default_scope(ordering)
        self._lanes, self._lane_keys = build_lanes(self.batch, rules, self.ledger, ordering, scope)

    def move_to(self, time: Callable[[], float]) -> None:
        """Go on by another clock.

        Args:
            time: The clock of the event loop that will run the records after all.
        """
        moved = time() - self._time()
        self._time = time
        self.started += moved
        if self.stop_at is not None:
            self.stop_at += moved

    def prepare(self, state: object = None) -> Run:
        """The run over the records, ready to start.

        Args:
            state: What the lifespan yielded.
        """
        options, rules, hooks = self.options, self.batch.rules, self._hooks
        assert rules is not None, "a batch with records has a source"  # noqa: S101 - narrows a type
        lanes = self._lanes
        assert lanes is not None, "begin has run"  # noqa: S101 - narrows a type
        concurrency = options.concurrency
        moving = None if isinstance(concurrency, int) else concurrency
        limit = concurrency if isinstance(concurrency, int) else self._limit()
        if self.bound.threads is not None:
            from asyncbatch._workers import Threads  # noqa: PLC0415 - only where threads work

            self.threads = Threads(limit)
        threads = self.threads
        self.run = Run(
            self.batch.raws,
            lanes,
            self.ledger,
            self.bound.inject(self.context, state),
            rules.record_type,
            options,  # from here on without keywords: the interpreter makes an object from them slowly
            limit,
            None if moving is None else self._follower(moving, limit, lanes, threads),
            self.stop_at,
            threads,
            hooks,
            self.judge,
        )
        if self.left_behind:  # while it blocked before this: in a key function, or where the lifespan opens
            self.run.leave()
        return self.run

    def _limit(self) -> int:
        """Most records in flight, at first."""
        concurrency = self.options.concurrency
        if isinstance(concurrency, int):
            return concurrency
        try:
            return self.options.limit
        except BaseException as error:
            name = type_name(concurrency)
            if not self._contain().takes(name, f", and the limit is {DEFAULT_LIMIT}", error):
                raise
            return DEFAULT_LIMIT

    def _contain(self) -> Contained:
        """What takes the exceptions of hooks and limits."""
        if self._contained is None:
            from asyncbatch._contained import Contained  # noqa: PLC0415 - only where there are any

            self._contained = Contained()
        return self._contained

    def _follower(self, moving: Limit, limit: int, lanes: Lanes, threads: Threads | None) -> Follower:
        """What follows a limit that moves."""
        from asyncbatch._follower import Follower  # noqa: PLC0415 - only where a limit moves

        hooks = self._hooks

        def changed(old: int, new: int) -> None:
            if threads is not None:
                threads.resize(new)
            if hooks is not None:
                hooks.limit_changed(old, new)

        return Follower(moving, limit, self.ledger, lanes, contained=self._contain(), changed=changed)

    async def state(self) -> tuple[bool, object]:
        """What the lifespan yielded; whether it opened in time."""
        options = self.options
        if options.lifespan is None:
            return True, None
        within = None if self.stop_at is None else max(0.0, self.stop_at - self._time())
        opened, state = await lifespan_state(options, options.lifespan, within)
        if not opened:
            logger.warning("the lifespan did not open before the deadline: no record was started")
        return opened, state

    @property
    def is_late(self) -> bool:
        """Whether the deadline is reached."""
        return self.stop_at is not None and self._time() >= self.stop_at

    def report(self, left: SkipReason = SkipReason.DEADLINE) -> BatchReport:
        """Seal what is not sealed yet, and report.

        Args:
            left: Why what was not started was not.
        """
        self.ledger.seal(left)
        report = BatchReport(
            self.batch,
            self.ledger,
            lane_keys=self._lane_keys,
            raise_on_failure=self._raise_on_failure(),
            duration=self._time() - self.started,
            still_running=self._still_running(),
        )
        if not report.all_succeeded:
            logger.warning("%s", report.summary())
        try:
            if self._hooks is not None:
                self._hooks.batch_ended(report)
        finally:
            if self._contained is not None:
                self._contained.tell_the_rest()
        return report

    def tell_end(self) -> None:
        """Tell the hooks that a batch has ended whose caller gets no report, because an exception leaves it."""
        if self._hooks is not None and not self.left_behind:
            self.report(SkipReason.STOPPED)

    def reply(self, left: SkipReason) -> BatchResponse:
        """Seal, and reply. The usual reply, that nothing failed, needs no report where nobody asks for one."""
        if (
            0 not in self.ledger.seal(left)
            and self.batch.window_state is None
            and not (self.options.hooks or self.ledger.failures)
        ):
            if self._contained is not None:
                self._contained.tell_the_rest()
            return {"batchItemFailures": []}
        return self.report(left).response()

    def leave(self) -> None:
        """Let what its thread still does count for nothing, and start nothing more; from another thread."""
        self.ledger.seal(SkipReason.DEADLINE)  # before the thread can go on
        self.left_behind = True
        if self.run is not None:  # else `prepare` will look
            self.run.leave()

    def apart(self) -> Job:
        """Let go of the records, because a thread that was left behind refers to this job and to its run.

        Returns:
            A copy that does not, for the report.
        """
        other = copy(self)
        self.batch = Batch(None, [], [], [], 0)
        self.context = self.judge = self._lanes = self._lane_keys = self._hooks = None
        if self.run is not None:
            self.run.let_go()
        return other

    def _still_running(self) -> Sequence[int]:
        """Positions of records whose task or thread did not end."""
        ledger = self.ledger
        if not ledger.failures:
            return ()
        if self.threads is not None:
            return sorted(ledger.failures.keys() & self.threads.running())
        return [
            at
            for at in sorted(ledger.failures)
            if ledger.started[at] is not None and ledger.ended[at] is None
        ]

    def _raise_on_failure(self) -> RaiseOnFailure:
        chosen = self.options.raise_on_failure
        if chosen is not None:
            return chosen
        rules = self.batch.rules
        return "any" if rules is not None and rules.partial_responses_are_optional else "never"


# --- in the caller's loop -----------------------------------------------------------------------------


async def process_batch(
    options: Options, batch: Batch, bound: BoundHandler, context: object, deadline: float | None
) -> BatchReport:
    if deadline is None:
        budget, _ = time_left(context, options.deadline_margin)
    else:
        budget = own_budget(
            deadline, options.grace if options.deadline_margin is None else options.deadline_margin
        )
    job = Job(options, batch, bound, context, budget, None)
    job.begin(asyncio.get_running_loop().time)
    try:
        if batch.raws:
            opened, state = await job.state()
            if opened:
                await job.prepare(state).drive()
    except BaseException:
        job.tell_end()
        raise
    return job.report()


# --- on our own loop ----------------------------------------------------------------------------------


def run_event(
    options: Options, event: object, bound: BoundHandler, context: object
) -> tuple[Job, SkipReason]:
    """Process an event from synchronous code.

    Returns:
        The job, to be asked for a reply or a report, and why what was not started was not.

    Raises:
        InvalidEventError: a record could not be reported on; nothing was processed.
    """
    budget, remaining = time_left(context, options.deadline_margin)
    job = Job(options, read_event(event, options.source), bound, context, budget, None)
    if options.guard_blocking:
        left = _run_guarded(job, remaining)
        return job.apart() if job.left_behind else job, left
    return job, _run_on(kept_loop, job)


def run_where_clients_live(job: Job, remaining: float | None) -> SkipReason:
    """Run a job from synchronous code on the thread's current loop, where clients that were made at import live.

    Where none is set, or none that is open and idle, ours is used, and set. Inside a running loop the job gets a
    thread and a loop of its own, while the caller waits and its loop stands still.

    Args:
        job: The batch.
        remaining: Seconds until Lambda's deadline; None without one.

    Returns:
        Why what was not started was not.

    Raises:
        BaseException: what the job's judge did not turn into a verdict, an interrupt outside Lambda, or an error
            of our own.
    """
    if is_inside_loop():
        left = _run_guarded(job, remaining)
        if job.left_behind:
            job.apart()
        return left
    return _run_on(current_loop, job)


def _run_on(take_loop: Callable[[], KeptLoop], job: Job) -> SkipReason:
    """Run on a kept loop, whatever handlers do to it.

    Args:
        take_loop: Gives the thread's loop; a new one if that was replaced.
        job: The batch.

    Returns:
        Why what was not started was not.

    Raises:
        BaseException: an interrupt outside Lambda, or an error of our own.
    """
    kept = take_loop()
    job.begin(kept.time)
    if not job.batch.raws:
        return SkipReason.DEADLINE
    try:
        options = job.options
        if (options.hooks or options.ordering is not None) and kept.loop.is_closed():
            # A hook or a key function has called `shutdown`, or has run another batch.
            kept = _another_loop(take_loop, job)
        if not kept.thaw(job.started):
            kept = _replaced(kept, take_loop, job)
        state: object = None
        if options.lifespan is not None:
            kept, opened, state = _with_lifespan(kept, take_loop, job)
            if not opened:
                return SkipReason.DEADLINE
        return _run_records(job, job.prepare(state), kept)
    except BaseException:
        job.tell_end()
        raise


def _replaced(kept: KeptLoop, take_loop: Callable[[], KeptLoop], job: Job) -> KeptLoop:
    """A new loop for a batch of which nothing has run yet.

    Raises:
        BaseException: an interrupt outside Lambda, or the guard has left this thread behind.
    """
    replace_loop(kept, "what an earlier invocation left on it ended it, or does not end")
    kept.raise_interrupt()
    if job.left_behind:
        raise LeftBehind
    return _another_loop(take_loop, job)


def _another_loop(take_loop: Callable[[], KeptLoop], job: Job) -> KeptLoop:
    fresh = take_loop()
    job.move_to(fresh.time)
    return fresh


def _with_lifespan(
    kept: KeptLoop, take_loop: Callable[[], KeptLoop], job: Job
) -> tuple[KeptLoop, bool, object]:
    """The loop on which the lifespan is open, whether it is, and what it yielded.

    Raises:
        Exception: the lifespan does not open.
    """
    kept.has_tenants = True
    is_open = open_state(job.options, kept.loop)
    if is_open is not None:
        return kept, True, is_open[0]
    opening = kept.complete(job.state)
    if opening is None:  # it may be the fault of what an earlier invocation left
        kept = _replaced(kept, take_loop, job)
        kept.has_tenants = True
        opening = kept.complete(job.state)
        if opening is None:
            replace_loop(kept, "something ended it while the lifespan opened")
            kept.raise_interrupt()
    if opening is None or opening.cancelled():
        message = (
            "the lifespan did not open: something ended the event loop, or cancelled every task, meanwhile"
        )
        raise RuntimeError(message)
    opened, state = opening.result()
    return kept, opened, state


def _run_records(job: Job, run: Run, kept: KeptLoop) -> SkipReason:
    known = kept.known()
    try:
        try:
            kept.run(run.start, run.stop)
        except BaseException as error:  # noqa: BLE001 - a signal handler's, or a callback's that a handler left
            run.interrupt(error)
        ended = run.is_clean
        if ended:
            run.seal()
            run.close()
        if ended and kept.is_clean:  # the usual end, which leaves nothing to tidy up
            kept.was_stopped = False
            trouble = None
        else:
            trouble = _tidy_up(job, run, kept, known)
    except BaseException:  # a signal handler's: what is left on the loop is not known
        run.seal()
        run.close()
        discard_loop(kept)
        raise
    if trouble is not None:
        raise trouble
    return run.left


def _tidy_up(job: Job, run: Run, kept: KeptLoop, known: Known) -> BaseException | None:
    """Cut off what did not end, and find out whether the loop can be kept; return what is to be raised."""
    was_stopped_before, kept.was_stopped = kept.was_stopped, False
    if job.left_behind:
        run.interrupt()
    elif run.was_abandoned:
        run.interrupt()
        logger.warning("the event loop was stopped while records were in flight: they count as failed")
        kept.was_stopped = True
    run.seal()
    kept.spoiled = job.left_behind or (run.unsettled and not kept.finish(run.cut_off()))
    # A callback that stops the loop may come again and again; then no invocation would be without it.
    kept.spoiled = kept.spoiled or (was_stopped_before and kept.was_stopped)
    trouble = run.close()
    grace = 0.0 if job.is_late else job.options.grace
    kept.spoiled = kept.spoiled or bool(run.stragglers) or not kept.tidy(known, grace)
    if trouble is None:
        trouble = kept.interrupt  # which may have come while leftovers had the grace
    interrupt = issubclass(type(trouble), KeyboardInterrupt | SystemExit)
    _keep_or_replace(kept, type_name(trouble) if interrupt else "", is_left=job.left_behind)
    # An escape from Lambda's entry point would end the process without a reply; a cancellation that comes from
    # nowhere is some handler's.
    if trouble is None or issubclass(type(trouble), asyncio.CancelledError) or (interrupt and in_lambda()):
        return None
    return trouble


def _keep_or_replace(kept: KeptLoop, interrupt: str, *, is_left: bool) -> None:
    if is_left:  # whoever left this thread behind has said so
        discard_loop(kept)
    elif kept.spoiled:
        replace_loop(kept, "a handler left on it what does not end")
    elif interrupt:
        replace_loop(kept, f"{interrupt} was raised on it")
    elif kept.closing:
        shutdown_loop()


def _run_guarded(job: Job, remaining: float | None) -> SkipReason:
    """Run in a guard's thread; reply without it if a handler holds it beyond the deadline.

    Raises:
        BlockedThreadsError: too many guards were left behind; nothing was processed.
        BaseException: what kept the job from starting, an interrupt outside Lambda, or an error of our own.
    """
    loops: list[asyncio.AbstractEventLoop] = []

    def take_loop() -> KeptLoop:
        kept = kept_loop()
        loops.append(kept.loop)
        return kept

    def work() -> SkipReason:
        return _run_on(take_loop, job)

    call: GuardedCall[SkipReason] | None = None
    try:
        call = call_guarded(job.options, partial(copy_context().run, work))
        ended = call.wait(_patience(job, remaining))
    except BaseException:  # somebody interrupts the wait
        _leave_behind(job, call, loops)
        raise
    if not ended and _leave_behind(job, call, loops):
        return SkipReason.DEADLINE
    return call.result()


def _leave_behind(
    job: Job, call: GuardedCall[SkipReason] | None, loops: Sequence[asyncio.AbstractEventLoop]
) -> bool:
    """Let the guard's thread end by itself; what it still does counts for nothing.

    Args:
        job: The batch.
        call: The guard's work on it; None where an exception came before it was known, and the guard ends with it.
        loops: The event loops that it has taken.

    Returns:
        Whether it was left behind; if not, the job has ended meanwhile.
    """
    job.leave()
    if call is not None and not call.leave():
        return False
    for loop in loops:
        leave_loop(loop)
    logger.warning(
        "a handler held the event loop beyond the deadline: its thread is left behind and the loop replaced. %s",
        LIVES_ON_THE_LOOP,
    )
    return True


def _patience(job: Job, remaining: float | None) -> float | None:
    """Seconds to wait for the guard's thread: seal and grace are over, half of what then is left is kept."""
    budget = job.budget
    if budget is None or remaining is None:
        return None
    graced = budget + job.options.grace
    return graced + max(0.0, remaining - graced) / 2
