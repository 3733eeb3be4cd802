"""What an attack on the simulation found, and does not find any more."""

import asyncio
import subprocess
import sys
import threading
from typing import Any

import pytest

from asyncbatch import InvalidOptionError, KinesisRecord, RunningLoopError, SqsRecord, batch_handler
from asyncbatch.testing import (
    DynamoDBMapping,
    HandlerSpy,
    KafkaMapping,
    KinesisMapping,
    NotSimulatedError,
    SqsFifoMapping,
    SqsMapping,
    VirtualClock,
    fail,
    run_virtual,
    scripted,
    succeed,
)


def test_a_tumbling_window_waits_for_no_batching_window_beyond_its_end() -> None:
    def function(event: Any, context: Any) -> Any:
        return {"state": {}}

    with KinesisMapping(function, tumbling_window=30, maximum_batching_window=10) as mapping:
        mapping.send("b", key="k", after=29)
        mapping.run(max_invocations=10)
    assert [(each.began, len(each.records)) for each in mapping.invocations] == [(30, 1), (30, 0)]
    mapping.assert_all_done()


def goes_on(spy: HandlerSpy) -> Any:
    """One after another, and after a failure too; only failures are named."""

    def function(event: Any, context: Any) -> Any:
        failed = []

        async def main() -> None:
            for raw in event["Records"]:
                try:
                    await spy(SqsRecord(raw))
                except ValueError:
                    failed.append({"itemIdentifier": raw["messageId"]})

        asyncio.run(main())
        return {"batchItemFailures": failed}

    return function


def test_going_on_past_what_becomes_a_dead_letter_breaks_the_order() -> None:
    spy = HandlerSpy(scripted({"a": fail()}, otherwise=succeed(after=0.1)))
    with SqsFifoMapping(goes_on(spy), max_receive_count=3) as mapping:
        mapping.send("a", "b", "c", group="g")
        mapping.run()
    assert (mapping.done, mapping.dead_letters) == (["b", "c"], ["a"])
    with pytest.raises(AssertionError, match="'b' was begun at 0 s, before 'a' had been handled"):
        mapping.assert_order_kept(spy)


CATCHES_EVERYTHING = """
import asyncio
from asyncbatch.testing import SqsMapping

async def catches_everything():
    while True:
        try:
            await asyncio.sleep(100)
        except BaseException:
            continue

with SqsMapping(lambda event, context: asyncio.run(catches_everything()), max_receive_count=1) as mapping:
    mapping.send("a")
    mapping.run()
print(mapping.dead_letters)
"""


def test_a_killed_handler_that_catches_everything_holds_neither_the_simulation_nor_the_programs_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CATCHES_EVERYTHING], check=True, capture_output=True, text=True, timeout=50
    )
    assert (done.stdout, done.stderr) == ("['a']\n", "")


@pytest.mark.filterwarnings("ignore:There is no current event loop")  # from 3.12 on
def test_a_function_may_ask_for_the_current_loop_as_in_lambda() -> None:
    async def main() -> None:
        await asyncio.sleep(1)

    def function(event: Any, context: Any) -> None:
        asyncio.get_event_loop().run_until_complete(main())

    with SqsMapping(function) as mapping:
        mapping.send("a")
        mapping.run()
        mapping.send("b")
        mapping.run().assert_all_done()
    assert mapping.now == 2
    with VirtualClock():
        asyncio.run(main())
        with pytest.raises(RuntimeError, match="no current event loop"):  # as after any asyncio.run
            asyncio.get_event_loop()


def test_a_seed_decides_the_order_of_cancellations_too() -> None:
    async def main() -> list[int]:
        seen: list[int] = []

        async def waits(number: int) -> None:
            try:
                await asyncio.sleep(10)
            finally:
                seen.append(number)

        async def fails() -> None:
            await asyncio.sleep(1)
            raise ValueError

        try:
            async with asyncio.TaskGroup() as group:
                for number in range(10):
                    group.create_task(waits(number))
                group.create_task(fails())
        except ExceptionGroup:
            pass
        return seen

    orders = []
    for count in range(12):
        clutter = [object() for _ in range(count * 977)]
        orders.append(tuple(run_virtual(main, seed=7)))
        del clutter
    assert len(set(orders)) == 1


def test_copies_do_not_walk_a_message_to_the_dead_letter_queue_at_once() -> None:
    for seed in range(20):
        handler = batch_handler(HandlerSpy(succeed(after=0.1)))
        with SqsMapping(handler, duplicate_rate=1.0, max_receive_count=5, seed=seed) as mapping:
            mapping.send("a", "b")
            mapping.run(until=1)
        assert [record.deliveries for record in mapping.records] == [2, 2]
        assert not mapping.dead_letters


def test_a_copy_that_another_reply_has_deleted_is_not_lost() -> None:
    for seed in range(40):
        spy = HandlerSpy(scripted({"a": [fail(after=0.5), succeed()]}, otherwise=succeed()))
        with SqsMapping(
            batch_handler(spy), report_batch_item_failures=False, duplicate_rate=0.9, batch_size=1, seed=seed
        ) as mapping:
            mapping.send("a")
            mapping.run()
        if mapping.lost:
            continue
        mapping.assert_nothing_lost(spy)
        return
    pytest.fail("every reply that named it was the one that deleted it")


