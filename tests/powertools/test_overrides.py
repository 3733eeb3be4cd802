"""What users override: their methods are called as the peer calls them, and decide what success is."""

import asyncio
import contextlib
import copy
import logging
import sys
from typing import Any

import pytest
from libraries import EVENT_TYPES, OURS, body_of, event_of, fails, handler_of, name_of, names, process, reply

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BasePartialBatchProcessor,
    BasePartialProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import BatchProcessingError

EVENT = event_of("SQS", ["a", "bad b", "c"])
RECORDS = EVENT["Records"]
A, B, C = names(RECORDS)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


def base_of(lib, *, is_async):
    return lib.batch.AsyncBatchProcessor if is_async else lib.batch.BatchProcessor


# --- called as the peer calls them --------------------------------------------------------------------


def test_success_and_failure_handlers_are_extended(lib, is_async):
    seen = []

    class Counting(base_of(lib, is_async=is_async)):
        def success_handler(self, record, result):
            seen.append(("success", record, result))
            return super().success_handler(record, result)

        def failure_handler(self, record, exception):
            seen.append(("failure", record.raw_event, exception[1].args))
            return super().failure_handler(record, exception)

    processor = Counting(lib.batch.EventType.SQS)
    assert process(lib, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply(B)
    assert seen == [
        ("success", RECORDS[0], "done a"),
        ("failure", RECORDS[1], ("bad b",)),
        ("success", RECORDS[2], "done c"),
    ]
    assert all(record is raw for (_, record, _), raw in zip(seen, RECORDS, strict=True))


def test_handlers_are_called_by_keyword(lib, is_async):
    seen = []

    class Keywords(base_of(lib, is_async=is_async)):
        def success_handler(self, **kw):
            seen.append(sorted(kw))
            return super().success_handler(**kw)

        def failure_handler(self, **kw):
            seen.append(sorted(kw))
            return super().failure_handler(**kw)

        def _to_batch_type(self, record, **kw):
            seen.append(["record", *sorted(kw)])
            return super()._to_batch_type(record=record, **kw)

    process(
        lib, EVENT, handler_of(fails, is_async=is_async), Keywords(lib.batch.EventType.SQS), is_async=is_async
    )
    assert seen[:2] == [["record", "event_type", "model"], ["record", "result"]]
    assert ["exception", "record"] in seen


def test_what_a_handler_returns_is_the_entry(lib, is_async):
    class Entries(base_of(lib, is_async=is_async)):
        def success_handler(self, record, result):
            super().success_handler(record, result)
            return "success", "mine", record, "more"

        def failure_handler(self, record, exception):
            super().failure_handler(record, exception)
            return "fail", "mine"

    processor = Entries(lib.batch.EventType.SQS)
    with processor(RECORDS, handler_of(fails, is_async=is_async)):
        entries = processor.async_process() if is_async else processor.process()
    assert entries == [
        ("success", "mine", RECORDS[0], "more"),
        ("fail", "mine"),
        ("success", "mine", RECORDS[2], "more"),
    ]
    assert processor.response() == reply(B)


def test_an_error_in_a_success_handler_is_the_records_failure(lib, is_async):
    class Storing(base_of(lib, is_async=is_async)):
        def success_handler(self, record, result):
            if body_of(record) == "c":
                raise OSError("not stored")
            return super().success_handler(record, result)

    processor = Storing(lib.batch.EventType.SQS)
    assert process(lib, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply(
        B, C
    )


def test_the_order_of_a_run(lib):
    order = []

    class Ordered(lib.batch.BatchProcessor):
        def _prepare(self):
            order.append("prepare")
            super()._prepare()

        def _clean(self):
            order.append("clean")
            super()._clean()

        def _process_record(self, record):
            order.append(f"process {record['body']}")
            return super()._process_record(record)

        def _has_messages_to_report(self):
            order.append("has messages")
            return super()._has_messages_to_report()

        def _get_messages_to_report(self):
            order.append("get messages")
            return super()._get_messages_to_report()

        def _collect_sqs_failures(self):
            order.append("collect")
            return super()._collect_sqs_failures()

    processor = Ordered(lib.batch.EventType.SQS)
    assert process(lib, EVENT, handler_of(fails), processor) == reply(B)
    assert order == [
        "prepare",
        "process a",
        "process bad b",
        "process c",
        "clean",
        "has messages",
        "get messages",
        "collect",
    ]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_collector_of_ones_own_in_the_mapping(lib, event_type):
    processor = lib.batch.BatchProcessor(lib.batch.EventType[event_type])
    kind = lib.batch.EventType[event_type]
    collected = []
    theirs = processor._COLLECTOR_MAPPING[kind]

    def collect():
        collected.append(len(processor.fail_messages))
        return theirs()

    processor._COLLECTOR_MAPPING[kind] = collect
    process(lib, event_of(event_type, ["a", "bad b"]), handler_of(fails), processor)
    assert collected == [1]


def test_a_data_class_of_ones_own_in_the_mapping(lib):
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

    class OrderRecord(SQSRecord):
        @property
        def order(self):
            return f"order {self.body}"

    processor = lib.batch.BatchProcessor(lib.batch.EventType.SQS)
    processor._DATA_CLASS_MAPPING[lib.batch.EventType.SQS] = OrderRecord
    seen = []

    def handler(record):
        seen.append(record.order)
        fails(record.body)

    assert process(lib, EVENT, handler, processor) == reply(B)
    assert seen == ["order a", "order bad b", "order c"]


def test_a_default_response_of_ones_own(lib):
    class More(lib.batch.BatchProcessor):
        DEFAULT_RESPONSE = {"batchItemFailures": [], "more": {"a": []}}  # noqa: RUF012 - the peer's way

    processor = More(lib.batch.EventType.SQS)
    answer = process(lib, event_of("SQS", ["a"]), handler_of(fails), processor)
    assert answer == {"batchItemFailures": [], "more": {"a": []}}
    answer["more"]["a"].append(1)
    again = process(lib, event_of("SQS", ["a"]), handler_of(fails), processor)
    assert again["more"] == {"a": []}, "copied for every run"


def test_a_custom_batch_processor(lib):
    """Seen in the wild: everything but the response is their own."""

    class Custom(lib.batch.BasePartialBatchProcessor):
        def _process_record(self, record):
            try:
                return self.success_handler(record=record, result=self.handler(record))
            except Exception:
                data = self._to_batch_type(record=record, event_type=self.event_type)
                return self.failure_handler(record=data, exception=sys.exc_info())

        async def _async_process_record(self, record):
            await asyncio.sleep(0)
            return self._process_record(record)

    processor = Custom(lib.batch.EventType.SQS)

    def handler(record):
        return fails(record["body"])

    assert process(lib, EVENT, handler, processor) == reply(B)
    assert process(lib, EVENT, handler, processor, is_async=True) == reply(B)


class Table(BasePartialProcessor):
    """The documented processor of one's own: it keeps what succeeded somewhere else, and has no event type."""

    def __init__(self):
        self.table: list[Any] = []
        self.batch_response = {"batchItemFailures": []}
        super().__init__()

    def _prepare(self):
        self.success_messages.clear()

    def _clean(self):
        self.table += self.success_messages

    def response(self):
        return self.batch_response

    def _process_record(self, record):
        try:
            return self.success_handler(record, self.handler(record))
        except Exception:
            return self.failure_handler(record, sys.exc_info())

    async def _async_process_record(self, record):
        raise NotImplementedError


def test_the_documented_processor_of_ones_own_works_with_the_function():
    processor = Table()
    answer = process_partial_response(EVENT, lambda record: fails(record["body"]), processor)
    assert answer == {"batchItemFailures": []}
    assert processor.table == [RECORDS[0], RECORDS[2]]
    assert len(processor.fail_messages) == 1
    with pytest.raises(NotImplementedError):
        async_process_partial_response(EVENT, lambda record: None, processor)


def test_a_processor_written_for_version_1_needs_no_async_method():
    class First(BasePartialProcessor):
        def _prepare(self):
            self.done = []

        def _clean(self):
            self.done.append("cleaned")

        def _process_record(self, record):
            try:
                return self.success_handler(record, self.handler(record))
            except ValueError as error:
                return self.failure_handler(record, error)  # the exception itself, as version 1 had it

    processor = First()
    with processor(RECORDS, lambda record: fails(record["body"])):
        entries = processor.process()
    assert [entry[0] for entry in entries] == ["success", "fail", "success"]
    assert entries[1][1] == "<class 'ValueError'>:bad b"
    assert processor.exceptions[0][0] is ValueError
    assert processor.done == ["cleaned"]


def test_a_processor_that_does_not_call_its_base():
    class Bare(BasePartialProcessor):
        def __init__(self):
            self.seen = []

        def _prepare(self): ...

        def _clean(self): ...

        def _process_record(self, record):
            self.seen.append(record)
            return ("success",)

        async def _async_process_record(self, record):
            return self._process_record(record)

    processor = Bare()
    with processor([1, 2], None):
        assert processor.process() == [("success",)] * 2
        assert processor.async_process() == [("success",)] * 2
    assert processor.seen == [1, 2, 1, 2]


# --- success is what the path says, nothing else (ours) -----------------------------------------------


@pytest.mark.parametrize(
    "entry",
    [None, False, "success", ["success", None, None], (), ("fail",), ("Success",), {"success": 1}],
    ids=repr,
)
def test_anything_but_a_success_tuple_is_reported(entry, is_async, caplog):
    class Forgetful(base_of(OURS, is_async=is_async)):
        def success_handler(self, record, result):
            super().success_handler(record, result)
            return entry

    processor = Forgetful(EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(RECORDS, handler_of(str, is_async=is_async)):
        entries = processor.async_process() if is_async else processor.process()
    assert entries == [entry] * 3
    assert processor.response() == reply(A, B, C)
    assert "return a tuple that starts with" in caplog.text


class Refusing:
    @classmethod
    def model_validate(cls, obj):
        raise ValueError("not one is a model")


@pytest.mark.parametrize("place", ["a subclass", "the object", "the class"])
@pytest.mark.parametrize(
    "name", ["record", "success_handler", "failure_handler", "_register_model_validation_error_record"]
)
def test_wherever_a_method_is_replaced_its_entries_are_looked_at(name, place, is_async, monkeypatch):
    """A list that starts with "success" is not what says it: nothing may take its first item for the whole."""

    def replaced(*args, **kwargs):
        return ["success", None, None]

    async def replaced_async(*args, **kwargs):
        return replaced()

    base = base_of(OURS, is_async=is_async)
    if name == "record":
        name = "_async_process_record" if is_async else "_process_record"
    method = replaced_async if name == "_async_process_record" else replaced
    if place == "a subclass":
        base = type("Sub", (base,), {name: method})
    elif place == "the class":
        monkeypatch.setattr(base, name, method)
    processor = base(EventType.SQS, raise_on_entire_batch_failure=False)
    if name.startswith("_register"):
        processor.model = Refusing
    if place == "the object":
        setattr(processor, name, method)
    failed = (B,) if name == "failure_handler" else (A, B, C)  # the others are asked for each
    handler = handler_of(fails, is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(*failed)


def test_a_failure_handler_that_forgets_its_base_loses_no_failure(is_async, caplog):
    class Forgetful(base_of(OURS, is_async=is_async)):
        def failure_handler(self, record, exception):
            return "fail", "noted elsewhere", record

    processor = Forgetful(EventType.SQS)
    assert process(OURS, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply(
        B
    )
    assert "more records are reported as failed" in caplog.text


def test_a_failure_handler_that_returns_nothing_loses_no_failure(is_async):
    class Forgetful(base_of(OURS, is_async=is_async)):
        def failure_handler(self, record, exception): ...

    processor = Forgetful(EventType.SQS)
    assert process(OURS, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply(
        B
    )
    with pytest.raises(BatchProcessingError, match="0 individual errors"):
        process(
            OURS, EVENT, handler_of(lambda _: fails("bad"), is_async=is_async), processor, is_async=is_async
        )
    assert processor.response() == reply(A, B, C)


def test_a_failure_handler_may_make_a_success_of_it(lib, is_async):
    """Some errors are known not to matter."""

    class Lenient(base_of(lib, is_async=is_async)):
        def failure_handler(self, record, exception):
            if isinstance(exception[1], ValueError):
                return "success", "known", record
            return super().failure_handler(record, exception)

    processor = Lenient(lib.batch.EventType.SQS)
    assert process(lib, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply()


def test_what_an_override_adds_to_the_failures_is_reported_too(lib, is_async):
    class Strict(base_of(lib, is_async=is_async)):
        def success_handler(self, record, result):
            if body_of(record) == "c":
                self.fail_messages.append(self._to_batch_type(record, event_type=self.event_type))
            return super().success_handler(record, result)

    processor = Strict(lib.batch.EventType.SQS)
    assert process(lib, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply(
        B, C
    )


@pytest.mark.parametrize(
    "collected",
    [
        [],
        [{"itemIdentifier": A}],
        [{"itemIdentifier": B}, {"itemIdentifier": B}],
        [{"itemIdentifier": "foreign"}],
    ],
    ids=["none", "another", "twice", "foreign"],
)
def test_a_collector_can_name_more_and_never_fewer(collected, is_async):
    class Collecting(base_of(OURS, is_async=is_async)):
        def _collect_sqs_failures(self):
            return collected

    processor = Collecting(EventType.SQS)
    answer = process(OURS, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    named = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
    assert B in named
    assert set(named) == {B, *(each["itemIdentifier"] for each in collected)}
    assert len(named) == len(set(named))
    assert named == sorted(named, key=[A, B, C, "foreign"].index)


def test_a_processor_that_says_there_is_nothing_to_report_reports_it(is_async):
    class Denying(base_of(OURS, is_async=is_async)):
        def _has_messages_to_report(self):
            return False

    processor = Denying(EventType.SQS)
    assert process(OURS, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply(
        B
    )


def test_a_collector_that_knows_names_which_the_records_do_not_tell():
    class OwnNames(BatchProcessor):
        def _collect_sqs_failures(self):
            return [{"itemIdentifier": each["own"]} for each in self.fail_messages]

    records = [{"own": "x", "body": "a"}, {"own": "y", "body": "bad b"}]
    processor = OwnNames(EventType.SQS)
    with processor(records, handler_of(fails)):
        processor.process()
    assert processor.response() == reply("y")


def test_whether_all_failed_can_be_said_otherwise(is_async):
    class Never(base_of(OURS, is_async=is_async)):
        def _entire_batch_failed(self):
            return False

    handler = handler_of(lambda _: fails("bad"), is_async=is_async)
    assert process(OURS, EVENT, handler, Never(EventType.SQS), is_async=is_async) == reply(A, B, C)


# --- an override that lets an exception out ends the batch --------------------------------------------


class OutOfHandError(Exception):
    pass


def aborting(base):
    class Aborting(base):
        def failure_handler(self, record, exception):
            raise OutOfHandError from exception[1]

    return Aborting


def test_an_exception_out_of_a_failure_handler_ends_the_batch(lib):
    seen = []

    def fate(text):
        seen.append(text)
        return fails(text)

    processor = aborting(lib.batch.BatchProcessor)(lib.batch.EventType.SQS)
    with pytest.raises(OutOfHandError):
        process(lib, EVENT, handler_of(fate), processor)
    assert seen == ["a", "bad b"]


def test_so_it_does_side_by_side_and_nothing_runs_on(in_lambda):
    order = []

    async def handler(record):
        if record.body == "bad b":
            await asyncio.sleep(0.001)
            raise ValueError("bad")
        await asyncio.sleep(30)
        order.append(record.body)

    processor = aborting(AsyncBatchProcessor)(EventType.SQS)
    with pytest.raises(OutOfHandError):
        async_process_partial_response(EVENT, handler, processor)

    async def later(record):
        await asyncio.sleep(0.05)

    async_process_partial_response(EVENT, later, AsyncBatchProcessor(EventType.SQS))
    assert not order


def test_what_was_done_by_then_is_in_the_response():
    processor = aborting(BatchProcessor)(EventType.SQS)
    with pytest.raises(OutOfHandError), processor(RECORDS, handler_of(fails)):
        processor.process()
    assert processor.response() == reply(B, C)


def test_an_error_while_preparing_leaves_the_processor_usable():
    class Preparing(BatchProcessor):
        broken = True

        def _prepare(self):
            if self.broken:
                raise OSError("no table")
            super()._prepare()

    processor = Preparing(EventType.SQS)
    with pytest.raises(OSError, match="no table"):
        process_partial_response(EVENT, handler_of(fails), processor)
    processor.broken = False
    assert processor(RECORDS, handler_of(fails)) is processor
    assert process_partial_response(EVENT, handler_of(fails), processor) == reply(B)


def test_an_override_that_converts_badly_costs_its_record():
    class Converting(BatchProcessor):
        def _to_batch_type(self, record, event_type, model=None):
            if record["body"] == "c":
                raise LookupError("unknown")
            return super()._to_batch_type(record, event_type, model)

    processor = Converting(EventType.SQS)
    assert process_partial_response(EVENT, handler_of(fails), processor) == reply(B, C)


def test_a_timeout_in_an_override_sees_its_own_cancellation(lib):
    """It asks the task to be cancelled, and must see that it was: then it is no failure of another kind."""
    told = []

    class InTime(lib.batch.AsyncBatchProcessor):
        async def _async_process_record(self, record):
            try:
                return await asyncio.wait_for(super()._async_process_record(record), 0.02)
            except TimeoutError as error:
                told.append(record["messageId"])
                data = self._to_batch_type(record, event_type=self.event_type)
                return self.failure_handler(data, (type(error), error, error.__traceback__))

    async def handler(record):
        await asyncio.sleep(30 if record.body == "bad b" else 0)

    processor = InTime(lib.batch.EventType.SQS)
    assert lib.batch.async_process_partial_response(EVENT, handler, processor) == reply(B)
    assert told == [B]
    assert [kind for kind, _, _ in processor.exceptions] == [TimeoutError]


def test_chunks_of_a_batch_are_reported_in_its_order():
    class InChunks(BatchProcessor):
        def process(self):
            records, entries = self.records, []
            for chunk in (records[:2], records[2:4], records[4:]):
                self.records = chunk
                entries += super().process()
            self.records = records
            return entries

    event = event_of("SQS", ["a", "bad b", "c", "bad d", "bad e"])
    failed = [names(event["Records"])[at] for at in (1, 3, 4)]
    assert process_partial_response(event, handler_of(fails), InChunks(EventType.SQS)) == reply(*failed)


def test_a_subclass_that_leaves_the_block_its_own_way(lib):
    """Its next use is a use of its own, not of a copy: the lists are the next batch's."""

    class Quiet(lib.batch.BatchProcessor):
        def __exit__(self, *args):
            with contextlib.suppress(lib.exceptions.BatchProcessingError):
                self._clean()

    processor = Quiet(lib.batch.EventType.SQS)
    for body in ("bad 1", "bad 2"):
        lib.batch.process_partial_response(event_of("SQS", [body]), handler_of(fails), processor)
        assert [message.body for message in processor.fail_messages] == [body]


def test_a_subclass_may_take_the_async_path_of_its_base(caplog):
    caplog.set_level(logging.DEBUG)
    seen = []

    class Logging(AsyncBatchProcessor):
        async def _async_process_record(self, record):
            entry = await super()._async_process_record(record)
            seen.append(entry[0])
            return entry

    handler = handler_of(fails, is_async=True, turns=1)
    assert async_process_partial_response(EVENT, handler, Logging(EventType.SQS)) == reply(B)
    assert seen == ["success", "fail", "success"]


def test_a_fifo_subclass_with_a_failure_handler_of_its_own_still_holds_back():
    class Quiet(SqsFifoPartialProcessor):
        def failure_handler(self, record, exception):
            return "fail", "quiet", record

    event = event_of("SQS", ["a", "bad b", "c", "d"], groups=["1", "1", "1", "2"])
    seen = []

    def fate(text):
        seen.append(text)
        return fails(text)

    processor = Quiet(skip_group_on_error=True)
    assert process_partial_response(event, handler_of(fate), processor) == reply(
        *names(event["Records"][1:3])
    )
    assert seen == ["a", "bad b", "d"]


def test_a_batch_processor_without_an_async_method_is_fine():
    class SyncOnly(BasePartialBatchProcessor):
        def _process_record(self, record):
            return self.success_handler(record=record, result=None)

    assert process_partial_response(EVENT, None, SyncOnly(EventType.SQS)) == reply()
    with pytest.raises(NotImplementedError):
        async_process_partial_response(EVENT, None, SyncOnly(EventType.SQS))


def test_copies_of_a_processor_work():
    processor = BatchProcessor(EventType.SQS)
    process_partial_response(event_of("SQS", ["a"]), handler_of(fails), processor)
    for other in (copy.copy(processor), copy.deepcopy(processor)):
        assert process_partial_response(EVENT, handler_of(fails), other) == reply(name_of(RECORDS[1]))
