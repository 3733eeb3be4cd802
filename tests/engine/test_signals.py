"""Exceptions that signal handlers raise, as alarm-style timeouts do: they come at any moment, in any code."""

import asyncio
import contextlib
import dis
import inspect
import random
import signal
import sys
from functools import cache, partial
from itertools import pairwise
from unittest import mock

import pytest
from histories import virtual_kept_loops

from asyncbatch import BatchEngine, _invocation, _loop, _scheduler
from asyncbatch._loop import kept_loop
from asyncbatch._raised import was_raised_by_signal_handler
from asyncbatch._scheduler import Run
from asyncbatch.testing import LambdaContext, run_virtual, sqs_event

SIZE = 4


class AlarmError(Exception):
    """What a handler of SIGALRM raises."""


@cache
def places_of(code):
    """The offsets in a function's code at which the interpreter may run signal handlers."""
    instructions = list(dis.get_instructions(code))
    after_calls = {
        after.offset
        for before, after in pairwise(instructions)
        if before.opname.startswith(("CALL", "PRECALL")) and after.opname != "CALL"
    }
    return after_calls | {each.offset for each in instructions if each.opname == "JUMP_BACKWARD"}


@cache
def codes_of(module):
    """The code of every function and method of a module."""
    functions = [
        getattr(each, "fget", each)
        for owner in (module, *filter(inspect.isclass, vars(module).values()))
        for each in vars(owner).values()
    ]
    return {
        each.__code__ for each in functions if inspect.isfunction(each) and each.__module__ == module.__name__
    }


class Interrupter:
    """Raises at one of the places where the interpreter may run signal handlers, in the code of some modules.

    Those are the begin and the resumption of a function, the end of a call, and jumps back.

    Args:
        modules: The modules. What interrupts a handler is the handler's own trouble, and no subject here.
        at: The number of the place, from 0, as they are passed; None to count them only.
        but_for: A function at whose begin it does not raise.
    """

    def __init__(self, modules, at=None, but_for=None):
        self.places = {code: places_of(code) for module in modules for code in codes_of(module)}
        self.at = at
        self.but_for = but_for.__code__ if but_for else None
        self.passed = 0
        self.raised = False

    def _pass(self):
        self.passed += 1
        if self.passed - 1 == self.at:
            self.raised = True
            raise AlarmError

    if sys.version_info >= (3, 12):

        def __enter__(self):
            monitoring, events = sys.monitoring, sys.monitoring.events
            monitoring.use_tool_id(monitoring.DEBUGGER_ID, "interrupter")
            monitoring.register_callback(monitoring.DEBUGGER_ID, events.INSTRUCTION, self._at_instruction)
            monitoring.register_callback(monitoring.DEBUGGER_ID, events.PY_START, self._at_begin)
            monitoring.register_callback(monitoring.DEBUGGER_ID, events.PY_RESUME, self._at_begin)
            self._watch(events.INSTRUCTION | events.PY_START | events.PY_RESUME)
            return self

        def __exit__(self, *_):
            self._watch(0)
            sys.monitoring.free_tool_id(sys.monitoring.DEBUGGER_ID)

        def _watch(self, events):
            for code in self.places:
                sys.monitoring.set_local_events(sys.monitoring.DEBUGGER_ID, code, events)

        def _at_begin(self, code, offset):
            if code is not self.but_for:
                self._pass()

        def _at_instruction(self, code, offset):
            if offset in self.places[code]:
                self._pass()

    else:  # there is nothing else before 3.12, and from then on it misses instructions

        def __enter__(self):
            self.before = sys.gettrace()  # coverage's
            sys.settrace(self._at_call)
            return self

        def __exit__(self, *_):
            sys.settrace(self.before)

        def _at_call(self, frame, event, arg):
            if frame.f_code not in self.places:
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            is_resumed = frame.f_lasti > _FIRST_INSTRUCTIONS  # what is raised here passes its `try` blocks
            if not is_resumed and frame.f_code is not self.but_for:
                self._pass()
            return self._at_opcode

        def _at_opcode(self, frame, event, arg):
            if event == "opcode" and frame.f_lasti in self.places[frame.f_code]:
                self._pass()
            return self._at_opcode


_FIRST_INSTRUCTIONS = 8


async def handler(record):
    number = int(record.body)
    if number == 1:
        raise ValueError
    if number == 2:
        await asyncio.sleep(0.01)
    if number == 3:
        await asyncio.sleep(2)


ENGINES = {
    "plain": {},
    "one at a time": {"concurrency": 1},
    "with a record timeout": {"record_timeout": 1.0},
    "as ordinary tasks": {"eager": False},
    "in lanes": {"ordering": lambda record: int(record.body) % 2},
    "with a rate": {"rate_limit": 100},
}


def whole():
    return sqs_event([str(number) for number in range(SIZE)])


