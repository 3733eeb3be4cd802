"""The virtual clock for synchronous code: every loop that it makes lives on the clock."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aws_lambda_powertools.utilities.batch import (
    AsyncBatchProcessor,
    EventType,
    async_process_partial_response,
)

from asyncbatch import RunningLoopError, SqsRecord, batch_handler
from asyncbatch.testing import LambdaContext, VirtualClock, VirtualLoop, sqs_event


async def an_hour() -> float:
    await asyncio.sleep(3600)
    return asyncio.get_running_loop().time()


def test_whoever_makes_a_loop_gets_one_on_the_clock() -> None:
    began = time.monotonic()
    with VirtualClock() as clock:
        assert asyncio.run(an_hour()) == 3600
        with asyncio.Runner() as runner:
            assert runner.run(an_hour()) == 7200
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(an_hour()) == 10_800
        loop.close()
        assert clock.time() == 10_800
    assert time.monotonic() - began < 10


def test_the_decorated_handler_and_its_context() -> None:
    @batch_handler
    async def lambda_handler(record: SqsRecord) -> None:
        await asyncio.sleep(600 if record.text == "slow" else 1)

    with VirtualClock() as clock:
        report = lambda_handler.run(sqs_event(["quick", "slow"]), LambdaContext(60, clock=clock.time))
        assert [type(each).__name__ for each in report.outcomes] == ["Succeeded", "Failed"]
        assert clock.time() == 58
        clock.advance(900)  # frozen
        assert lambda_handler.run(sqs_event(["quick"]), LambdaContext(60, clock=clock.time)).all_succeeded
        assert clock.time() == 959


def test_other_libraries_live_on_it_too() -> None:
    async def handler(record: object) -> None:
        await asyncio.sleep(60)

    with VirtualClock() as clock:
        processor = AsyncBatchProcessor(EventType.SQS)
        reply = async_process_partial_response(sqs_event(["a", "b"]), handler, processor)
        assert reply == {"batchItemFailures": []}
        assert clock.time() == 60


def test_what_comes_due_while_nothing_runs_is_done_at_the_next_occasion() -> None:
    with VirtualClock() as clock:
        loop = asyncio.new_event_loop()
        seen: list[float] = []
        loop.call_later(5, lambda: seen.append(loop.time()))
        clock.advance(100)
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert seen == [100]


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match=r"time does not go back: advance\(-1\)"):
        VirtualClock().advance(-1)


def test_loops_are_real_again_afterwards() -> None:
    with VirtualClock():
        pass
    loop = asyncio.new_event_loop()
    assert not isinstance(loop, VirtualLoop)
    loop.close()
    assert "new_event_loop" not in vars(asyncio.get_event_loop_policy())


def test_the_current_loop_of_the_thread_is_put_back() -> None:
    mine = asyncio.new_event_loop()
    asyncio.set_event_loop(mine)
    try:
        with VirtualClock():
            asyncio.run(an_hour())
        assert asyncio.get_event_loop_policy().get_event_loop() is mine
    finally:
        asyncio.set_event_loop(None)
        mine.close()


def test_another_thread_keeps_its_real_loops() -> None:
    kinds: list[bool] = []

    def work() -> None:
        loop = asyncio.new_event_loop()
        kinds.append(isinstance(loop, VirtualLoop))
        loop.close()

    with VirtualClock():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert kinds == [False]


def test_clocks_can_stand_within_each_other() -> None:
    with VirtualClock() as outer:
        asyncio.run(an_hour())
        with VirtualClock() as inner:
            asyncio.run(an_hour())
            assert (outer.time(), inner.time()) == (3600, 3600)
        asyncio.run(an_hour())
    assert outer.time() == 7200


def test_a_clock_is_opened_once_at_a_time() -> None:
    with VirtualClock() as clock, pytest.raises(RuntimeError, match="is open already"), clock:
        pass


async def test_inside_a_running_loop_it_is_refused() -> None:
    with pytest.raises(RunningLoopError, match="run_virtual"), VirtualClock():
        pass


def test_lifespans_are_left_when_it_closes() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        seen.append("open")
        yield
        await asyncio.sleep(0.01)
        seen.append("left")

    @batch_handler(lifespan=lifespan)
    async def lambda_handler(record: SqsRecord, state: None) -> None: ...

    with VirtualClock():
        lambda_handler(sqs_event(["a"]))
        lambda_handler(sqs_event(["a"]))
        assert seen == ["open"]
    assert seen == ["open", "left"]


def test_what_is_left_on_a_loop_ends_with_the_clock() -> None:
    seen: list[str] = []

    async def stays() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            seen.append("ended")

    with VirtualClock():
        loop = asyncio.new_event_loop()
        task = loop.create_task(stays())
        loop.run_until_complete(asyncio.sleep(1))
    assert seen == ["ended"]
    assert not task.done()


def test_the_seed_decides_the_order() -> None:
    def order(seed: int | None) -> list[int]:
        seen: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(0)
            seen.append(number)

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task(one(number))

        with VirtualClock(seed=seed):
            asyncio.run(main())
        return seen

    assert order(None) == list(range(8))
    assert order(3) == order(3) != order(4)
