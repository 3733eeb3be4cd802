"""D20: a processor that is used while it is in use has a state for each use, and neither loses a failure."""

import asyncio
import pickle
import sys
import threading

import pytest
from libraries import OURS, body_of, event_of, fails, handler_of, names, process, processor_of, reply

from asyncbatch.models import SqsRecordModel
from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    _processing,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.powertools._turns import Turn
from asyncbatch.powertools.exceptions import BatchProcessingError
from asyncbatch.powertools.sqs import PartialSQSProcessor
from asyncbatch.testing import LambdaContext

OUTER = event_of("SQS", ["a", "bad b", "c"])
INNER = event_of("SQS", ["bad x", "y"])
for _record in INNER["Records"]:
    _record["messageId"] = f"inner {_record['messageId']}"
OUTER_FAILED = reply(names(OUTER["Records"])[1])
INNER_FAILED = reply(names(INNER["Records"])[0])


class Message(SqsRecordModel):
    """A model that can be pickled."""


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


def nest(processor, inner_answers, run_inner, *, is_async):
    """A handler that processes another batch with the same processor for every record."""

    def handler(record):
        inner_answers.append(run_inner(processor))
        return fails(record.body)

    async def async_handler(record):
        await asyncio.sleep(0)
        return handler(record)

    return async_handler if is_async else handler


def by_function(processor):
    kind = isinstance(processor, AsyncBatchProcessor)
    return process(OURS, INNER, handler_of(fails, is_async=kind), processor, is_async=kind)


def by_block(processor):
    """The documented form: the block's processor is not named."""
    kind = isinstance(processor, AsyncBatchProcessor)
    with processor(INNER["Records"], handler_of(fails, is_async=kind)):
        entries = processor.async_process() if kind else processor.process()
    assert [entry[0] for entry in entries] == ["fail", "success"]
    return processor.response()


def by_named_block(processor):
    kind = isinstance(processor, AsyncBatchProcessor)
    with processor(INNER["Records"], handler_of(fails, is_async=kind)) as batch:
        batch.async_process() if kind else batch.process()
    assert len(batch.fail_messages) == len(batch.exceptions) == len(batch.success_messages) == 1
    return batch.response()


@pytest.mark.parametrize("run_inner", [by_function, by_block, by_named_block])
def test_nested_in_a_handler(is_async, run_inner):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    inner = []
    handler = nest(processor, inner, run_inner, is_async=is_async)
    for _ in range(2):
        inner.clear()
        assert process(OURS, OUTER, handler, processor, is_async=is_async) == OUTER_FAILED
        assert inner == [INNER_FAILED] * 3
        assert processor.response() == OUTER_FAILED
        assert [body_of(each) for each in processor.fail_messages] == ["bad b"]
        assert processor.success_messages == [OUTER["Records"][0], OUTER["Records"][2]]


@pytest.mark.parametrize("run_inner", [by_function, by_block, by_named_block])
def test_nested_in_a_block(is_async, run_inner):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    inner = []
    handler = nest(processor, inner, run_inner, is_async=is_async)
    with processor(OUTER["Records"], handler):
        entries = processor.async_process() if is_async else processor.process()
    assert [entry[0] for entry in entries] == ["success", "fail", "success"]
    assert processor.response() == OUTER_FAILED
    assert inner == [INNER_FAILED] * 3


def test_nested_three_deep():
    processor = BatchProcessor(EventType.SQS)
    answers = []

    def middle(record):
        answers.append(("inner", process_partial_response(INNER, handler_of(fails), processor)))
        return fails(record.body)

    def outer(record):
        answers.append(("middle", process_partial_response(OUTER, middle, processor)))
        return fails("bad" if record.body == "c" else "")

    assert process_partial_response(OUTER, outer, processor) == reply(names(OUTER["Records"])[2])
    assert [answer for level, answer in answers if level == "middle"] == [OUTER_FAILED] * 3
    assert [answer for level, answer in answers if level == "inner"] == [INNER_FAILED] * 9


