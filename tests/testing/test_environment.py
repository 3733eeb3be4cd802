"""An execution environment in simulation: its clock, its loops, and how its process is killed."""

import asyncio
import json
import math
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from asyncbatch import InvalidOptionError, SqsRecord, batch_handler, threaded
from asyncbatch.testing import (
    HandlerSpy,
    NotSimulatedError,
    SqsMapping,
    block,
    fail,
    hang,
    scripted,
    sqs_event,
    succeed,
)
from asyncbatch.testing._environment import Ending, Environment

EVENT = sqs_event(["a", "b"])


@pytest.fixture
def environments() -> Iterator[list[Environment]]:
    made: list[Environment] = []
    yield made
    for environment in made:
        environment.close()


def invoke(
    function: Any, environments: list[Environment], *, at: float = 0.0, timeout: float = 3.0, **options: Any
) -> Ending:
    crash_at = options.pop("crash_at", math.inf)
    if not environments:
        environments.append(Environment(function, 1, **options))
    return environments[0].invoke(EVENT, "request-1", at=at, timeout=timeout, crash_at=crash_at)


def test_a_reply_comes_at_the_time_that_it_takes(environments: list[Environment]) -> None:
    handler = batch_handler(HandlerSpy(scripted({"b": fail(after=2)}, otherwise=succeed(after=1))))
    ending = invoke(handler, environments, at=100)
    assert ending == Ending(
        102,
        json.dumps({"batchItemFailures": [{"itemIdentifier": EVENT["Records"][1]["messageId"]}]}),
        returned=True,
    )
    assert ending.survived


def test_the_context_counts_down(environments: list[Environment]) -> None:
    def function(event: Any, context: Any) -> list[int]:
        left = [context.get_remaining_time_in_millis()]
        asyncio.run(asyncio.sleep(1))
        return [*left, context.get_remaining_time_in_millis()]

    assert invoke(function, environments, at=50).reply == "[3000, 2000]"


def test_what_a_function_does_to_its_event_stays_inside(environments: list[Environment]) -> None:
    def function(event: Any, context: Any) -> None:
        event["Records"].clear()

    invoke(function, environments)
    assert len(EVENT["Records"]) == 2


def test_warm_invocations_share_a_loop_and_new_environments_do_not(environments: list[Environment]) -> None:
    loops: list[object] = []

    @batch_handler
    async def function(record: SqsRecord) -> None:
        loops.append(asyncio.get_running_loop())

    invoke(function, environments)
    invoke(function, environments, at=1000)
    other = Environment(function, 2)
    other.invoke(EVENT, "request", at=0, timeout=3, crash_at=math.inf)
    other.close()
    assert loops[0] is loops[2] is not loops[4]


def asyncio_run(spy: HandlerSpy) -> Any:
    def function(event: Any, context: Any) -> None:
        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                for raw in event["Records"]:
                    group.create_task(spy(SqsRecord(raw)))

        asyncio.run(main())

    return function


@pytest.mark.parametrize("how", [asyncio_run, batch_handler], ids=["asyncio.run", "batch_handler"])
def test_a_timeout_kills_the_process(how: Any, environments: list[Environment]) -> None:
    spy = HandlerSpy(
        scripted({"b": block(100) if how is batch_handler else hang()}, otherwise=succeed(after=5))
    )
    ending = invoke(how(spy), environments, at=10, timeout=3)
    assert (ending.at, ending.killed, ending.survived) == (13, "timeout", False)
    environments.pop().close()
    spy.assert_nothing_runs()
    assert {call.ended for call in spy.calls} == {13}
    assert spy.returned == []


def test_a_crash_comes_when_it_comes(environments: list[Environment]) -> None:
    spy = HandlerSpy(succeed(after=2))
    ending = invoke(batch_handler(spy), environments, crash_at=1.25)
    assert (ending.at, ending.killed) == (1.25, "crash")
    assert spy.returned == []


def test_a_crash_after_the_reply_is_none(environments: list[Environment]) -> None:
    assert invoke(batch_handler(HandlerSpy(succeed(after=1))), environments, crash_at=1.25).survived


