"""FIFO queues: order in a message group, and what a failure holds back, one after another and side by side."""

import asyncio
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libraries import body_of, event_of, fails, handler_of, names, process, reply

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import (
    SQSFifoCircuitBreakerError,
    SQSFifoMessageGroupCircuitBreakerError,
)

BODIES = ["a1", "bad b1", "a2", "b2", "c1"]
GROUPS = ["a", "b", "a", "b", "c"]
EVENT = event_of("SQS", BODIES, groups=GROUPS)
RECORDS = EVENT["Records"]


@pytest.mark.parametrize("skip_group_on_error", [False, True])
def test_a_failure_holds_back_the_rest(lib, skip_group_on_error):
    seen = []

    def fate(text):
        seen.append(text)
        return fails(text)

    processor = lib.batch.SqsFifoPartialProcessor(skip_group_on_error=skip_group_on_error)
    answer = process(lib, EVENT, handler_of(fate), processor)
    if skip_group_on_error:
        assert answer == reply(*names([RECORDS[1], RECORDS[3]]))
        assert seen == ["a1", "bad b1", "a2", "c1"]
        assert processor.exceptions[1] == processor.group_circuit_breaker_exc
    else:
        assert answer == reply(*names(RECORDS[1:]))
        assert seen == ["a1", "bad b1"]
        assert processor.exceptions[1:] == [processor.circuit_breaker_exc] * 3
    assert processor.fail_messages[1].raw_event is RECORDS[3 if skip_group_on_error else 2]


@pytest.mark.parametrize("skip_group_on_error", [False, True])
def test_one_record_at_a_time_a_failure_holds_back_too(lib, skip_group_on_error):
    """The stop is in the method for a record: for a `process` of one's own, and for who calls it by hand."""

    class OwnWay(lib.batch.SqsFifoPartialProcessor):
        def process(self):
            return [self._process_record(record) for record in self.records]

    seen = []
    event = event_of("SQS", ["a", "bad b", "c", "d"], groups=["1", "2", "2", "1"])
    processor = OwnWay(skip_group_on_error=skip_group_on_error)
    for _ in range(2):
        seen.clear()
        handler = handler_of(lambda text: (seen.append(text), fails(text)))
        answer = lib.batch.process_partial_response(event, handler, processor)
        failed = names(event["Records"])[1:3] if skip_group_on_error else names(event["Records"])[1:]
        assert answer == reply(*failed)
        assert seen == ["a", "bad b", "d"][: 3 if skip_group_on_error else 2]


def test_failed_groups_are_forgotten_with_the_batch(lib):
    processor = lib.batch.SqsFifoPartialProcessor(skip_group_on_error=True)
    for _ in range(2):
        assert process(lib, EVENT, handler_of(fails), processor) == reply(*names([RECORDS[1], RECORDS[3]]))
        assert processor._failed_group_ids == set()
        assert processor._current_group_id is None
    with processor(RECORDS, handler_of(fails)):
        processor.process()
        assert processor._failed_group_ids == {"b"}
        assert processor._current_group_id == "c"


def test_records_without_a_group(lib):
    event = event_of("SQS", ["bad a", "b"], groups=["1", "1"])
    for record in event["Records"]:
        del record["attributes"]["MessageGroupId"]
    processor = lib.batch.SqsFifoPartialProcessor(skip_group_on_error=True)
    assert process(lib, event, handler_of(fails), processor) == reply(*names(event["Records"][:1]))
    processor = lib.batch.SqsFifoPartialProcessor()
    processor.raise_on_entire_batch_failure = False
    assert process(lib, event, handler_of(fails), processor) == reply(*names(event["Records"]))