def test_a_processor_of_a_fifo_queue_nested():
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    outer = event_of("SQS", ["a", "bad b", "c"], groups=["1", "2", "2"])
    inner = event_of("SQS", ["bad x", "y", "z"], groups=["1", "1", "2"])
    answers = []

    def handler(record):
        answers.append(process_partial_response(inner, handler_of(fails), processor))
        return fails(record.body)

    assert process_partial_response(outer, handler, processor) == reply(*names(outer["Records"][1:]))
    assert answers == [reply(*names(inner["Records"][:2]))] * 2


def test_nested_in_a_use_that_has_no_block(is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    answers = []
    outer = processor(OUTER["Records"], nest(processor, answers, by_function, is_async=is_async))
    outer.async_process() if is_async else outer.process()
    assert answers == [INNER_FAILED] * 3
    assert [record.body for record in outer.fail_messages] == ["bad b"]


@pytest.mark.parametrize("run_inner", [by_function, by_block, by_named_block])
@pytest.mark.parametrize("before", [False, True], ids=["then processed", "processed before"])
def test_nested_in_the_body_of_a_named_block(is_async, run_inner, before):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    with processor(OUTER["Records"], handler_of(fails, is_async=is_async)) as outer:
        run = outer.async_process if is_async else outer.process
        entries = run() if before else []
        assert run_inner(processor) == INNER_FAILED
        entries = entries or run()
    assert [entry[0] for entry in entries] == ["success", "fail", "success"]
    assert outer.response() == processor.response() == OUTER_FAILED
    assert [record.body for record in outer.fail_messages] == ["bad b"]


def test_after_a_use_it_can_be_pickled(is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async, model=Message)
    process(OURS, event_of("SQS", ["a"]), handler_of(str, is_async=is_async), processor, is_async=is_async)
    processor.handler = None  # a function of a test's cannot be
    again = pickle.loads(pickle.dumps(processor))
    assert again.success_messages == processor.success_messages
    assert again.response() == processor.response() == reply()
    assert (
        process(OURS, OUTER, handler_of(fails, is_async=is_async), again, is_async=is_async) == OUTER_FAILED
    )


def test_a_use_that_is_prepared_is_one():
    """Between the call and the block too: what another thread does then is its own."""
    processor = BatchProcessor(EventType.SQS)
    mine = processor(OUTER["Records"], handler_of(fails))
    thread = threading.Thread(target=by_function, args=[processor])
    thread.start()
    thread.join()
    with mine:
        mine.process()
    assert mine.response() == OUTER_FAILED


@pytest.mark.parametrize("use", [by_function, by_block, by_named_block])
def test_from_threads_at_once(is_async, use):
    """One use is held open while the others come and go."""
    processor = processor_of(OURS, "SQS", is_async=is_async)
    entered, go_on = threading.Event(), threading.Event()
    answers, errors = [], []

    def slow(record):
        entered.set()
        assert go_on.wait(20)
        return fails(record.body)

    async def slow_async(record):
        return slow(record)

    def first():
        handler = slow_async if is_async else slow
        answers.append(process(OURS, OUTER, handler, processor, is_async=is_async))

    def other():
        errors.extend(answer for answer in (use(processor) for _ in range(20)) if answer != INNER_FAILED)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert entered.wait(20)
    threads += [threading.Thread(target=other) for _ in range(3)]
    for thread in threads[1:]:
        thread.start()
    for thread in threads[1:]:
        thread.join()
    go_on.set()
    threads[0].join()
    assert not errors
    assert answers == [OUTER_FAILED]
    assert processor.response() == OUTER_FAILED


def test_many_threads_without_any_order():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # as often as the interpreter can
    try:
        race_for_one_processor()
    finally:
        sys.setswitchinterval(before)


def race_for_one_processor():
    processor = BatchProcessor(EventType.SQS)
    errors = []
    barrier = threading.Barrier(8)

    def work(mine):
        event = event_of("SQS", ["a", f"bad {mine}", "c"])
        for at, record in enumerate(event["Records"]):
            record["messageId"] = f"{mine} {at}"
        barrier.wait()
        for _ in range(200):
            answer = process_partial_response(event, handler_of(fails), processor)
            if answer != reply(f"{mine} 1"):
                errors.append((mine, answer))
            with processor(event["Records"], handler_of(fails)):
                entries = processor.process()
            if (
                processor.response() != reply(f"{mine} 1")
                or entries[1][1] != f"<class 'ValueError'>:bad {mine}"
            ):
                errors.append((mine, processor.response()))

    threads = [threading.Thread(target=work, args=[mine]) for mine in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_nested_use_has_a_collector_of_the_users_own_too(is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    processor._COLLECTOR_MAPPING[EventType.SQS] = list
    inner = []

    def outer(record):
        inner.append(process(OURS, INNER, handler_of(fails), processor, is_async=is_async))
        return fails(body_of(record))

    assert process(OURS, OUTER, outer, processor, is_async=is_async) == OUTER_FAILED
    assert inner == [INNER_FAILED] * 3


def test_a_run_that_outlives_its_block_is_left_alone():
    """Whoever uses the processor next gets a copy: the run that still goes on has lists of its own."""
    entered, go_on = threading.Event(), threading.Event()

    def waits(record):
        entered.set()
        assert go_on.wait(30)

    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(INNER["Records"], waits):
        thread = threading.Thread(target=processor.process)
        thread.start()
        assert entered.wait(30)
    answer = processor(OUTER["Records"], handler_of(fails))
    assert answer is not processor
    with answer:
        go_on.set()
        thread.join()
        answer.process()
    assert answer.response() == OUTER_FAILED
    assert [body_of(record) for record in answer.success_messages] == ["a", "c"]


def test_a_copy_that_was_not_used_in_a_block_is_not_used_for_the_next_batch():
    entered, go_on = threading.Event(), threading.Event()

    def waits(record):
        entered.set()
        assert go_on.wait(30)

    processor = BatchProcessor(EventType.SQS)
    other = threading.Thread(target=process_partial_response, args=[INNER, waits, processor])
    other.start()
    assert entered.wait(30)
    processor(OUTER["Records"], handler_of(fails))
    assert [body_of(raw) for _, _, raw in processor.process()] == ["a", "bad b", "c"]
    go_on.set()
    other.join()
    processor(INNER["Records"], handler_of(fails))
    assert [body_of(raw) for _, _, raw in processor.process()] == ["bad x", "y"]
    assert len(processor.fail_messages) == 1


def test_between_its_uses_it_is_the_same_object(is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    records = OUTER["Records"]
    for _ in range(3):
        assert processor(records, handler_of(fails, is_async=is_async)) is processor
    with processor(records, handler_of(fails, is_async=is_async)) as batch:
        assert batch is processor
        other = processor(records, handler_of(fails, is_async=is_async))
        assert other is not processor
        assert type(other) is type(processor)
        assert other.success_messages == []
    assert processor(records, handler_of(fails, is_async=is_async)) is processor


def test_a_thread_can_use_it_after_another():
    processor = BatchProcessor(EventType.SQS)
    same = []

    def work():
        same.append(processor(OUTER["Records"], handler_of(fails)) is processor)
        with processor:
            processor.process()

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    processor(OUTER["Records"], handler_of(fails))
    processor.process()  # without a block
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert same == [True] * 4


def test_a_copy_has_collectors_of_its_own():
    class Collecting(BatchProcessor):
        def _collect_sqs_failures(self):
            assert self.fail_messages
            return super()._collect_sqs_failures()

    processor = Collecting(EventType.SQS)
    answers = []

    def handler(record):
        answers.append(process_partial_response(INNER, handler_of(fails), processor))

    assert process_partial_response(OUTER, handler, processor) == reply()
    assert answers == [INNER_FAILED] * 3


def test_records_of_a_nested_use_are_its_own():
    processor = AsyncBatchProcessor(EventType.SQS)

    async def handler(record):
        answer = async_process_partial_response(INNER, handler_of(fails, is_async=True, turns=2), processor)
        assert answer == INNER_FAILED

    assert async_process_partial_response(OUTER, handler, processor) == reply()
    assert processor.records is OUTER["Records"]


def test_a_thread_can_ask_for_its_response_after_another_has_begun():
    processor = BatchProcessor(EventType.SQS)
    with processor(OUTER["Records"], handler_of(fails)):
        processor.process()
    answers = []

    def other():
        answers.append(by_block(processor))

    for _ in range(2):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert answers == [INNER_FAILED] * 2
    assert processor.response() == OUTER_FAILED
    assert process_partial_response(INNER, handler_of(fails), processor) == INNER_FAILED
    assert processor.response() == INNER_FAILED


def test_responses_of_threads_that_are_gone_are_not_kept_for_ever():
    processor = BatchProcessor(EventType.SQS)
    for number in range(100):
        turn = Turn(None)
        turn.thread = number
        processor._set_aside_(turn)
    assert list(processor._others_responses_) == list(range(36, 100))


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "returns"])
def test_a_record_that_was_left_behind_is_no_record_of_the_next_batch(raises):
    """A handler that holds its thread beyond the deadline ends while the next batch runs."""
    goes_on, ended = threading.Event(), threading.Event()

    class Telling(AsyncBatchProcessor):
        async def _async_process_record(self, record):
            try:
                return await super()._async_process_record(record)
            finally:
                if record in OUTER["Records"]:
                    ended.set()

    async def blocks(record):
        goes_on.wait(60)
        if raises:
            raise ValueError

    async def waits_for_its_end(record):
        goes_on.set()
        while not ended.is_set():
            await asyncio.sleep(0.001)
        return fails(record.body)

    async def main():
        processor = Telling(EventType.SQS)
        with pytest.raises(BatchProcessingError):
            async_process_partial_response(OUTER, blocks, processor, LambdaContext(timeout=0.6))
        response = async_process_partial_response(INNER, waits_for_its_end, processor)
        return response, processor

    response, processor = asyncio.run(main())
    assert response == INNER_FAILED
    assert len(processor.success_messages) == len(processor.fail_messages) == len(processor.exceptions) == 1


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "returns"])
@pytest.mark.filterwarnings("ignore:The sqs_batch_processor decorator and PartialSQSProcessor:UserWarning")
def test_a_record_that_is_kept_apart_is_in_no_list(raises):
    class RefusedError(Exception):
        """Raised by the handler."""

    async def waits(record):
        await asyncio.sleep(0)
        if raises:
            raise RefusedError

    for processor in (AsyncBatchProcessor(EventType.SQS), PartialSQSProcessor()):
        processor(OUTER["Records"], waits)
        record = processor._async_process_record(OUTER["Records"][0])
        record.send(None)
        processor._keep_apart_(OUTER["Records"][:1])
        processor(INNER["Records"], waits)
        with pytest.raises(RefusedError if raises else StopIteration) as end:
            record.send(None)
        assert raises or end.value.value[0] == "fail"
        assert not processor.success_messages
        assert not processor.fail_messages
        assert not processor._left_behind_  # the record is let go of