def test_no_code_can_go_on_in_a_process_that_was_killed(environments: list[Environment]) -> None:
    seen: list[str] = []

    async def again() -> None:
        seen.append("ran")

    def function(event: Any, context: Any) -> str:
        while True:
            try:
                asyncio.run(asyncio.sleep(100))
            except BaseException:
                break
        try:
            asyncio.run(again())
        except BaseException:
            seen.append("refused")
        return "too late"

    ending = invoke(function, environments)
    assert (ending.at, ending.reply, ending.killed) == (3, None, "timeout")
    assert seen == ["refused"]


def test_a_function_that_waits_for_ever_times_out(environments: list[Environment]) -> None:
    def function(event: Any, context: Any) -> None:
        asyncio.run(hang()(None))  # type: ignore[arg-type]  # it is a coroutine

    assert invoke(function, environments).killed == "timeout"


@pytest.mark.parametrize(
    ("raised", "survives"),
    [(ValueError, True), (SystemExit, False), (asyncio.CancelledError, False), (KeyboardInterrupt, False)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_leaves_a_function(
    raised: type[BaseException], environments: list[Environment], *, survives: bool
) -> None:
    def function(event: Any, context: Any) -> None:
        raise raised

    ending = invoke(function, environments)
    assert type(ending.error) is raised
    assert (ending.survived, ending.returned, ending.reply) == (survives, False, None)


@pytest.mark.filterwarnings("error")
def test_an_async_function_gives_no_reply(environments: list[Environment]) -> None:
    async def function(event: Any, context: Any) -> None: ...

    ending = invoke(function, environments)
    assert type(ending.error) is TypeError
    assert ending.survived


def test_what_cannot_be_simulated_is_told_although_a_handler_hides_it() -> None:
    @batch_handler
    async def function(record: SqsRecord) -> None:
        await asyncio.to_thread(time.sleep, 0)

    with SqsMapping(function) as mapping:
        mapping.send("a")
        with pytest.raises(NotSimulatedError, match="run_in_executor: a virtual loop has no threads"):
            mapping.run()


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (batch_handler(guard_blocking=True)(HandlerSpy()), "has guard_blocking=True, a thread for its loop"),
        (batch_handler(threaded(lambda record: None)), "has a threaded handler"),
    ],
    ids=["guarded", "threaded"],
)
def test_functions_with_threads_of_their_own_are_refused_at_once(function: Any, text: str) -> None:
    with pytest.raises(
        InvalidOptionError, match=f"function: {text}, which lives in real time. Use virtual=False"
    ):
        SqsMapping(function)
    with SqsMapping(function, virtual=False) as mapping:
        mapping.send("a")
        mapping.run().assert_all_done()


def test_in_real_time_threads_work(environments: list[Environment]) -> None:
    @batch_handler
    async def function(record: SqsRecord) -> None:
        await asyncio.to_thread(time.sleep, 0.05)

    ending = invoke(function, environments, at=500, virtual=False)
    assert ending.reply == '{"batchItemFailures": []}'
    assert ending.at >= 500.05


def test_in_real_time_a_timeout_is_seen_afterwards(environments: list[Environment]) -> None:
    def function(event: Any, context: Any) -> None:
        time.sleep(0.05)

    ending = invoke(function, environments, timeout=0.01, virtual=False)
    assert (ending.at, ending.killed) == (0.01, "timeout")


def test_its_thread_ends_with_it() -> None:
    environment = Environment(lambda event, context: threading.current_thread().name, 7)
    ending = environment.invoke(EVENT, "request", at=0, timeout=3, crash_at=math.inf)
    environment.close()
    assert ending.reply is not None
    assert ending.reply.startswith('"environment 7')
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("environment 7")]


def test_a_seed_reaches_the_loop() -> None:
    def order(seed: int) -> list[str]:
        spy = HandlerSpy(succeed(after=1))
        environment = Environment(batch_handler(spy), 1, seed=seed)
        environment.invoke(sqs_event(list("abcdefgh")), "request", at=0, timeout=3, crash_at=math.inf)
        environment.close()
        return spy.returned

    assert order(1) == order(1) != order(2)
