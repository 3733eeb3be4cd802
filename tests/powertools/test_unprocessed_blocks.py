"""What is not processed is not acknowledged: blocks that are left, or asked for the response, without a run.

Powertools answers these with an empty response, and the source deletes the batch.
"""

import threading
from unittest.mock import Mock

import pytest
from libraries import (
    EVENT_TYPES,
    deprecated,
    event_of,
    fails,
    handler_of,
    names,
    records_of,
    reply,
)

from asyncbatch import SequenceOrderError
from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BasePartialProcessor,
    BatchProcessor,
    EventType,
    PartialSQSProcessor,
    SqsFifoPartialProcessor,
    batch_processor,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import (
    BatchProcessingError,
    SQSBatchProcessingError,
    UnreportableRecordError,
)

RECORDS = event_of("SQS", ["a", "bad b", "c"])["Records"]
MORE = event_of("SQS", ["a", "b", "c", "x", "bad y"])["Records"][3:]
A, B, C = names(RECORDS)
X, Y = names(MORE)
HANDLER = handler_of(fails)
LEFT = "left without a call of process()"
HISTORIC = pytest.mark.filterwarnings("ignore:The sqs_batch_processor decorator:UserWarning")


class Counting(BatchProcessor):
    """Extends what every user extends."""

    def success_handler(self, record, result):
        return super().success_handler(record, result)

    def failure_handler(self, record, exception):
        return super().failure_handler(record, exception)

    def _clean(self):
        super()._clean()


class Asked(BatchProcessor):
    """Notes whether it was told of a record."""

    def failure_handler(self, record, exception):
        pytest.fail("nothing was processed, and so nothing failed")


# --- the block is left ----------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize("kind", [BatchProcessor, AsyncBatchProcessor, Counting, Asked])
def test_a_block_without_a_run_names_every_record(kind, event_type, caplog):
    records = records_of(event_of(event_type, ["a", "b", "c"]))
    processor = kind(EventType[event_type])
    with processor(records, HANDLER):
        pass
    assert processor.response() == reply(*names(records))
    assert caplog.text.count(LEFT) == 1
    assert processor.success_messages == processor.fail_messages == processor.exceptions == []


@pytest.mark.parametrize("group_mode", [False, True])
def test_an_unprocessed_block_of_a_fifo_queue_names_every_record(group_mode):
    records = event_of("SQS", ["a", "b", "c"], groups=["1", "2", "1"])["Records"]
    processor = SqsFifoPartialProcessor(skip_group_on_error=group_mode)
    with processor(records, HANDLER):
        pass
    assert processor.response() == reply(*names(records))


@pytest.mark.parametrize(
    ("event_type", "named"), [("KinesisDataStreams", [0]), ("DynamoDBStreams", [0]), ("Kafka", [0, 1])]
)
def test_of_a_stream_that_stops_where_it_is_delivered_from_again(event_type, named):
    records = records_of(event_of(event_type, ["a", "b"]))
    processor = BatchProcessor(EventType[event_type], stop_on_failure=True)
    with processor(records, HANDLER):
        pass
    assert processor.response() == reply(*[names(records)[at] for at in named])


def test_of_a_stream_out_of_order_there_is_no_response():
    first, second = event_of("KinesisDataStreams", ["a", "b"])["Records"]
    processor = BatchProcessor(EventType.KinesisDataStreams, stop_on_failure=True)
    with processor([second, first], HANDLER):
        pass
    with pytest.raises(SequenceOrderError):
        processor.response()


@pytest.mark.parametrize("records", [[{"body": "a"}], [RECORDS[0], None], [{"messageId": None}]])
def test_where_one_cannot_be_named_there_is_no_response(records):
    processor = BatchProcessor(EventType.SQS)
    with processor(records, HANDLER):
        pass  # and leaving raises nothing
    for _ in range(2):
        with pytest.raises(UnreportableRecordError):
            processor.response()


@pytest.mark.parametrize("records", [[], (), iter([]), {}], ids=lambda each: type(each).__name__)
def test_without_records_there_is_nothing_to_name(records):
    processor = BatchProcessor(EventType.SQS)
    with processor(records, HANDLER):
        pass
    assert processor.response() == reply()


