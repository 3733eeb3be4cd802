"""Tasks that do not start eagerly ask before their first step whether they still may."""

import asyncio
import time

from asyncbatch import BatchEngine, Failed, Skipped, SkipReason, Succeeded
from asyncbatch.testing import LambdaContext, kinesis_event, sqs_event

LAZY = BatchEngine(eager=False)


def test_none_begins_beyond_the_deadline():
    begun = []

    async def handler(record):
        begun.append(record.text)
        time.sleep(0.15)

    report = LAZY.run(sqs_event(["a", "b", "c", "d"]), handler, LambdaContext(0.5))
    assert begun == ["a", "b"]  # sealed after 0.2 s
    assert [outcome.reason for outcome in report.outcomes[2:]] == [SkipReason.DEADLINE] * 2


def test_none_begins_behind_a_failure_that_halts_the_batch():
    begun = []

    async def handler(record):
        begun.append(record.text)
        raise ValueError

    report = LAZY.run(kinesis_event(["a", "b", "c"], keys=["x", "y", "z"]), handler)
    assert begun == ["a"]
    assert [type(outcome) for outcome in report.outcomes] == [Failed, Skipped, Skipped]
    assert {outcome.reason for outcome in report.outcomes[1:]} == {SkipReason.BATCH_HALTED}


def test_records_before_the_failure_still_begin():
    async def handler(record):
        if record.text == "c":
            raise ValueError

    keys = ["x", "x", "y", "y"]  # two lanes: a b, c d
    report = LAZY.run(kinesis_event(["a", "b", "c", "d"], keys=keys), handler)
    assert [type(outcome) for outcome in report.outcomes] == [Succeeded, Succeeded, Failed, Skipped]


def test_none_begins_after_an_interrupt_in_lambda(monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    begun = []

    async def handler(record):
        begun.append(record.text)
        raise KeyboardInterrupt

    report = LAZY.run(sqs_event(["a", "b", "c"]), handler)
    assert begun == ["a"]
    assert {outcome.reason for outcome in report.outcomes[1:]} == {SkipReason.STOPPED}


def test_a_handler_that_closes_the_others_before_they_begin_costs_those_alone():
    async def handler(record):
        if record.text == "a":
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.get_coro().close()
        await asyncio.sleep(0.001)

    report = BatchEngine(eager=False, concurrency=3).run(sqs_event(["a", "b", "c", "d"]), handler)
    assert [outcome.position for outcome in report.succeeded] == [0, 3]
    assert report.duration < 5
