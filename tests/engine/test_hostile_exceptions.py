"""Whatever class of exception a handler raises, its record fails, and the others have their reply."""

import asyncio
import logging

import pytest
from hostile import HOSTILE, raise_hostile

from asyncbatch import BatchEngine, Failed, FailureReason, batch_handler, threaded
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.limits import AdaptiveLimit
from asyncbatch.testing import LambdaContext, run_virtual, sqs_event


@pytest.fixture(autouse=True)
def _in_lambda(monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")


def event():
    return sqs_event(["A", "B", "C"])


def at_once(make):
    async def handler(record):
        if record.text == "B":
            raise make()

    return handler


def after_a_wait(make):
    async def handler(record):
        await asyncio.sleep(0.001)
        if record.text == "B":
            raise make()

    return handler


def from_another(make):
    async def handler(record):
        if record.text == "B":
            try:
                await at_once(make)(record)
            except BaseException as error:
                raise make() from error

    return handler


def in_a_group(make):
    async def handler(record):
        if record.text == "B":
            raise BaseExceptionGroup("group", [make(), make()])

    return handler


def in_a_task_group(make):
    async def fails():
        raise make()

    async def handler(record):
        if record.text == "B":
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())

    return handler


def in_a_thread(make):
    @threaded
    def handler(record):
        if record.text == "B":
            raise make()

    return handler


HANDLERS = [at_once, after_a_wait, from_another, in_a_group, in_a_task_group, in_a_thread]


@pytest.mark.parametrize("raising", HANDLERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_exception_fails_its_record_alone(name, raising, caplog):
    caplog.set_level(logging.DEBUG)
    told = []
    engine = BatchEngine(hooks=[told.append], concurrency=AdaptiveLimit(), raise_on_failure="never")
    report = engine.run(event(), raising(HOSTILE[name]), LambdaContext())
    _, b, _ = report.outcomes
    assert report.failures == [b.id]
    assert isinstance(b, Failed)
    assert b.reason is FailureReason.RAISED
    assert b.message
    assert b.trace
    assert "1 x raised" in report.summary()
    assert len(told) == 1 + 2 * 3 + 1 + sum(type(each).__name__ == "LimitChanged" for each in told)


@pytest.mark.parametrize("options", [{}, {"guard_blocking": True}], ids=["plain", "guarded"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_exception_fails_its_record_alone_in_lambda(name, options):
    for raising in (at_once, after_a_wait):
        reply = batch_handler(**options)(raising(HOSTILE[name]))(event(), LambdaContext())
        assert len(reply["batchItemFailures"]) == 1


@pytest.mark.parametrize("eager", [True, False] if CAN_START_EAGERLY else [False])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_exception_fails_its_record_alone_in_the_callers_loop(name, eager):
    engine = BatchEngine(eager=eager)
    report = run_virtual(lambda: engine.process(event(), after_a_wait(HOSTILE[name])))
    assert len(report.failures) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_a_key_function_may_raise_it(name):
    def key(record):
        if record.text == "B":
            raise_hostile(name)
        return record.text

    async def fine(record):
        pass

    report = BatchEngine(ordering=key).run(event(), fine)
    assert [report.outcomes[1].id] == report.failures