def test_records_may_be_any_iterable():
    processor = BatchProcessor(EventType.SQS)
    with processor(iter(RECORDS), HANDLER):
        pass
    assert processor.response() == reply(A, B, C)
    processor.process()
    assert processor.response() == reply(B)


def test_an_iterable_that_breaks_off_leaves_no_response():
    def breaking():
        yield RECORDS[0]
        raise OSError("no more")

    processor = BatchProcessor(EventType.SQS)
    with processor(breaking(), HANDLER):
        pass
    with pytest.raises(OSError, match="no more"):
        processor.response()


def test_a_block_that_is_left_by_an_exception_names_every_record(caplog):
    processor = BatchProcessor(EventType.SQS)
    with pytest.raises(LookupError), processor(RECORDS, HANDLER):
        raise LookupError
    assert processor.response() == reply(A, B, C)
    assert not caplog.text


def test_the_next_block_has_a_response_of_its_own():
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, HANDLER):
        pass
    with processor:
        processor.process()
    assert processor.response() == reply(B)
    with processor:
        pass
    assert processor.response() == reply(A, B, C)
    assert process_partial_response(event_of("SQS", ["a"]), HANDLER, processor) == reply()


def test_the_run_of_a_block_within_does_not_count_for_it():
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, HANDLER):
        with processor(MORE, HANDLER) as inner:
            inner.process()
        assert inner.response() == reply(Y)
    assert processor.response() == reply(A, B, C)


def test_a_block_that_could_not_be_entered_leaves_no_response_of_the_last():
    class Preparing(BatchProcessor):
        broken = False

        def _prepare(self):
            if self.broken:
                raise OSError("no table")
            super()._prepare()

    processor = Preparing(EventType.SQS)
    assert process_partial_response(event_of("SQS", ["a"]), HANDLER, processor) == reply()
    processor.broken = True
    with pytest.raises(OSError, match="no table"), processor(RECORDS, HANDLER):
        pytest.fail("it was not entered")
    with pytest.raises(OSError, match="no table"):
        processor.response()


@pytest.mark.parametrize("what", ["_clean", "_has_messages_to_report", "_collect_sqs_failures"])
def test_an_override_that_raises_when_the_block_is_left_leaves_no_empty_response(what):
    class Flushing(BatchProcessor):
        pass

    def flush(self):
        raise OSError("not flushed")

    setattr(Flushing, what, flush)
    processor = Flushing(EventType.SQS)
    with pytest.raises(OSError, match="not flushed"), processor(RECORDS, HANDLER):
        processor.process()
    if what == "_clean":
        assert processor.response() == reply(B)
        return
    with pytest.raises(OSError, match="not flushed"):
        processor.response()


# --- the response is asked for before the block is left, or of a run outside one -----------------------


def test_within_the_block_it_tells_of_the_records_so_far():
    """As in a function that returns it from within the block."""
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, HANDLER):
        assert processor.response() == reply(A, B, C)
        processor.process()
        assert processor.response() == reply(B)
        processor.records = MORE
        processor.process()
        assert processor.response() == reply(B, Y)
    assert processor.response() == reply(B, Y)


def test_within_the_block_too_there_is_none_where_one_cannot_be_named():
    processor = BatchProcessor(EventType.SQS)
    with pytest.raises(UnreportableRecordError), processor([RECORDS[0], {"body": "bad"}], HANDLER):
        processor.process()
        processor.response()


def test_within_the_block_where_all_succeeded_it_is_empty():
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS[:1], HANDLER):
        processor.process()
        assert processor.response() == reply()


def test_what_kept_a_run_from_beginning_is_raised_again():
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, None):
        with pytest.raises(TypeError, match="not callable"):
            processor.process()
        with pytest.raises(TypeError, match="not callable"):
            processor.response()


def test_while_a_run_goes_on_nothing_is_known_to_have_succeeded():
    processor = BatchProcessor(EventType.SQS)
    responses = []

    def handler(record):
        responses.append(processor.response())

    assert process_partial_response({"Records": RECORDS}, handler, processor) == reply()
    assert responses == [reply(A, B, C)] * 3


