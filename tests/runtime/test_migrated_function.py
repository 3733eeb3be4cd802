"""A function that was written for Powertools, under AWS's own runtime client."""

import time
from collections.abc import Callable
from typing import Any

import pytest

Start = Callable[..., Any]

ENTRIES = pytest.mark.parametrize("entry", ["lambda_handler", "sync_handler"])


@ENTRIES
def test_runs_on_the_loop_that_its_import_set(start: Start, entry: str) -> None:
    function = start(f"migrated.{entry}")
    for _ in range(3):
        assert function.send("a", "b", "raise").failed == [2]
    assert function.notes == [{"adopted": True}] * 6


@ENTRIES
def test_a_cancellation_costs_one_record(start: Start, entry: str) -> None:
    function = start(f"migrated.{entry}")
    assert function.send("a", "cancel", "b").failed == [1]
    assert function.send("a").failed == []


def test_replies_in_time_and_keeps_what_is_finished(start: Start) -> None:
    function = start("migrated.lambda_handler")
    began = time.perf_counter()
    assert function.send("a", "slow", "b", timeout=1.0).failed == [1]
    assert time.perf_counter() - began < 1.0
    assert function.send("a").failed == []
    assert function.notes[-1] == {"adopted": True}


def test_a_straggler_costs_the_loop_and_does_not_run_on(start: Start) -> None:
    function = start("migrated.lambda_handler")
    assert function.send("a", "straggle", timeout=1.0).failed == [1]
    before = len(function.notes)
    function.process.freeze()
    time.sleep(0.2)
    # The lock of the module was never waited for, so that it is bound to no loop.
    assert function.send("a", "b").failed == []
    assert function.notes[before:] == [{"adopted": False}] * 2


def test_a_failed_batch_is_a_failed_invocation(start: Start) -> None:
    function = start("migrated.lambda_handler")
    batch = function.send("raise", "cancel")
    assert batch.result.error is not None
    assert batch.result.error.type == "BatchProcessingError"
    assert "All records failed processing. 2 individual errors" in batch.result.error.message
    assert function.send("a").failed == []


def test_a_client_of_the_import_survives_freezes(start: Start, backend: Any) -> None:
    function = start("migrated.client_handler", environment={"BACKEND": backend.url})
    assert function.send("a").failed == []
    assert function.send("b").failed == []
    assert len(backend.connections) == 1
    function.process.freeze()
    backend.close_idle()
    time.sleep(0.3)
    assert function.send("c").failed == []
    assert backend.requests == [b"a", b"b", b"c"]
    assert len(backend.connections) == 2
