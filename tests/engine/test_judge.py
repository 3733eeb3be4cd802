"""A judge decides about success in place of the engine, for handlers that turn exceptions into results."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from histories import virtual_kept_loops

from asyncbatch import FailureReason, SkipReason
from asyncbatch._events import read_event
from asyncbatch._handlers import BoundHandler
from asyncbatch._invocation import Job, run_where_clients_live
from asyncbatch._ledger import Ledger
from asyncbatch._options import Options
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.testing import sqs_event

EAGER = pytest.mark.parametrize("eager", [True, False] if CAN_START_EAGERLY else [False])
RAWS = sqs_event(["a", "b", "c", "d"])


def judged(
    handler: Any,
    judge: Callable[[int, Any], bool],
    *,
    eager: bool,
    concurrency: int = 10,
    budget: float | None = None,
) -> Ledger:
    """Run four records, and give the ledger."""
    options = Options(concurrency=concurrency, eager=eager)
    job = Job(options, read_event(RAWS), BoundHandler(handler), None, budget, judge)
    with virtual_kept_loops():
        job.ledger.seal(run_where_clients_live(job, budget))
    return job.ledger


@EAGER
def test_decides_and_handlers_get_raw_records(eager):
    seen = []

    async def handler(raw):
        await asyncio.sleep(ord(raw["body"]) % 3)
        return raw["body"]

    def judge(position, result):
        seen.append((position, result))
        return result in "ac"

    ledger = judged(handler, judge, eager=eager)
    assert ledger.result == bytes([1, 0, 1, 0])
    assert sorted(seen) == list(enumerate("abcd"))


@EAGER
def test_a_success_with_a_cancellation_pending_is_none(eager):
    async def handler(raw):
        if raw["body"] == "b":
            asyncio.current_task().cancel()

    ledger = judged(handler, lambda _position, _result: True, eager=eager)
    assert ledger.result == bytes([1, 0, 1, 1])
    assert ledger.failures[1].reason is FailureReason.CANCELLED


@EAGER
@pytest.mark.parametrize("waits", [False, True])
def test_what_a_handler_raises_all_the_same_ends_the_run(eager, waits):
    cancelled = []

    class OutOfHandError(Exception):
        pass

    async def handler(raw):
        if raw["body"] == "a":
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                cancelled.append("a")
                raise
        if waits:
            await asyncio.sleep(1)
        raise OutOfHandError

    with pytest.raises(OutOfHandError) as caught:
        judged(handler, lambda _position, _result: True, eager=eager, concurrency=2)
    assert cancelled == ["a"]
    assert caught.traceback[-1].name == "handler"


@EAGER
def test_a_cancellation_is_the_records_own(eager):
    async def handler(raw):
        if raw["body"] == "b":
            raise asyncio.CancelledError

    ledger = judged(handler, lambda _position, _result: True, eager=eager)
    assert ledger.result == bytes([1, 0, 1, 1])


@EAGER
def test_an_interrupt_fails_its_record_in_lambda_and_starts_no_more(eager, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")

    async def handler(raw):
        if raw["body"] == "b":
            raise KeyboardInterrupt

    ledger = judged(handler, lambda _position, _result: True, eager=eager, concurrency=1)
    assert ledger.result == bytes([1, 0, 0, 0])
    assert ledger.failures[1].reason is FailureReason.RAISED
    assert ledger.skips == {2: SkipReason.STOPPED, 3: SkipReason.STOPPED}


@EAGER
def test_what_is_raised_past_the_judge_is_noted_as_text(eager, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(
        "AWS_LAMBDA_FUNCTION_NAME", "orders"
    )  # elsewhere it is raised, and nobody reads the ledger

    async def handler(raw):
        raise SystemExit("enough")

    ledger = judged(handler, lambda _position, _result: True, eager=eager, concurrency=1)
    failure = ledger.failures[0]
    assert (failure.reason, failure.error) == (FailureReason.RAISED, None)
    assert failure.message == "SystemExit: enough"


@EAGER
def test_what_is_judged_after_the_seal_counts_for_nothing(eager):
    async def handler(raw):
        if raw["body"] == "b":
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                return

    ledger = judged(handler, lambda _position, _result: True, eager=eager, budget=1.0)
    assert ledger.result == bytes([1, 0, 1, 1])
    assert ledger.failures[1].reason is FailureReason.DEADLINE


@EAGER
def test_what_a_record_raises_after_the_seal_leaves_nothing(eager):
    """It may turn the cancellation at the deadline into an error of its own."""

    async def handler(raw):
        try:
            await asyncio.sleep(0 if raw["body"] == "a" else 1000)
        except asyncio.CancelledError:
            raise ConnectionError from None

    ledger = judged(handler, lambda *_: True, eager=eager, budget=1.0)
    assert ledger.result == bytes([1, 0, 0, 0])
    assert {failure.reason for failure in ledger.failures.values()} == {FailureReason.DEADLINE}


@EAGER
def test_a_coroutine_that_is_closed_costs_its_record_alone(eager):
    async def handler(raw):
        if raw["body"] == "b":
            coroutine = asyncio.current_task().get_coro()
            asyncio.get_running_loop().call_soon(coroutine.close)
        await asyncio.sleep(1)

    ledger = judged(handler, lambda position, result: True, eager=eager)
    assert ledger.result == bytes([1, 0, 1, 1])