def test_a_run_behind_the_block_is_told_of():
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, HANDLER):
        pass
    processor.process()
    assert processor.response() == reply(B)
    processor.records = MORE
    processor.process()
    assert processor.response() == reply(B, Y)


@pytest.mark.parametrize("kind", [BatchProcessor, AsyncBatchProcessor])
def test_a_run_without_a_block_is_told_of(kind):
    processor = kind(EventType.SQS)
    for records, failed in ((RECORDS, [B]), (MORE, [Y]), (RECORDS[:1], [])):
        processor(records, handler_of(fails, is_async=kind is AsyncBatchProcessor))
        assert processor.response() == reply(*names(records)), "nothing was run yet"
        assert len(processor.process() if kind is BatchProcessor else processor.async_process()) == len(
            records
        )
        assert processor.response() == reply(*failed)


def test_a_thread_that_helps_is_told_what_its_caller_would_be():
    processor = BatchProcessor(EventType.SQS)
    responses = []

    def helps():
        processor.process()
        responses.append(processor.response())

    with processor(RECORDS, HANDLER):
        thread = threading.Thread(target=helps)
        thread.start()
        thread.join()
    assert responses == [reply(B)]


# --- whoever keeps books of their own answers for themselves ------------------------------------------


def test_lists_that_were_filled_by_hand_are_an_answer(caplog):
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, HANDLER):
        processor.success_messages.extend(RECORDS)
    assert processor.response() == reply()
    with processor(RECORDS, HANDLER):
        processor.fail_messages.append(processor._to_batch_type(RECORDS[2], EventType.SQS))
        assert processor.response() == reply(C)
    assert processor.response() == reply(C)
    assert not caplog.text


class NoBooks(BatchProcessor):
    """What succeeds is kept nowhere."""

    def success_handler(self, record, result):
        return "success", result, record


class NoBooksAsync(AsyncBatchProcessor):
    success_handler = NoBooks.success_handler


@pytest.mark.parametrize("kind", [BatchProcessor, Counting, NoBooks])
def test_records_that_are_processed_by_direct_calls_are_an_answer(kind, caplog):
    processor = kind(EventType.SQS)
    with processor(RECORDS, handler_of(str)):
        for record in RECORDS:
            processor._process_record(record)
    assert processor.response() == reply()
    assert not caplog.text


async def test_records_of_the_async_method_are_named_as_well():
    processor = NoBooksAsync(EventType.SQS)
    with processor(RECORDS, handler_of(str, is_async=True)):
        for record in RECORDS:
            await processor._async_process_record(record)
    assert processor.response() == reply()


@HISTORIC
async def test_a_direct_call_without_any_use_is_none():
    for kind in (NoBooks, NoBooksAsync):
        processor = kind(EventType.SQS)
        processor.handler = handler_of(str)
        sync = kind is NoBooks
        method = processor._process_record if sync else processor._async_process_record
        entry = method(RECORDS[0])
        assert (entry if sync else await entry) == ("success", "a", RECORDS[0])
        assert processor.response() == reply()
    historic = PartialSQSProcessor()
    historic.handler = handler_of(str)
    assert historic._process_record(RECORDS[0]) == ("success", "a", RECORDS[0])
    assert await historic._async_process_record(RECORDS[1]) == ("success", "bad b", RECORDS[1])
    assert historic.success_messages == RECORDS[:2]


def test_a_block_that_is_left_without_any_use_raises_what_its_lists_say():
    processor = BatchProcessor(EventType.SQS)
    processor.records = RECORDS[:1]
    processor.failure_handler(processor._to_batch_type(RECORDS[0], EventType.SQS), ValueError("by hand"))
    with pytest.raises(BatchProcessingError, match="1 individual errors"):
        processor.__exit__(None, None, None)
    assert processor.response() == reply(A)


class OwnRun(BatchProcessor):
    """Its `process` notes failures alone."""

    def process(self):
        for record in self.records:
            if record["body"].startswith("bad"):
                data = self._to_batch_type(record, event_type=self.event_type)
                self.failure_handler(data, ValueError("bad"))
        return []


