"""Options, handlers and lifespans that an attack found to fail late: they are refused, or told, at once."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

from asyncbatch import (
    BatchEngine,
    InvalidHandlerError,
    InvalidOptionError,
    RunningLoopError,
    batch_handler,
    threaded,
)
from asyncbatch.testing import sqs_event


async def quiet(record):
    pass


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"failure_scope": "batch"}, "failure_scope: must be one of FailureScope.RECORD"),
        ({"source": "sqs"}, "source: must be one of EventSource.SQS"),
        ({"hooks": print}, "hooks: must be a list of functions"),
        ({"hooks": [quiet]}, "hooks: must be plain functions"),
        ({"model": "Order"}, "model: must be a type"),
        ({"lifespan": 5}, "lifespan: must be a function"),
        ({"lifespan": quiet}, "lifespan: must make an async context manager"),
        ({"lifespan": lambda app: app}, "lifespan: is called without arguments"),
        ({"raise_on_failure": []}, "raise_on_failure: is"),
    ],
)
def test_options_of_the_wrong_type(options, told):
    with pytest.raises(InvalidOptionError) as caught:
        BatchEngine(**options)
    assert str(caught.value).startswith(told)


async def wants_more(record, ctx):
    pass


async def wants_nothing():
    pass


async def wants_by_name(*, record):
    pass


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (wants_more, "nothing fills its parameter `ctx`"),
        (wants_nothing, "no first parameter for the record"),
        (wants_by_name, "no first parameter for the record"),
        (batch_handler(quiet), "it handles whole batches already"),
        (threaded(batch_handler(quiet)), "it handles whole batches already"),
    ],
    ids=["more", "nothing", "by name", "a batch handler", "a threaded batch handler"],
)
def test_handlers_that_nothing_could_call(handler, told):
    with pytest.raises(InvalidHandlerError, match=told):
        batch_handler(handler)


async def test_the_error_inside_a_running_loop_names_the_call_of_the_same_object():
    with pytest.raises(RunningLoopError, match=r"await handler\.process\(event, context\)"):
        batch_handler(quiet)(sqs_event(["a"]))


def test_records_are_made_for_a_test_as_the_handler_gets_them():
    handler = batch_handler(model=list[int])(quiet)
    (record,) = handler.records(sqs_event(["[1, 2]"]))
    assert record.payload == [1, 2]
    assert handler.records({"Records": []}) == []


def test_engines_that_share_a_threaded_handler_do_not_share_a_limit():
    together = threading.Barrier(8)

    @threaded
    def handler(record):
        if record.text == "wide":
            together.wait(5)

    async def main():
        narrow = BatchEngine(concurrency=1).process(sqs_event(["narrow"] * 2), handler)
        wide = BatchEngine(concurrency=8).process(sqs_event(["wide"] * 8), handler)
        return await asyncio.gather(narrow, wide)

    assert all(report.all_succeeded for report in asyncio.run(main()))


def test_a_lifespan_that_fails_tells_everybody_who_waits():
    @asynccontextmanager
    async def lifespan():
        await asyncio.sleep(0.01)
        raise OSError("db down")
        yield

    async def main():
        engine = BatchEngine(lifespan=lifespan)
        calls = [engine.process(sqs_event(["a"]), quiet) for _ in range(2)]
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [str(error) for error in asyncio.run(main())] == ["db down", "db down"]


def test_a_lifespan_left_while_it_opens_is_opened_anew():
    seen = []

    @asynccontextmanager
    async def lifespan():
        state = {"open": True}
        await asyncio.sleep(0.01)
        yield state
        state["open"] = False

    async def handler(record, state):
        seen.append(state["open"])

    async def main():
        engine = BatchEngine(lifespan=lifespan)
        call = asyncio.create_task(engine.process(sqs_event(["a"]), handler))
        await asyncio.sleep(0)
        await engine.aclose()
        await call

    asyncio.run(main())
    assert seen == [True]
