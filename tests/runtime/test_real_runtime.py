"""Batch handlers under AWS's own runtime client, frozen, thawed, late, blocked and mistreated."""

import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch.testing import sqs_event

NOTE = {"do": "note"}
Start = Callable[..., Any]


def test_one_loop_serves_every_invocation(start: Start) -> None:
    function = start("behaviour.lambda_handler")
    for _ in range(3):
        assert function.send(NOTE, {"do": "lock"}, {"do": "lock"}, NOTE).failed == []
    assert [note["loop"] for note in function.notes] == [1] * 6
    assert {note["pid"] for note in function.notes} == {function.process.pid}


def test_a_bad_record_is_reported_and_the_next_batch_is_clean(start: Start) -> None:
    function = start("behaviour.lambda_handler")
    assert function.send(NOTE, {"do": "raise", "error": "ValueError"}, NOTE).failed == [1]
    assert function.send(NOTE, NOTE).failed == []


def test_an_event_that_cannot_be_reported_on_fails_the_invocation(start: Start) -> None:
    function = start("behaviour.lambda_handler")
    result = function.process.invoke({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]})
    assert result.error is not None
    assert result.error.type == "InvalidEventError"
    assert function.send(NOTE).failed == []


@pytest.mark.parametrize("entry", ["lambda_handler", "without_lifespan"])
def test_a_kept_connection_that_was_closed_during_a_freeze(start: Start, backend: Any, entry: str) -> None:
    function = start(f"pooled.{entry}", environment={"BACKEND": backend.url})
    assert function.send("a").failed == []
    assert function.send("b").failed == []
    assert len(backend.connections) == 1  # the client keeps it
    function.process.freeze()
    backend.close_idle()
    time.sleep(0.3)
    assert function.send("c").failed == []
    assert (backend.requests, len(backend.connections)) == ([b"a", b"b", b"c"], 2)
    assert function.process.stdout == ("opened\n" if entry == "lambda_handler" else "")


def test_sleep_and_timers_survive_a_freeze(start: Start) -> None:
    function = start("behaviour.timed")
    assert function.send(NOTE).failed == []
    function.process.freeze()
    time.sleep(0.4)  # longer than the record timeout
    assert function.send(NOTE, {"do": "sleep", "seconds": 0.01}, {"do": "sleep"}).failed == [2]


def test_what_is_done_before_the_deadline_counts(start: Start) -> None:
    function = start("behaviour.lambda_handler")
    batch = function.send(NOTE, {"do": "sleep"}, NOTE, {"do": "sleep", "seconds": 0.1}, timeout=1.0)
    assert batch.failed == [1]
    assert batch.result.duration > 0.6  # the time was used
    assert function.send(NOTE).failed == []
    assert [note["loop"] for note in function.notes] == [1, 1, 1]


# A bare `except:` goes on even when its coroutine is destroyed, and would then hold the process.
@pytest.mark.parametrize("deed", ["swallow", "swallow everything"])
def test_a_handler_that_swallows_its_cancellation(start: Start, deed: str) -> None:
    function = start("behaviour.collected")
    assert function.send(NOTE, {"do": deed}, timeout=1.0).failed == [1]
    before = len(function.notes)
    assert function.send(NOTE, {"do": "sleep", "seconds": 0.3}).failed == []
    assert function.notes[before:] == [{"loop": 2, "pid": function.process.pid}]


@pytest.mark.parametrize("deed", ["exit", "cancel all", "stop", "make a task"])
def test_a_timer_that_a_handler_left_behind_ends_no_later_invocation(start: Start, deed: str) -> None:
    function = start("behaviour.lambda_handler")
    assert function.send(NOTE, {"do": "leave a timer", "seconds": 0.05, "deed": deed}).failed == []
    function.process.freeze()
    time.sleep(0.2)
    before = len(function.notes)
    for _ in range(2):
        assert function.send(NOTE, {"do": "sleep", "seconds": 0.1}).failed == []
    # One note each: nothing else runs beside the records.
    assert [note["pid"] for note in function.notes[before:] if "pid" in note] == [function.process.pid] * 2
    if deed != "make a task":
        assert len(function.notes) == before + 2


