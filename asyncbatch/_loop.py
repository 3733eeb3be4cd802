"""The loop: the only file that owns an event loop.

One loop per thread, made at the first run and kept, so that clients stay usable over warm invocations, as with
no new loop per invocation they are. It survives being frozen and thawed, and is replaced when it cannot be
trusted any more: closed by somebody, forked, restored from a snapshot, left by an exception, or left with a task
that does not end. For callers whose clients live on the thread's current loop, that one is adopted instead.

What a handler schedules on the loop (`loop.call_later`) cannot be taken back, because clients schedule the same
way. It may run in a later invocation, and do there what it likes. So whatever runs the loop has one net: a stop
that nobody of ours asked for is run over, and what leaves the loop by raising is contained and has it replaced.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, Final, TypeVar, final
from weakref import WeakSet

from asyncbatch._errors import RunningLoopError
from asyncbatch._failure_texts import describe
from asyncbatch._lifespan import close_lifespans, forget_lifespans, made_by_lifespan
from asyncbatch._log import Log
from asyncbatch._raised import in_lambda, is_ctrl_c, type_name, was_raised_by_signal_handler
from asyncbatch._scheduler import clock_of

T = TypeVar("T")

logger: Final = Log("asyncbatch")

# Below this many seconds since the last reply no freeze matters: a peer closes an idle connection after
# seconds, and Lambda's runtime asks for the next event within milliseconds.
_NO_FREEZE: Final = 0.1
# Turns of the loop that let it see connections which were closed while it was frozen, so that pools drop them.
# Four passed on every client and interpreter measured; three did on most.
_THAW_TURNS: Final = 4
# Turns that a leftover task has to end in after its cancellation.
_LAST_TURNS: Final = 3
# How often a coroutine of ours is tried that somebody else cancels.
_TRIES: Final = 3

Start = Callable[[asyncio.AbstractEventLoop, Callable[[], None]], object]
"""Called inside the running loop, with the loop and the function that stops it."""


# This process. To ask the system once per batch would take 1 % of a batch of ten; a forked child asks again.
this_process: Final = [os.getpid()]


def _after_fork() -> None:
    this_process[0] = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class LeftBehind(SystemExit):
    """Ends the loop of a thread that the guard has left behind: asyncio lets no other error out of a loop."""


@final
class Known:
    """What was on a loop before a run."""

    __slots__ = ("generators", "tasks")

    def __init__(
        self, tasks: AbstractSet[asyncio.Task[Any]], generators: AbstractSet[AsyncGenerator[Any, Any]]
    ) -> None:
        self.tasks = tasks
        self.generators = generators


_NOTHING: Final = Known(frozenset(), frozenset())


@final
class KeptLoop:
    """An event loop that outlives its runs: one of ours, or one that somebody else made and we adopted.

    The whole state that does:

    - ``loop``: the event loop;
    - ``adopted``: somebody else made it, and it is theirs to close;
    - ``_pid``: the process that made it;
    - ``_idle_since``: when the last run on it ended, on the loop's clock;
    - ``closing``: `shutdown` was asked for during a run;
    - ``spoiled``: a task on it does not end;
    - ``was_stopped``: somebody stopped it while records of the last run were in flight;
    - ``has_tenants``: tasks may be on it that belong there: lifespans, or the caller's own;
    - ``interrupt``: what a person did while the loop ran for something else than records;
    - ``_first_turn``: the loop has not been seen to go on after its first turn, where it does not tell stops;
    - ``_tells_stops``: whether it can be seen that it is to stop, as on asyncio's own loops;
    - ``_interrupt_run``: ends the run that is under way;
    - ``_factory``: the task factory of a loop of ours, which lifespans may set.

    Args:
        adopted: Somebody else's loop; None to make one.
    """

    def __init__(self, adopted: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop: Final = asyncio.new_event_loop() if adopted is None else adopted
        self.adopted: Final = adopted is not None
        self.time: Final = clock_of(self.loop)
        # Async generators that were begun and not finished. Asyncio closes one when it is collected, in a task on
        # this loop: in a later invocation. Its `shutdown_asyncgens` spares none, and a lifespan is one.
        self._generators: Final[Collection[AsyncGenerator[Any, Any]]] = getattr(self.loop, "_asyncgens", ())
        # Asked without the weak set's own arithmetic, which takes a call.
        self._begun: Final[Any] = getattr(self._generators, "data", self._generators)
        # What the loop is about to call; uvloop does not tell.
        self._ready: Final[Collection[asyncio.Handle]] = getattr(self.loop, "_ready", ())
        self._pid: Final = this_process[0]
        # Nobody knows since when an adopted loop was idle.
        self._idle_since = -math.inf if self.adopted else self.time()
        self.closing = False
        self.spoiled = False
        self.was_stopped = False
        self.has_tenants = self.adopted
        self.interrupt: BaseException | None = None
        self._first_turn = False
        self._tells_stops: Final = hasattr(self.loop, "_stopping")
        self._interrupt_run: Callable[[BaseException], None] | None = None
        self._factory: Any = self.loop.get_task_factory()
        if not self.adopted:
            otherwise = self.loop.get_exception_handler() or _tell_of_error
            self.loop.set_exception_handler(partial(self._on_exception, otherwise))

    @property
    def forked(self) -> bool:
        """Whether this process inherited the loop: its selector is shared with the parent."""
        return self._pid != this_process[0]

    def is_usable(self) -> bool:
        """Whether it is this process's, and nobody closed it."""
        return self._pid == this_process[0] and not self.loop.is_closed()

    # --- the only places where the loop runs ----------------------------------------------------------

    def run(self, start: Start, interrupt: Callable[[BaseException], None]) -> None:
        """Run the loop until a callback stops it. No task of our own: it would cost two turns of the loop.

        Args:
            start: What to run.
            interrupt: Told what a signal handler raised in a callback: asyncio would log it and go on.

        Raises:
            BaseException: what left the loop.
        """
        self._interrupt_run = interrupt
        self.loop.call_soon(self._begin, start, self.loop.stop)
        try:
            self._go()
        finally:
            self._interrupt_run = None

    def _on_exception(
        self,
        otherwise: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object],
        loop: asyncio.AbstractEventLoop,
        context: dict[str, Any],
    ) -> None:
        error = context.get("exception")
        if self._interrupt_run is not None and error is not None and was_raised_by_signal_handler(error):
            self._interrupt_run(error)
            loop.stop()  # the run may not even have been started
        else:
            otherwise(loop, context)

    def _go(self, *, may_set_factory: bool = False) -> None:
        loop = self.loop
        factory = loop.get_task_factory() if self.adopted else self._factory
        try:
            loop.run_forever()
            while self._first_turn:  # it was stopped before it was run
                loop.run_forever()
        finally:
            self._first_turn = False
            self._idle_since = self.time()
            # A task factory that a handler sets is taken back: one that raises would fail every later invocation.
            if may_set_factory:
                self._factory = loop.get_task_factory()
            elif loop.get_task_factory() is not factory:
                loop.set_task_factory(factory)
            if _running_loop() is loop:  # a signal handler raised while asyncio left the loop
                asyncio._set_running_loop(None)  # noqa: SLF001 - documented, underscore and all
                with contextlib.suppress(AttributeError):
                    loop._thread_id = None  # type: ignore[attr-defined]  # noqa: SLF001 - no public name

    def _begin(self, start: Start, stop: Callable[[], None]) -> None:
        """Start, although somebody may have asked the loop to stop before: at import, in a finalizer."""
        loop: Any = self.loop
        if self._tells_stops:
            loop._stopping = False  # noqa: SLF001 - there is no public name, and another turn would cost 5 % of a batch
        else:  # uvloop: there a stop is a callback, which comes after this one if it is asked for from now on
            self._first_turn = True
            loop.call_soon(self._leave_first_turn)
        start(loop, stop)

    def _leave_first_turn(self) -> None:
        self._first_turn = False

    def finish(self, main: Coroutine[Any, Any, object]) -> bool:
        """Run a coroutine to its end, whatever else on the loop does; say whether it came to it."""
        task = self._ended(main)
        return task is not None and not task.cancelled() and task.exception() is None

    def complete(self, make: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T] | None:
        """Run a coroutine to its end, again where somebody cancels it, as who cancels every task does.

        Args:
            make: Makes the coroutine.

        Returns:
            The task that ended; None where something left the loop by raising.
        """
        task = None
        for _ in range(_TRIES):
            task = self._ended(make(), may_set_factory=True)
            if task is None or not task.cancelled():
                break
        return task

    def _ended(
        self, main: Coroutine[Any, Any, T], *, may_set_factory: bool = False
    ) -> asyncio.Task[T] | None:
        task = asyncio.Task(main, loop=self.loop)  # not `create_task`, which asks a task factory

        def start(_: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
            task.add_done_callback(lambda _: stop())

        if self.contains(start, may_set_factory=may_set_factory):
            return task
        main.close()  # what it refers to is let go of
        return None

    def contains(self, start: Start, *, may_set_factory: bool = False) -> bool:
        """Run the loop for something else than records, although others stop it.

        Args:
            start: What to run.
            may_set_factory: Whether a task factory that is set meanwhile stays.

        Returns:
            Whether nothing left the loop by raising: else it is no loop to be trusted any more.
        """
        stops: list[None] = []
        alarms: list[BaseException] = []

        def stop() -> None:
            stops.append(None)
            self.loop.stop()

        self._interrupt_run = alarms.append
        try:
            self.loop.call_soon(self._begin, start, stop)
            while not stops:
                self._go(may_set_factory=may_set_factory)
                if alarms:
                    raise alarms[0]  # noqa: TRY301 - a signal handler's: what was to stop the loop may never come
        except LeftBehind:
            return False
        except BaseException as error:  # noqa: BLE001 - whoever asked for this run has done nothing wrong
            if issubclass(type(error), KeyboardInterrupt | SystemExit):
                self.interrupt = error
            logger.warning("what a handler left on the event loop raised %s", type_name(error))
            return False
        finally:
            self._interrupt_run = None
        return True

    def raise_interrupt(self) -> None:
        """Raise what a person did meanwhile. In Lambda nobody can: it would end the process without a reply.

        Raises:
            BaseException: it is an interrupt, outside Lambda.
        """
        if self.interrupt is not None and not in_lambda():
            raise self.interrupt

    def thaw(self, now: float) -> bool:
        """Let the loop see what happened to its connections while it may have been frozen.

        What handlers of earlier invocations had scheduled runs here, too; tasks that it makes are ended.

        Args:
            now: The loop's time.

        Returns:
            Whether the loop can be kept.
        """
        if now - self._idle_since < _NO_FREEZE:
            return True
        known = self.known()
        return self.contains(_take_turns) and (self.is_clean or self.tidy(known, 0.0))

    def tidy(self, known: Known, grace: float) -> bool:
        """End what handlers left behind, so that nothing of it runs in the next invocation.

        Args:
            known: What was there before the run.
            grace: Seconds that leftovers have to end by themselves.

        Returns:
            Whether the loop can be kept: nothing of this run is left on it.
        """
        if self._is_about_to_call and not self.contains(_take_turns):
            return False
        generators = set(self._generators) - known.generators
        tasks = self._leftovers(known)
        if not (generators or tasks):
            return True
        return self.finish(_end(tasks, generators, grace)) and not self._leftovers(known)

    def known(self) -> Known:
        """What is on the loop now, and is not to be tidied up after the run that follows."""
        if not self.has_tenants:
            return _NOTHING
        if _no_tasks() and not len(self._generators):
            return _NOTHING
        return Known(asyncio.all_tasks(self.loop), set(self._generators))

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to tidy up, as far as can be told quickly."""
        return not (self.closing or self._begun or (self._ready and self._is_about_to_call)) and _no_tasks()

    @property
    def _is_about_to_call(self) -> bool:
        """Whether there are callbacks that would run in the next invocation, as the end of a generator would."""
        return any(not handle.cancelled() for handle in self._ready)

    def _leftovers(self, known: Known) -> list[asyncio.Task[Any]]:
        tasks = asyncio.all_tasks(self.loop) - known.tasks
        return [task for task in tasks if not made_by_lifespan(task)]

    def discard(self) -> None:
        """Give the loop up without running anything on it again; one of ours is closed."""
        forget_lifespans(self.loop)
        # A task that never ends must not be collected either: its handler would be resumed with GeneratorExit,
        # in some later invocation, and one that swallows that as well would hold the process for ever.
        for task in asyncio.all_tasks(self.loop):
            if getattr(task.get_coro(), "cr_frame", task) is not None:  # else it has been closed
                _buried.add(task)
                task.add_done_callback(_buried.discard)
        if self.forked:
            _inherited.append(self)  # closing it would change the parent's selector
            return
        if self.adopted:
            return
        # Nothing on it is worth a report any more.
        self.loop.set_exception_handler(lambda _loop, _context: None)
        if not self.loop.is_running():
            self.loop.close()

    def close(self, within: float) -> None:
        """Leave the lifespans and close the loop in good order, whatever is left on it.

        Raises:
            BaseException: it is an interrupt, outside Lambda.
        """
        if self.has_tenants:
            self.complete(partial(close_lifespans, None, within))
        self.finish(_shutdown_generators(self.loop, within))
        self.discard()
        self.raise_interrupt()


# `asyncio.all_tasks` walks these sets of asyncio's (3.11; 3.12 and 3.13), which takes longer than the rest of a
# small batch's end. That they are empty, the usual case, is told by their sizes. Later interpreters keep tasks
# elsewhere: there `all_tasks` is asked.
_TASK_SETS: Final[list[Any]] = (
    []
    if sys.version_info >= (3, 14)
    else [
        getattr(getattr(asyncio.tasks, name), "data", getattr(asyncio.tasks, name))
        for name in ("_all_tasks", "_scheduled_tasks", "_eager_tasks")
        if hasattr(asyncio.tasks, name)
    ]
)


def _no_tasks() -> bool:
    """Whether asyncio knows of no task at all; False where it takes `asyncio.all_tasks` to tell."""
    return bool(_TASK_SETS) and not any(_TASK_SETS)


def _take_turns(loop: asyncio.AbstractEventLoop, stop: Callable[[], None], turn: int = 1) -> None:
    # Callbacks, because somebody may cancel every task.
    if turn == _THAW_TURNS:
        stop()
    else:
        loop.call_soon(_take_turns, loop, stop, turn + 1)


def _tell_of_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Let asyncio log what no task holds, a callback's exception for one.

    What a log handler raises then would end the event loop under the records in flight. Lambda's own raises at
    text that UTF-8 cannot hold, and an exception's text may be such.
    """
    try:
        loop.default_exception_handler(context)
    except BaseException as raised:
        if is_ctrl_c(raised):
            raise
    else:
        return
    error = context.get("exception")
    logger.error("%s%s", context.get("message"), "" if error is None else f": {describe(error)}")


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def _end(
    tasks: Collection[asyncio.Task[Any]], generators: Collection[AsyncGenerator[Any, Any]], grace: float
) -> None:
    closing = {asyncio.ensure_future(_close(generator)) for generator in generators}
    _, unfinished = await asyncio.wait({*tasks, *closing}, timeout=grace)
    for task in unfinished:
        logger.warning("a handler left a task behind, which was cancelled: %s", _name(task))
        task.cancel()
    await _turns(_LAST_TURNS)


async def _shutdown_generators(loop: asyncio.AbstractEventLoop, within: float) -> None:
    """Close what asyncio knows of generators, but do not wait for ever for one that does not end."""
    closing = asyncio.Task(loop.shutdown_asyncgens())
    await asyncio.wait([closing], timeout=within)
    closing.cancel()
    await _turns(_LAST_TURNS)


async def _close(generator: AsyncGenerator[Any, Any]) -> None:
    with contextlib.suppress(Exception):  # its handler has ended: there is nobody to tell
        await generator.aclose()


def _name(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", None) or repr(type(coroutine))


# --- one loop per thread ------------------------------------------------------------------------------


@final
class _Keeper:
    """Closes a thread's loop with the thread: nothing but the thread's own storage refers to it.

    A loop itself may be referred to by the traceback of an error that somebody keeps.
    """

    def __init__(self, kept: KeptLoop) -> None:
        self._kept: Final = kept

    def __del__(self) -> None:
        """The thread ended, or has another loop."""
        # In a child that another thread forked this comes before the functions that Python calls after a fork.
        this_process[0] = os.getpid()
        if self._kept.forked:
            _inherited.append(self._kept)  # closing it would change the parent's selector
        elif not (self._kept.loop.is_closed() or self._kept.loop.is_running()):
            self._kept.loop.close()


class _Local(threading.local):
    kept: KeptLoop | None = None
    keeper: _Keeper | None = None
    adopted: KeptLoop | None = None


_local: Final = _Local()
_inherited: Final[list[KeptLoop]] = []
_given_up: Final[WeakSet[asyncio.AbstractEventLoop]] = WeakSet()
_buried: Final[set[asyncio.Task[Any]]] = set()
_once: Final[set[str]] = set()


def kept_loop() -> KeptLoop:
    """This thread's loop; a new one where there is none, or none that can be trusted."""
    kept = _local.kept
    if kept is not None:
        if kept.is_usable():
            return kept
        kept.discard()
    elif not _once:
        _at_first_loop()
    _local.kept = kept = KeptLoop()
    _local.keeper = _Keeper(kept)
    return kept


def current_loop() -> KeptLoop:
    """The loop that is set as this thread's current one, adopted where it is open and idle.

    Clients that a program made before its first batch live on that loop. Where there is none, or none that can be
    used, it is ours, which is set as the current one.
    """
    current, kept = loop_that_is_set(), _local.kept
    if current is not None and (kept is None or current is not kept.loop):
        adopted = _local.adopted
        if adopted is None or adopted.loop is not current:
            adopted = KeptLoop(current)
        if adopted.is_usable() and not (current.is_running() or current in _given_up):
            _local.adopted = adopted
            return adopted
    _local.adopted = None
    kept = kept_loop()
    kept.has_tenants = True  # whoever asks asyncio for the current loop may leave tasks on it
    if kept.loop is not current:
        asyncio.set_event_loop(kept.loop)
    return kept


def loop_that_is_set() -> asyncio.AbstractEventLoop | None:
    """The thread's current loop, without making one, which `asyncio.get_event_loop` does before 3.14."""
    if sys.version_info >= (3, 14):
        with contextlib.suppress(RuntimeError):
            return asyncio.get_event_loop()
        return None
    policy: Any = asyncio.get_event_loop_policy()  # pyright: ignore[reportDeprecated] - not asked from 3.14 on
    return getattr(getattr(policy, "_local", None), "_loop", None)


def discard_loop(kept: KeptLoop | None = None) -> None:
    """Throw a loop of this thread away; the next run makes a new one.

    Args:
        kept: The loop; None for ours.
    """
    if kept is None:
        kept = _local.kept
    if kept is None:
        return
    if kept.adopted:
        _local.adopted = None
        _given_up.add(kept.loop)
        asyncio.set_event_loop(None)
    elif kept is _local.kept:
        _local.kept = None
    kept.discard()


def leave_loop(loop: asyncio.AbstractEventLoop) -> None:
    """End a loop from another thread, as soon as what holds it lets go: no task on it takes another step."""
    ready: Any = getattr(loop, "_ready", None)
    if hasattr(ready, "appendleft"):
        # Whatever is to be called in this turn stands in it already, and would come first.
        ready.appendleft(asyncio.Handle(_leave, (), loop))
    with contextlib.suppress(RuntimeError):  # the thread has gone on meanwhile, and closed its loop
        loop.call_soon_threadsafe(_leave)


def _leave() -> None:
    raise LeftBehind


def let_go_of_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Let tasks be collected that were kept because their loop was given up.

    Args:
        loop: The loop; the coroutines on it have been closed.
    """
    _buried.difference_update([task for task in _buried if task.get_loop() is loop])


def replace_loop(kept: KeptLoop, why: str) -> None:
    """Throw a loop away, and say so: what lives on it fails from now on.

    Args:
        kept: The loop.
        why: What happened to it.
    """
    logger.warning("the event loop is replaced: %s. %s", why, LIVES_ON_THE_LOOP)
    discard_loop(kept)


LIVES_ON_THE_LOOP: Final = (
    "Clients, locks and queues made on the old loop, at import or by a handler, fail from now on in every "
    "invocation. Make them in the `lifespan=` of batch_handler, which is opened anew on the new loop; where there "
    "is none, make one per running loop"
)


# The function that raises when there is none costs ten times as much.
_running_loop: Final = asyncio._get_running_loop  # noqa: SLF001 - documented, underscore and all


def is_inside_loop() -> bool:
    """Whether an event loop runs in this thread."""
    return _running_loop() is not None


def refuse_running_loop(entry: object, instead: str) -> None:
    """Refuse a synchronous entry inside a running loop.

    Args:
        entry: What was called.
        instead: What works there.

    Raises:
        RunningLoopError: an event loop runs in this thread.
    """
    if _running_loop() is not None:
        raise RunningLoopError(str(entry), instead)


def shutdown_loop(timeout: float = 0.25) -> None:
    """Leave this thread's lifespans and close its loop; during a run, when that is over.

    Args:
        timeout: Seconds that lifespans have to exit.
    """
    kept = _local.kept
    if kept is None or kept.forked or kept.loop.is_closed():
        return
    if kept.loop.is_running():
        kept.closing = True
        return
    _local.kept = None
    kept.close(timeout)


def _at_first_loop() -> None:
    _once.add("registered")
    atexit.register(shutdown_loop)
    at_snapshot(shutdown_loop, discard_loop)


def at_snapshot(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Have functions called before a snapshot is taken, and after it is restored, where there are any.

    Connections do not survive a snapshot, and the clock may jump.
    https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html

    Args:
        before: Called before the snapshot.
        after: Called after each restore.
    """
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != "snap-start":
        return
    try:
        import snapshot_restore_py as hooks  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]  # Lambda's own
    except ImportError:
        return
    hooks.register_before_snapshot(before)
    hooks.register_after_restore(after)
