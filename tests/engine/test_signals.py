"""Exceptions that signal handlers raise, as alarm-style timeouts do: they come at any moment, in any code."""

import asyncio
import dis
import inspect
import sys
from functools import cache
from itertools import pairwise

import pytest

from asyncbatch import BatchEngine, _scheduler
from asyncbatch._scheduler import Run
from asyncbatch.testing import run_virtual, sqs_event

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
    """Raises at one of the places where the interpreter may run signal handlers, in the code of one module.

    Those are the begin and the resumption of a function, the end of a call, and jumps back. What is raised before
    the first instruction of a callback is caught by the event loop itself, which says so to nothing but its
    exception handler: in a loop that is the caller's, that one place is left out.

    Args:
        module: The module. What interrupts a handler is the handler's own trouble, and no subject here.
        at: The number of the place, from 0, as they are passed; None to count them only.
    """

    def __init__(self, module, at=None):
        self.places = {code: places_of(code) for code in codes_of(module)}
        self.at = at
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
            if code is not Run._call.__code__:
                self._pass()

        def _at_instruction(self, code, offset):
            if offset in self.places[code]:
                self._pass()

    else:  # there is nothing else before 3.12, and from then on it misses instructions

        def __enter__(self):
            sys.settrace(self._at_call)
            return self

        def __exit__(self, *_):
            sys.settrace(None)

        def _at_call(self, frame, event, arg):
            if frame.f_code not in self.places:
                return None
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            is_resumed = frame.f_lasti > _FIRST_INSTRUCTIONS  # what is raised here passes its `try` blocks
            if not is_resumed and frame.f_code is not Run._call.__code__:
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


def run_interrupted(options, module, at):
    """Run a batch that is interrupted at a place; give the interrupter, and what was seen of the run."""
    whole = sqs_event([str(number) for number in range(SIZE)])
    seen = {}
    interrupter = Interrupter(module, at)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)  # a task that ends with the alarm
        begun = loop.time()
        engine = BatchEngine(deadline_margin=1.0, **options)
        with interrupter:
            try:
                seen["report"] = await engine.process(whole, handler, deadline=60)
            except AlarmError:
                seen["report"] = None
        seen["seconds"] = loop.time() - begun
        seen["tasks"] = len(asyncio.all_tasks()) - 1

    run_virtual(main)
    return interrupter, seen


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.parametrize("options", ENGINES)
def test_a_run_never_waits_for_its_deadline_wherever_an_alarm_interrupts_the_scheduler(options):
    counted, _ = run_interrupted(ENGINES[options], _scheduler, None)
    assert counted.passed > 50
    for at in range(counted.passed):
        interrupter, seen = run_interrupted(ENGINES[options], _scheduler, at)
        assert interrupter.raised, at
        assert seen["seconds"] < 10, at
        assert seen["tasks"] == 0, at
        if seen["report"] is not None:
            succeeded = {outcome.position for outcome in seen["report"].succeeded}
            assert succeeded <= {0, 2, 3}, at