def test_a_task_that_a_handler_left_behind(start: Start) -> None:
    function = start("behaviour.collected")
    assert function.send(NOTE, {"do": "leave"}).failed == []
    before = len(function.notes)
    assert function.send(NOTE, {"do": "sleep", "seconds": 0.3}).failed == []
    assert function.notes[before:] == [{"loop": 2, "pid": function.process.pid}]


def test_a_handler_that_blocks_behind_the_guard(start: Start) -> None:
    function = start("behaviour.guarded")
    pid = function.process.pid
    assert function.send(NOTE).failed == []
    assert 1 in function.send(NOTE, {"do": "block"}, timeout=1.0).failed
    assert function.send(NOTE, NOTE).failed == []
    assert function.process.pid == pid
    assert [note["loop"] for note in function.notes][-2:] == [2, 2]


def test_a_handler_that_blocks_without_the_guard_misses_the_deadline(start: Start) -> None:
    function = start("behaviour.lambda_handler")
    assert function.send(NOTE, {"do": "block"}, timeout=1.0).result.timed_out
    assert function.send(NOTE).failed == []  # in a new process


@pytest.mark.parametrize("entry", ["lambda_handler", "guarded"])
@pytest.mark.parametrize(
    "error",
    [
        "MemoryError",
        "RecursionError",
        "StopIteration",
        "StopAsyncIteration",
        "CancelledError",
        "SystemExit",
        "GeneratorExit",
        "Odd",
    ],
)
def test_whatever_a_handler_raises_costs_its_record_alone(start: Start, entry: str, error: str) -> None:
    function = start(f"behaviour.{entry}")
    pid = function.process.pid
    assert function.send(NOTE, {"do": "raise", "error": error}, NOTE).failed == [1]
    assert function.send(NOTE).failed == []
    assert function.process.pid == pid
    assert {note["loop"] for note in function.notes} == {1}


@pytest.mark.parametrize("entry", ["lambda_handler", "guarded"])
@pytest.mark.parametrize(
    "deed", [{"do": "raise", "error": "KeyboardInterrupt"}, {"do": "stop"}, {"do": "cancel all"}]
)
def test_whatever_a_handler_does_to_the_loop_the_process_lives(
    start: Start, entry: str, deed: dict[str, object]
) -> None:
    function = start(f"behaviour.{entry}")
    pid = function.process.pid
    assert 1 in function.send(NOTE, deed, NOTE).failed
    assert function.send(NOTE, NOTE).failed == []
    assert function.process.pid == pid


def test_forked_workers_have_a_loop_each(start: Start) -> None:
    function = start("behaviour.lambda_handler", concurrency=3)
    process = function.process
    event = sqs_event([NOTE, {"do": "sleep", "seconds": 0.3}])
    for _ in range(2):
        results = [process.wait(each) for each in [process.submit(event) for _ in range(3)]]
        assert [result.payload for result in results] == [{"batchItemFailures": []}] * 3
        process.freeze()
    pids = [note["pid"] for note in function.notes]
    assert len(set(pids)) == 3
    assert process.pid not in pids
    assert {note["loop"] for note in function.notes} == {1}


def test_sigterm_leaves_the_lifespan(start: Start, backend: Any) -> None:
    # The runtime then waits in a thread, so that Python runs signal handlers: Lambda's own runtimes
    # do so from 3.12 on.
    environment = {"BACKEND": backend.url, "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13"}
    function = start("pooled.lambda_handler", environment=environment)
    assert function.send("a").failed == []
    code = function.process.terminate(grace=0.5)
    assert function.process.stdout == "opened\nclosed\n"
    assert code == -signal.SIGKILL  # the runtime client does not end by itself


@pytest.mark.skipif(sys.platform != "linux", reason="Lambda is Linux")
def test_a_process_restored_from_a_snapshot(start: Start) -> None:
    function = start("behaviour.lambda_handler", snap_start=True)
    assert function.process.api.restored == 1
    assert function.send(NOTE, NOTE).failed == []