@pytest.mark.parametrize("kind", ["fifo", "kinesis", "kafka", "dynamodb"])
def test_what_has_an_order_is_sent_in_the_order_of_time(kind: str) -> None:
    def function(event: Any, context: Any) -> None: ...

    mapping: Any
    match kind:
        case "fifo":
            mapping, options = SqsFifoMapping(function), {"group": "g"}
        case "kinesis":
            mapping, options = KinesisMapping(function), {"key": "k"}
        case "kafka":
            mapping, options = KafkaMapping(function), {}
        case _:
            mapping, options = DynamoDBMapping(function), {}
    send = mapping.put if kind == "dynamodb" else mapping.send
    payload: Any = {"id": "a"} if kind == "dynamodb" else "a"
    send(payload, after=10, **options)
    with pytest.raises(
        InvalidOptionError, match=r"after: means 0 s\. Something was sent for 10 s: send in the order"
    ):
        send(payload, **options)


def test_what_is_acknowledged_before_it_is_handled_is_lost() -> None:
    spy = HandlerSpy()
    with KinesisMapping(lambda event, context: None) as mapping:
        mapping.send("a", key="k")
        mapping.run()
    asyncio.run(spy(KinesisRecord(mapping.invocations[0].event["Records"][0])))  # in real time: much later
    assert spy.returned == ["a"]
    with pytest.raises(AssertionError, match=r"no handler had returned for them:\n  'a': done"):
        mapping.assert_nothing_lost(spy)


def test_time_does_not_go_back_between_runs() -> None:
    with SqsMapping(lambda event, context: None) as mapping:
        mapping.send("a")
        mapping.run(until=100)
        assert mapping.run().now == 100


def test_kafka_with_a_destination_gives_up_after_ten_retries() -> None:
    def function(event: Any, context: Any) -> None:
        raise ValueError

    with KafkaMapping(function, on_failure=True) as mapping:
        mapping.send("a")
        mapping.run()
    assert len(mapping.invocations) == 11
    assert mapping.discarded == ["a"]


def test_labels_that_fit_no_record_are_no_proof() -> None:
    spy = HandlerSpy(label=lambda record: "another name")
    with SqsMapping(batch_handler(spy)) as mapping:
        mapping.send("a")
        mapping.run()
    for check in (mapping.assert_nothing_lost, mapping.assert_order_kept):
        with pytest.raises(ValueError, match="the spy's labels are of no record here: 'another name'"):
            check(spy)


def test_the_journal_tells_what_a_function_raised() -> None:
    def function(event: Any, context: Any) -> None:
        raise LookupError("no such table")

    with SqsMapping(function, max_receive_count=1) as mapping:
        mapping.send("a")
        mapping.run()
    assert "0.000 s    LookupError: no such table" in str(mapping)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda f: SqsMapping(f, schedule="shufle"),
            "schedule: is 'shufle'. It is one of 'shuffle', 'priorities'.",
        ),
        (
            lambda f: KafkaMapping(f, redelivers="nmaed"),
            "redelivers: is 'nmaed'. It is one of 'named', 'from lowest named'.",
        ),
        (lambda f: KafkaMapping(f, function_timeout=900), "function_timeout: is 900. It goes from 0 to 840."),
        (lambda f: SqsFifoMapping(f).send("a", group=""), "group: is ''. A message group is a text."),
        (lambda f: SqsFifoMapping(f).send("a", group=None), "group: is None. A message group is a text."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_options_are_refused(make: Any, text: str) -> None:
    with pytest.raises(InvalidOptionError) as told:
        make(lambda event, context: None)
    assert str(told.value) == text


def test_thousands_of_messages_take_no_longer_each_than_a_few() -> None:
    """Only that it ends within the test's time: in a list, the deletes alone would take minutes."""
    with SqsMapping(lambda event, context: None, batch_size=10_000, maximum_batching_window=1) as mapping:
        mapping.send(*range(10_000))
        mapping.run().assert_all_done()


def test_a_run_that_broke_off_does_not_go_on_as_if_nothing_had_been() -> None:
    @batch_handler
    async def function(record: SqsRecord) -> None:
        await asyncio.to_thread(print)

    with SqsMapping(function) as mapping:
        mapping.send("a")
        with pytest.raises(NotSimulatedError):
            mapping.run()
        with pytest.raises(
            RuntimeError, match=r"an earlier run\(\) broke off with an error: make a new mapping"
        ):
            mapping.run()


def test_an_option_that_does_not_exist_is_named() -> None:
    with pytest.raises(InvalidOptionError, match="function_timeot: is no option here"):
        SqsMapping(lambda event, context: None, function_timeot=5)  # type: ignore[call-arg]  # that is the point


def test_a_policy_that_is_set_while_a_mapping_is_open_is_noticed() -> None:
    before = asyncio.get_event_loop_policy()
    with SqsMapping(lambda event, context: None) as mapping:
        mapping.send("a")
        mapping.run()
        try:
            asyncio.set_event_loop_policy(asyncio.DefaultEventLoopPolicy())
            with VirtualClock() as clock:
                asyncio.run(asyncio.sleep(3600))
            assert clock.time() == 3600
        finally:
            asyncio.set_event_loop_policy(before)
    assert "new_event_loop" not in vars(before)


def test_a_clock_leaves_a_thread_without_a_loop_as_it_was() -> None:
    def state() -> bool:
        return bool(asyncio.get_event_loop_policy()._local._set_called)  # type: ignore[attr-defined]

    seen: list[bool] = []

    def work() -> None:
        seen.append(state())
        with VirtualClock():
            pass
        seen.append(state())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False, False]


async def test_running_virtually_inside_a_loop_is_refused() -> None:
    async def main() -> None: ...

    for given in (main, main()):
        with pytest.raises(RunningLoopError, match=r"run_virtual"):
            run_virtual(given)