def assert_true(report):
    """No record is taken as done that did not end well."""
    assert {outcome.position for outcome in report.succeeded} <= {0, 2, 3}


def process_interrupted(options, at):
    """Process a batch in a loop of the caller's, and interrupt the scheduler at a place."""
    # What is raised before the first instruction of a callback is caught by the event loop itself, which tells
    # nothing but its exception handler: on a loop of the caller's, that one place is left out.
    interrupter = Interrupter([_scheduler], at, but_for=Run._call)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)  # a task that ends with the alarm
        begun = loop.time()
        engine = BatchEngine(deadline_margin=1.0, **options)
        another = asyncio.create_task(
            BatchEngine().process(sqs_event(["3"]), handler)
        )  # a run that goes on beside it
        await asyncio.sleep(0)
        with interrupter, contextlib.suppress(AlarmError):
            assert_true(await engine.process(whole(), handler, deadline=60))
        with contextlib.suppress(AlarmError):
            await another
        assert loop.time() - begun < 10
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main)
    return interrupter


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("options", ENGINES)
def test_a_run_never_waits_for_its_deadline_wherever_an_alarm_interrupts_the_scheduler(options):
    places = process_interrupted(ENGINES[options], None).passed
    assert places > 50
    for at in range(places):
        assert process_interrupted(ENGINES[options], at).raised, at


def run_interrupted(engine, at):
    """Run a batch on a loop of ours, and interrupt whatever runs it at a place; then run another."""
    interrupter = Interrupter([_scheduler, _loop, _invocation], at)
    begun = kept_loop().time()
    looks = mock.patch.object(_loop, "was_raised_by_signal_handler", is_alarm)
    with interrupter, looks, contextlib.suppress(AlarmError):
        assert_true(engine.run(whole(), handler, LambdaContext(timeout=60)))
    assert asyncio._get_running_loop() is None
    assert kept_loop().time() - begun < 10
    report = engine.run(whole(), handler, LambdaContext(timeout=60))
    assert {outcome.position for outcome in report.succeeded} >= {0, 2}, at
    return interrupter


def is_alarm(error):
    """Stands for the look at a traceback: what raises here is no signal handler, but stands for one."""
    return type(error) is AlarmError


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("options", ENGINES)
def test_a_loop_of_ours_bears_an_alarm_wherever_it_comes(options):
    engine = BatchEngine(**ENGINES[options])
    with virtual_kept_loops():
        places = run_interrupted(engine, None).passed
        assert places > 100
        for at in range(places):
            assert run_interrupted(engine, at).raised, at


ALARMS = 300
"""Runs that a real alarm interrupts. A program outside of the tests interrupted ten thousand, and none waited."""


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_real_alarms_let_no_run_wait_for_its_deadline(monkeypatch):
    def on_alarm(number, frame):
        raise AlarmError

    async def waits_a_little(record):
        if int(record.body) % 3:
            await asyncio.sleep(0)

    monkeypatch.setattr(
        sys, "unraisablehook", lambda _: None
    )  # an alarm may also come where a finalizer runs
    rng = random.Random(11)
    event = sqs_event([str(number) for number in range(30)])
    engine = BatchEngine(concurrency=8)
    waited = 0
    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        for _ in range(ALARMS):
            context = LambdaContext(timeout=20)
            with contextlib.suppress(
                AlarmError, SystemError
            ):  # the latter is CPython's, with the alarm as its cause
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 2e-3))
                    engine.run(event, waits_a_little, context)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            waited += context.get_remaining_time_in_millis() < 10_000
    finally:
        signal.signal(signal.SIGALRM, before)
    assert waited == 0


def on_alarm(number, frame):
    raise AlarmError


class Alarm:
    """Other things that can be a signal's handler."""

    def method(self, number, frame):
        raise AlarmError

    def __call__(self, number, frame):
        raise AlarmError


@pytest.mark.parametrize(
    "handler",
    [on_alarm, Alarm().method, Alarm(), partial(on_alarm)],
    ids=["function", "method", "object", "partial"],
)
def test_an_exception_of_a_signal_handler_is_told_from_others(handler):
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(AlarmError) as raised:
            signal.raise_signal(signal.SIGUSR1)
        assert was_raised_by_signal_handler(raised.value)
        with pytest.raises(ZeroDivisionError) as other:
            1 / 0  # noqa: B018 - it raises
        assert not was_raised_by_signal_handler(other.value)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_an_alarm_ends_what_a_loop_runs_besides_records():
    """The turns of a thaw call each other: where an alarm comes between two of them, nothing stops the loop."""

    def start(loop, stop):
        loop.call_soon(signal.raise_signal, signal.SIGALRM)
        loop.call_later(1.0, stop)  # so that the test ends where the alarm is only logged

    before = signal.signal(signal.SIGALRM, on_alarm)
    try:
        kept = kept_loop()
        assert not kept.contains(start)
        kept.discard()
    finally:
        signal.signal(signal.SIGALRM, before)
