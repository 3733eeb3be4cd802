"""The run cycle: what users see of a batch, said of both libraries."""

import asyncio
import copy
import functools
import logging

import pytest
from libraries import (
    EVENT_TYPES,
    OURS,
    THEIRS,
    body_of,
    deprecated,
    event_of,
    fails,
    handler_of,
    minimal,
    name_of,
    names,
    process,
    processor_of,
    records_of,
    reply,
)

from asyncbatch.testing import LambdaContext

BODIES = ["a", "bad b", "c", "bad d"]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


# --- entries ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_lambda")
@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize("least", [False, True], ids=["whole", "minimal"])
def test_failures_are_reported(lib, event_type, is_async, least):
    event = event_of(event_type, BODIES)
    event = minimal(event) if least else event
    records = records_of(event)
    processor = processor_of(lib, event_type, is_async=is_async)
    before = copy.deepcopy(event)
    answer = process(lib, event, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert answer == reply(name_of(records[1]), name_of(records[3]))
    assert event == before
    assert processor.success_messages[0] is records[0]
    assert [body_of(each) for each in processor.fail_messages] == ["bad b", "bad d"]
    assert [str(error) for _, error, _ in processor.exceptions] == ["bad b", "bad d"]
    assert all(trace is not None for _, _, trace in processor.exceptions)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_success_is_an_empty_list(lib, event_type, is_async):
    event = event_of(event_type, ["a", "b"])
    processor = processor_of(lib, event_type, is_async=is_async)
    assert process(lib, event, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply()
    assert processor.response() == reply()


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_failed_batch_raises(lib, event_type, is_async):
    processor = processor_of(lib, event_type, is_async=is_async)
    event = event_of(event_type, ["bad a", "bad b"])
    handler = handler_of(fails, is_async=is_async)
    for _ in range(2):  # cold and warm
        with pytest.raises(lib.exceptions.BatchProcessingError) as caught:
            process(lib, event, handler, processor, is_async=is_async)
        assert caught.value.msg == (
            "All records failed processing. 2 individual errors logged separately below."
        )
        assert [str(error) for _, error, _ in caught.value.child_exceptions] == ["bad a", "bad b"]


def test_a_failed_batch_is_reported_where_that_is_asked_for(lib, is_async):
    event = event_of("SQS", ["bad a", "bad b"])
    handler = handler_of(fails, is_async=is_async)
    processor = processor_of(lib, "SQS", raise_on_entire_batch_failure=False, is_async=is_async)
    assert process(lib, event, handler, processor, is_async=is_async) == reply(*names(event["Records"]))
    processor = processor_of(lib, "SQS", is_async=is_async)
    processor.raise_on_entire_batch_failure = False  # between runs
    assert process(lib, event, handler, processor, is_async=is_async) == reply(*names(event["Records"]))


@pytest.mark.parametrize(
    "event", [{}, {"Records": None}, {"Records": []}, {"Records": "text"}, {"Records": ()}]
)
@pytest.mark.parametrize("event_type", ["SQS", "KinesisDataStreams", "DynamoDBStreams"])
def test_an_event_without_records_is_refused(lib, event_type, event, is_async):
    processor = processor_of(lib, event_type, is_async=is_async)
    with pytest.raises(lib.exceptions.UnexpectedBatchTypeError) as caught:
        process(lib, event, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert str(caught.value) == (
        "Unexpected batch event type. Possible values are: SQS, KinesisDataStreams, DynamoDBStreams, Kafka\n"
    )


@pytest.mark.parametrize("event", [{}, {"records": None}, {"records": {}}, {"records": []}, {"Records": [1]}])
def test_a_kafka_event_without_records_is_refused(lib, event, is_async):
    processor = processor_of(lib, "Kafka", is_async=is_async)
    with pytest.raises(lib.exceptions.UnexpectedBatchTypeError) as caught:
        process(lib, event, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert caught.value.msg == (
        "Invalid Kafka event structure. Expected 'records' to be a non-empty dict with topic-partition keys."
    )


def test_a_kafka_event_with_an_empty_partition_succeeds(lib, is_async):
    processor = processor_of(lib, "Kafka", is_async=is_async)
    handler = handler_of(fails, is_async=is_async)
    assert process(lib, {"records": {"t-0": []}}, handler, processor, is_async=is_async) == reply()


@pytest.mark.parametrize("event", [None, 5, [], "text", object()], ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_what_is_no_event_is_refused(lib, event_type, event, is_async):
    processor = processor_of(lib, event_type, is_async=is_async)
    with pytest.raises(ValueError) as caught:
        process(lib, event, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert str(caught.value) == (
        f"Invalid event format. Please ensure batch event is a valid {event_type} event. \n"
        "See sample events in our documentation for either SQS, KinesisDataStreams, DynamoDBStreams, Kafka: \n"
        " https://docs.powertools.aws.dev/lambda/python/latest/utilities/batch/#processing-messages-from-sqs"
    )
    assert isinstance(caught.value.__context__, AttributeError)


def test_events_of_data_classes_pass(lib):
    from aws_lambda_powertools.utilities.data_classes import SQSEvent

    event = event_of("SQS", ["a", "bad b"])
    answer = process(lib, SQSEvent(event), handler_of(fails), processor_of(lib, "SQS"))
    assert answer == reply(name_of(event["Records"][1]))


def test_the_wrong_entry_runs_nothing(lib):
    seen = []
    event = event_of("SQS", ["a"])
    for is_async in (False, True):
        processor = processor_of(lib, "SQS", is_async=not is_async)
        with pytest.raises(NotImplementedError) as caught:
            process(lib, event, seen.append, processor, is_async=is_async)
        told = "" if lib is THEIRS else f": call {'async_' if not is_async else ''}process_partial_response"
        assert str(caught.value).endswith(told)
        with pytest.raises(NotImplementedError), processor(event["Records"], seen.append):
            (processor.async_process if is_async else processor.process)()
    assert not seen


def test_event_errors_come_before_anything_runs_inside_a_running_loop_too(lib):
    async def main():
        with pytest.raises(lib.exceptions.UnexpectedBatchTypeError):
            process(lib, {}, None, processor_of(lib, "SQS", is_async=True), is_async=True)
        with pytest.raises(ValueError, match="Invalid event format"):
            process(lib, None, None, processor_of(lib, "SQS", is_async=True), is_async=True)

    asyncio.run(main())


# --- tuples -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_entries_of_records(lib, event_type, is_async):
    records = records_of(event_of(event_type, ["a", "bad b"]))
    processor = processor_of(lib, event_type, is_async=is_async)
    with processor(records, handler_of(fails, is_async=is_async)) as batch:
        assert batch is processor
        entries = batch.async_process() if is_async else batch.process()
    assert entries[0] == ("success", "done a", records[0])
    assert entries[0][2] is records[0]
    status, cause, item = entries[1]
    assert (status, cause) == ("fail", "<class 'ValueError'>:bad b")
    assert item is processor.fail_messages[0]
    assert item.raw_event is records[1]
    assert batch.response() == reply(name_of(records[1]))


# --- the context manager ------------------------------------------------------------------------------


def test_a_call_stores_and_returns_the_processor(lib):
    processor = processor_of(lib, "SQS")
    records = event_of("SQS", ["a"])["Records"]
    handler = handler_of(fails)
    assert processor(records=records, handler=handler) is processor
    assert processor.records is records
    assert processor.handler is handler
    processor.success_messages.append("kept")
    processor(records, handler)
    assert processor.success_messages == ["kept"]


def test_without_records_there_is_nothing_to_process(lib):
    with pytest.raises(AttributeError, match="records"):
        processor_of(lib, "SQS").process()


def test_no_records_are_a_success(lib, is_async):
    processor = processor_of(lib, "SQS", is_async=is_async)
    with processor([], handler_of(fails, is_async=is_async)):
        assert (processor.async_process() if is_async else processor.process()) == []
    assert processor.response() == reply()


def test_entering_empties_the_lists_and_leaving_keeps_them(lib):
    processor = processor_of(lib, "SQS")
    records = event_of("SQS", ["a", "bad b"])["Records"]
    with processor(records, handler_of(fails)):
        processor.process()
    assert len(processor.success_messages) == len(processor.fail_messages) == 1
    first = processor.response()
    with processor(records[:1], handler_of(fails)):
        assert processor.success_messages == processor.fail_messages == processor.exceptions == []
        assert processor.batch_response == reply()
        processor.process()
    assert processor.response() == reply()
    assert first == reply(name_of(records[1]))


def test_an_error_in_the_body_comes_out_and_the_response_is_built(lib):
    processor = processor_of(lib, "SQS")
    records = event_of("SQS", ["a", "bad b"])["Records"]
    with pytest.raises(LookupError, match="mine"), processor(records, handler_of(fails)):
        processor.process()
        raise LookupError("mine")
    assert processor.response() == reply(name_of(records[1]))


def test_a_body_can_be_told_of_a_failed_batch(lib):
    processor = processor_of(lib, "SQS")
    with pytest.raises(lib.exceptions.BatchProcessingError):
        with processor(event_of("SQS", ["bad a"])["Records"], handler_of(fails)):
            entries = processor.process()
        pytest.fail("nothing raised")
    assert entries[0][0] == "fail"


def test_processing_twice_adds_up(lib):
    processor = processor_of(lib, "SQS")
    records = event_of("SQS", ["a", "bad b", "c"])["Records"]
    with processor(records, handler_of(fails)):
        assert len(processor.process()) == len(processor.process()) == 3
    assert len(processor.success_messages) == 4
    assert len(processor.fail_messages) == 2
    named = [each["itemIdentifier"] for each in processor.response()["batchItemFailures"]]
    assert set(named) == {name_of(records[1])}


def test_event_type_and_model_may_change_between_runs(lib):
    processor = processor_of(lib, "SQS")
    process(lib, event_of("SQS", ["a"]), handler_of(fails), processor)
    processor.event_type = lib.batch.EventType.KinesisDataStreams
    event = event_of("KinesisDataStreams", ["a", "bad b"])
    answer = process(lib, event, handler_of(fails), processor)
    assert answer == reply(name_of(event["Records"][1]))


# --- the call of the handler --------------------------------------------------------------------------


def test_the_record_goes_by_its_keyword(lib, is_async):
    seen = []

    def by_keyword(**kw):
        seen.append(kw)

    async def by_keyword_async(**kw):
        seen.append(kw)

    event = event_of("SQS", ["a"])
    processor = processor_of(lib, "SQS", is_async=is_async)
    handler = by_keyword_async if is_async else by_keyword
    process(lib, event, handler, processor, LambdaContext(), is_async=is_async)
    assert [list(kw) for kw in seen] == [["record"]]

    def by_another_name(message):
        pytest.fail("it cannot be called")

    processor.raise_on_entire_batch_failure = False
    assert process(lib, event, by_another_name, processor, is_async=is_async) == reply(
        *names(event["Records"])
    )
    assert processor.exceptions[0][0] is TypeError


def injected(seen, *, is_async):
    def handler(record, lambda_context):
        seen.append(lambda_context)

    def with_default(record, lambda_context="mine"):
        seen.append(lambda_context)

    async def async_handler(record, lambda_context):
        seen.append(lambda_context)

    class Callable:
        def __call__(self, record, lambda_context):
            seen.append(lambda_context)

    if is_async:
        return [async_handler, functools.partial(async_handler)]

    class Unhashable(Callable):
        __hash__ = None

    return [
        *(handler, with_default, Callable(), Unhashable()),
        functools.partial(handler, lambda_context="bound"),
    ]


@pytest.mark.parametrize("context", [LambdaContext(), {}, "", 0, object()], ids=repr)
def test_a_context_is_injected_where_it_is_named(lib, is_async, context):
    seen = []
    for handler in injected(seen, is_async=is_async):
        processor = processor_of(lib, "SQS", is_async=is_async)
        process(lib, event_of("SQS", ["a"]), handler, processor, context, is_async=is_async)
        assert seen.pop() is context
        assert processor.lambda_context is context


def test_a_context_is_not_injected_where_none_was_given(lib):
    seen = []

    def handler(record, lambda_context="none"):
        seen.append(lambda_context)

    processor = processor_of(lib, "SQS")
    records = event_of("SQS", ["a"])["Records"]
    context = LambdaContext()
    for given in (context, None):
        with processor(records, handler, lambda_context=given):
            processor.process()
    assert seen == [context, "none"]
    assert processor.lambda_context is context  # kept, and not injected


def test_a_handler_that_needs_a_context_fails_without_one(lib):
    def handler(record, lambda_context):
        pytest.fail("it cannot be called")

    processor = processor_of(lib, "SQS", raise_on_entire_batch_failure=False)
    event = event_of("SQS", ["a"])
    assert process(lib, event, handler, processor) == reply(*names(event["Records"]))
    assert processor.exceptions[0][0] is TypeError


# --- the decorators -----------------------------------------------------------------------------------


def decorated(lib, handler, processor, *, is_async=False):
    decorator = lib.batch.async_batch_processor if is_async else lib.batch.batch_processor

    @decorator(record_handler=handler, processor=processor)
    def lambda_handler(event, context):
        return processor.response()

    return lambda_handler


def test_a_decorator_runs_the_batch_first(lib, is_async):
    event = event_of("SQS", BODIES)
    processor = processor_of(lib, "SQS", is_async=is_async)
    lambda_handler = decorated(lib, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    with deprecated():
        assert lambda_handler(event, {}) == reply(name_of(event["Records"][1]), name_of(event["Records"][3]))


def test_a_decorator_does_not_check_the_event(lib):
    lambda_handler = decorated(lib, handler_of(fails), processor_of(lib, "SQS"))
    with deprecated():
        assert lambda_handler({"Records": []}, None) == reply()
        with pytest.raises(KeyError, match="Records"):
            lambda_handler({}, None)
        with pytest.raises(TypeError):
            lambda_handler(None, None)


def test_a_decorator_passes_the_context_on(lib):
    seen = []

    def handler(record, lambda_context):
        seen.append(lambda_context)

    context = LambdaContext()
    with deprecated():
        decorated(lib, handler, processor_of(lib, "SQS"))(event_of("SQS", ["a"]), context)
    assert seen == [context]


def test_a_decorated_coroutine_function_stays_one(lib):
    processor = processor_of(lib, "SQS")

    @lib.batch.batch_processor(record_handler=handler_of(fails), processor=processor)
    async def lambda_handler(event, context):
        return processor.response()

    with deprecated():
        coroutine = lambda_handler(event_of("SQS", ["a"]), None)
    assert asyncio.run(coroutine) == reply()


# --- logs ---------------------------------------------------------------------------------------------


def test_failures_are_logged_below_warnings(lib, is_async, caplog):
    """The peer's loggers lead nowhere; ours lead to the function's log, and so are silent about records."""
    caplog.set_level(logging.DEBUG, logger=lib.root)
    event = event_of("SQS", ["a", "bad b"])
    processor = processor_of(lib, "SQS", is_async=is_async)
    process(lib, event, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    mine = [each for each in caplog.records if each.name == f"{lib.root}.base"]
    assert {each.levelname for each in mine} == {"DEBUG"}
    assert "<class 'ValueError'>" in mine[-1].getMessage()
    assert ("bad b" in caplog.text) == (lib is not OURS)
    caplog.clear()
    process(lib, event_of("SQS", ["a"]), handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert "All 1 records successfully processed" in caplog.text


def test_a_logger_of_the_users_gets_a_warning_with_the_traceback(lib, is_async, caplog):
    logger = logging.getLogger("the users")
    event = event_of("SQS", ["a", "bad b"])
    processor = processor_of(lib, "SQS", logger=logger, is_async=is_async)
    process(lib, event, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    (told,) = [each for each in caplog.records if each.name == "the users"]
    assert told.levelname == "WARNING"
    assert told.getMessage() == "Record processing exception; skipping this record"
    assert told.exc_info == processor.exceptions[0]


def test_fifo_short_circuits_are_not_logged(lib, caplog):
    logger = logging.getLogger("the users")
    event = event_of("SQS", ["a", "bad b", "c"], groups=["1", "1", "1"])
    processor = lib.batch.SqsFifoPartialProcessor(logger=logger)
    process(lib, event, handler_of(fails), processor)
    assert len(processor.exceptions) == 2
    assert len([each for each in caplog.records if each.name == "the users"]) == 1