def test_a_run_of_ones_own_answers_for_itself(caplog):
    processor = OwnRun(EventType.SQS)
    for records, failed in ((RECORDS, [B]), (RECORDS[:1], [])):
        with processor(records, HANDLER):
            processor.process()
        assert processor.response() == reply(*failed)
    assert not caplog.text


@pytest.mark.parametrize("method", ["process", "async_process"])
def test_so_does_a_tests_mock_of_one(method):
    processor = AsyncBatchProcessor(EventType.SQS)
    setattr(processor, method, Mock())
    with processor(RECORDS, HANDLER):
        getattr(processor, method)()
    assert processor.response() == reply()


class OwnCollector(BatchProcessor):
    """Keeps books of its own, which its collectors read."""

    def _prepare(self):
        super()._prepare()
        self.failed = []

    def _has_messages_to_report(self):
        return bool(self.failed)

    def _get_messages_to_report(self):
        return [{"itemIdentifier": each} for each in self.failed]


def test_a_collector_of_ones_own_is_asked(caplog):
    processor = OwnCollector(EventType.SQS)
    for failed in ([B], []):
        with processor(RECORDS, HANDLER):
            processor.failed += failed
            assert processor.response() == reply(*failed)
        assert processor.response() == reply(*failed)
    assert LEFT in caplog.text, "where nothing was noted"


def test_so_is_one_in_the_mapping():
    processor = BatchProcessor(EventType.SQS)
    processor._COLLECTOR_MAPPING[EventType.SQS] = list
    with processor(RECORDS, HANDLER):
        pass
    assert processor.response() == reply()


class OwnEnd(BatchProcessor):
    """Makes its response itself."""

    def _clean(self):
        self.batch_response = reply(C)


def test_a_response_of_ones_own_stands():
    processor = OwnEnd(EventType.SQS)
    with processor(RECORDS, HANDLER):
        processor.process()
    assert processor.response() == reply(C)


class Own(BasePartialProcessor):
    """Knows nothing of responses."""

    def _prepare(self): ...
    def _clean(self): ...

    def _process_record(self, record):
        return self.success_handler(record, self.handler(record))


def test_a_processor_without_a_response_is_told_and_its_records_are_left_alone(caplog):
    processor, records = Own(), iter(RECORDS)
    with processor(records, HANDLER):
        pass
    assert LEFT in caplog.text
    assert list(records) == RECORDS


def test_a_block_by_hand_is_no_use():
    """As tests of a `_clean` do it."""
    processor = BatchProcessor(EventType.SQS)
    processor.records = RECORDS
    processor._clean()
    assert processor.response() == reply()
    processor(RECORDS, HANDLER)
    processor.success_messages.append(RECORDS[0])
    processor._clean()
    assert processor.response() == reply()


def test_the_decorators_always_run():
    processor = BatchProcessor(EventType.SQS)

    @batch_processor(record_handler=HANDLER, processor=processor)
    def lambda_handler(event, context):
        return processor.response()

    with deprecated():
        assert lambda_handler({"Records": RECORDS}, None) == reply(B)


# --- the historic processor: only an error keeps Lambda from deleting the batch -----------------------


@HISTORIC
@pytest.mark.parametrize("suppress", [False, True])
def test_a_historic_block_without_a_run_fails_the_invocation(suppress, caplog):
    """Also where the errors of records are suppressed: no failure handler has put them anywhere."""
    processor = PartialSQSProcessor(suppress_exception=suppress)
    with pytest.raises(SQSBatchProcessingError, match="No record was processed") as caught:
        with processor(RECORDS, HANDLER):
            pass
    assert caught.value.child_exceptions == []
    assert LEFT in caplog.text
    with pytest.raises(LookupError), processor(RECORDS, HANDLER):
        raise LookupError


class NoList(PartialSQSProcessor):
    success_handler = NoBooks.success_handler


@HISTORIC
@pytest.mark.parametrize("kind", [PartialSQSProcessor, NoList])
def test_what_a_historic_block_recorded_is_an_answer(kind):
    processor = kind()
    with processor([], HANDLER):
        pass
    with processor(RECORDS, handler_of(str)):
        processor._process_record(RECORDS[0])
    with processor(RECORDS, handler_of(str)):
        processor.process()
