"""Ctrl-C in whatever the engine calls for a record: raised again at the end, except in Lambda."""

import asyncio

import pydantic
import pytest

from asyncbatch import BatchEngine, FailureReason, batch_handler
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.hooks import BatchEnded, BatchStarted, RecordEnded
from asyncbatch.testing import run_virtual, sqs_event


class Order(pydantic.BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, name):
        if name == "b":
            raise KeyboardInterrupt
        return name


class TextInterruptedError(Exception):
    def __str__(self):
        raise KeyboardInterrupt


class Unreadable(pydantic.BaseModel):
    """What is wrong with a payload is told by an exception that is not pydantic's, and interrupted."""

    name: str

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, name):
        if name == "b":
            raise UntoldError
        return name


class UntoldError(Exception):
    @property
    def errors(self):
        raise KeyboardInterrupt


def key(record):
    if record.json()["name"] == "b":
        raise KeyboardInterrupt
    return "k"


def key_whose_error_is_interrupted(record):
    if record.json()["name"] == "b":
        raise TextInterruptedError
    return "k"


async def fine(record):
    await asyncio.sleep(0)


async def raises_one_without_text(record):
    await asyncio.sleep(0)
    if record.json()["name"] == "b":
        raise TextInterruptedError


async def raises_one_without_text_at_once(record):
    if record.json()["name"] == "b":
        raise TextInterruptedError


WHERE = {
    "the validation of a payload": (fine, {"model": Order}),
    "the text of a validation's error": (fine, {"model": Unreadable}),
    "a key function": (fine, {"ordering": key}),
    "the text of a key function's error": (fine, {"ordering": key_whose_error_is_interrupted}),
    "the text of a handler's error": (raises_one_without_text, {}),
    "the text of a handler's error at once": (raises_one_without_text_at_once, {}),
}


def event():
    return sqs_event(['{"name": "a"}', '{"name": "b"}', '{"name": "c"}'])


@pytest.fixture(autouse=True)
def _outside_lambda(monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)


@pytest.mark.parametrize("options", [{}, {"guard_blocking": True}], ids=["plain", "guarded"])
@pytest.mark.parametrize("name", WHERE)
def test_ctrl_c_is_raised_again(name, options):
    handler, more = WHERE[name]
    with pytest.raises(KeyboardInterrupt):
        batch_handler(**options, **more)(handler)(event())
    assert BatchEngine().run(event(), fine).all_succeeded  # the next batch has a loop that works


@pytest.mark.parametrize("eager", [True, False] if CAN_START_EAGERLY else [False])
@pytest.mark.parametrize("name", WHERE)
def test_ctrl_c_leaves_nothing_running_in_the_callers_loop(name, eager):
    handler, options = WHERE[name]
    ended = []

    async def noting(record):
        await handler(record)
        ended.append(record.json()["name"])

    async def main():
        engine = BatchEngine(eager=eager, concurrency=1, **options)
        with pytest.raises(KeyboardInterrupt):
            await engine.process(event(), noting)
        await asyncio.sleep(1)

    run_virtual(main)
    assert ended in ([], ["a"])  # nothing was started after it


@pytest.mark.parametrize("eager", [True, False] if CAN_START_EAGERLY else [False])
@pytest.mark.parametrize("name", WHERE)
def test_in_lambda_it_costs_its_record(name, eager, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    handler, options = WHERE[name]
    report = run_virtual(lambda: BatchEngine(eager=eager, **options).process(event(), handler))
    failed = report.outcomes[1]
    assert report.failures == [failed.id]
    assert failed.reason in {FailureReason.RAISED, FailureReason.INVALID_PAYLOAD}


def test_ctrl_c_of_a_record_whose_time_is_up_is_raised_again():
    async def handler(record):
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None

    engine = BatchEngine(record_timeout=1.0)
    with pytest.raises(KeyboardInterrupt):
        run_virtual(lambda: engine.process(sqs_event(["a", "b"]), handler))


def test_what_stopped_the_run_first_is_raised():
    """An exception that is not true is one all the same."""

    class UntrueInterrupt(KeyboardInterrupt):
        def __bool__(self):
            return False

    async def handler(record):
        raise UntrueInterrupt if record.text == "a" else KeyboardInterrupt

    with pytest.raises(UntrueInterrupt):
        run_virtual(lambda: BatchEngine(eager=False).process(sqs_event(["a", "b"]), handler))
    with pytest.raises(UntrueInterrupt):
        BatchEngine().run(sqs_event(["a", "b"]), handler)


def test_hooks_hear_of_the_record_that_ctrl_c_came_with_and_of_none_after_it():
    told = []

    async def handler(record):
        pass

    engine = BatchEngine(model=Order, concurrency=1, hooks=[told.append])
    with pytest.raises(KeyboardInterrupt):
        run_virtual(lambda: engine.process(event(), handler))
    ended = [each.outcome for each in told if isinstance(each, RecordEnded)]
    assert [type(each).__name__ for each in ended] == ["Succeeded", "Failed"]
    assert ended[1].reason is FailureReason.INVALID_PAYLOAD


@pytest.mark.parametrize("guard_blocking", [False, True])
def test_ctrl_c_is_the_end_of_the_batch_for_hooks(guard_blocking):
    told = []

    async def handler(record):
        raise KeyboardInterrupt

    engine = BatchEngine(hooks=[told.append], guard_blocking=guard_blocking)
    with pytest.raises(KeyboardInterrupt):
        engine.run(event(), handler)
    ends = [type(each) for each in told if isinstance(each, BatchStarted | BatchEnded)]
    assert ends == [BatchStarted, BatchEnded]
    assert not told[-1].report.succeeded