@pytest.mark.parametrize("base", [BatchProcessor, AsyncBatchProcessor])
def test_a_use_whose_block_could_not_be_left_does_not_go_on(base):
    """As where an alarm comes before the first step of ``__exit__``."""

    class AlarmError(Exception):
        """Raised by a signal's handler."""

    class Interrupted(base):
        alarms = 1

        def __exit__(self, *error):
            if self.alarms:
                self.alarms -= 1
                raise AlarmError
            super().__exit__(*error)

    processor, is_async = Interrupted(EventType.SQS), base is AsyncBatchProcessor
    with pytest.raises(AlarmError):
        process(OURS, OUTER, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert processor.response() == OUTER_FAILED
    response = process(OURS, INNER, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert response == INNER_FAILED
    assert len(processor.success_messages) == len(processor.fail_messages) == 1


def test_what_an_alarm_left_unfinished_is_kept_apart_too(monkeypatch):
    """Its coroutine is closed when it is collected, which may be while the next batch runs."""

    class AlarmError(Exception):
        """Raised by a signal's handler."""

    def begins_one_and_raises(job, remaining):
        job.ledger.started[1] = 0.0
        raise AlarmError

    processor = AsyncBatchProcessor(EventType.SQS)
    with monkeypatch.context() as patch:
        patch.setattr(_processing, "run_where_clients_live", begins_one_and_raises)
        with pytest.raises(AlarmError):
            process(OURS, OUTER, handler_of(fails, is_async=True), processor, is_async=True)
    processor(INNER["Records"], handler_of(fails, is_async=True))
    noted = len(processor.fail_messages)
    late = processor._async_process_record(OUTER["Records"][1])
    with pytest.raises(ValueError, match="bad b"):
        late.send(None)
    assert len(processor.fail_messages) == noted