@pytest.mark.parametrize("skip_group_on_error", [False, True])
def test_d8_side_by_side_a_failure_holds_back_the_same(skip_group_on_error):
    seen = []

    async def handler(record):
        seen.append(record.body)
        await asyncio.sleep(0.002 if record.body == "a1" else 0)
        return fails(record.body)

    processor = SqsFifoPartialProcessor(skip_group_on_error=skip_group_on_error)
    answer = async_process_partial_response(EVENT, handler, processor)
    if skip_group_on_error:
        assert answer == reply(*names([RECORDS[1], RECORDS[3]]))
        assert sorted(seen) == ["a1", "a2", "bad b1", "c1"]
        assert processor.exceptions[1] == processor.group_circuit_breaker_exc
    else:
        assert answer == reply(*names(RECORDS[1:]))
        assert seen == ["a1", "bad b1"]
        assert processor.exceptions[1:] == [processor.circuit_breaker_exc] * 3
    assert [body_of(each) for each in processor.fail_messages] == (
        ["bad b1", "b2"] if skip_group_on_error else BODIES[1:]
    )


def test_d8_the_default_is_strictly_one_after_the_other():
    running, order = 0, []

    async def handler(record):
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001)
        running -= 1
        order.append(record.body)

    assert async_process_partial_response(EVENT, handler, SqsFifoPartialProcessor()) == reply()
    assert order == BODIES


def test_d8_groups_run_side_by_side_within_a_limit():
    event = event_of("SQS", [str(at) for at in range(20)], groups=[f"g{at % 10}" for at in range(20)])
    running = most = 0

    async def handler(record):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    for limit, expected in ((None, 10), (3, 3)):
        most = 0
        processor = SqsFifoPartialProcessor(skip_group_on_error=True, concurrency=limit)
        assert async_process_partial_response(event, handler, processor) == reply()
        assert most == expected


@pytest.mark.parametrize("is_async", [False, True])
def test_d8_plain_and_async_handlers_will_do_in_both(is_async):
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    for handler_is_async in (False, True):
        handler = handler_of(fails, is_async=handler_is_async, turns=1)
        entry = async_process_partial_response if is_async else process_partial_response
        assert entry(EVENT, handler, processor) == reply(*names([RECORDS[1], RECORDS[3]]))


KINDS = {
    "fifo, batch": SqsFifoPartialProcessor,
    "fifo, group": lambda: SqsFifoPartialProcessor(skip_group_on_error=True),
    "fifo, group, two": lambda: SqsFifoPartialProcessor(skip_group_on_error=True, concurrency=2),
    "batch processor": lambda: BatchProcessor(EventType.SQS),
    "async processor": lambda: AsyncBatchProcessor(EventType.SQS),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data(), size=st.integers(1, 8))
def test_order_in_a_group_is_never_broken(kind, data, size):
    """Nothing of a group starts before its predecessor succeeded, and what is behind a failure is reported."""
    groups = data.draw(st.lists(st.sampled_from("xyz"), min_size=size, max_size=size))
    bad = data.draw(st.lists(st.booleans(), min_size=size, max_size=size))
    turns = data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    event = event_of("SQS", [str(at) for at in range(size)], groups=groups)
    done, started = set(), []

    async def handler(record):
        at = int(record.body)
        before = [each for each in range(at) if groups[each] == groups[at]]
        assert done >= set(before), "started before its predecessor had succeeded"
        started.append(at)
        for _ in range(turns[at]):
            await asyncio.sleep(0)
        if bad[at]:
            raise ValueError("bad")
        done.add(at)

    processor = KINDS[kind]()
    processor.raise_on_entire_batch_failure = False
    is_async = not isinstance(processor, BatchProcessor) or (
        kind.startswith("fifo") and data.draw(st.booleans())
    )
    entry = async_process_partial_response if is_async else process_partial_response
    named = [each["itemIdentifier"] for each in entry(event, handler, processor)["batchItemFailures"]]
    assert not [error for _, error, _ in processor.exceptions if isinstance(error, AssertionError)]

    failed = defaultdict(lambda: False)
    expected = []
    for at, group in enumerate(groups):
        key = "all" if kind == "fifo, batch" else group
        failed[key] = failed[key] or bad[at]
        if failed[key]:
            expected.append(at)
    assert named == names([event["Records"][at] for at in expected])
    assert sorted(started) == sorted(
        at for at in range(size) if at not in expected or (bad[at] and at in started)
    )
    kinds = {kind for kind, _, _ in processor.exceptions}
    assert kinds <= {ValueError, SQSFifoCircuitBreakerError, SQSFifoMessageGroupCircuitBreakerError}
