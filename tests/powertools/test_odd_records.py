"""Records that no event source sends: what fails is in the reply, or an error says which record has no name."""

import json

import pytest
from libraries import OURS, event_of, fails, handler_of, name_of, process, processor_of, records_of

from asyncbatch.powertools.exceptions import (
    BatchProcessingError,
    UnexpectedBatchTypeError,
    UnreportableRecordError,
)


def failing(text):
    raise ValueError(text)


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


def named(event, event_type, is_async, fate=failing, **options):
    processor = processor_of(
        OURS, event_type, is_async=is_async, raise_on_entire_batch_failure=False, **options
    )
    answer = process(OURS, event, handler_of(fate, is_async=is_async), processor, is_async=is_async)
    return [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]


@pytest.mark.parametrize(
    "identifiers",
    [[5, 5.0, True], [1, True, "1"], ["['x']", ["x"], {"x": "x"}], [{"x": [1]}, {"x": {}}, {"y": {}}]],
    ids=str,
)
def test_identifiers_that_only_python_takes_for_one_are_all_named(identifiers, is_async):
    event = event_of("SQS", ["a", "b", "c"][: len(identifiers)])
    for record, identifier in zip(event["Records"], identifiers, strict=True):
        record["messageId"] = identifier
    assert json.dumps(named(event, "SQS", is_async)) == json.dumps(identifiers)


def test_offsets_that_only_python_takes_for_one_are_all_named(is_async):
    event = event_of("Kafka", ["a", "b", "c"])
    records = records_of(event)
    for record, offset in zip(records, [1, 1.0, {"x": 1}], strict=True):
        record["offset"] = offset
    wanted = [name_of(record) for record in records]
    assert json.dumps(named(event, "Kafka", is_async)) == json.dumps(wanted)


@pytest.mark.parametrize("key", [["k"], {"k": []}], ids=str)
def test_a_stream_that_halts_takes_records_whose_key_is_none(key, is_async):
    event = event_of("KinesisDataStreams", ["a", "bad b", "c"])
    event["Records"][1]["kinesis"]["partitionKey"] = key
    found = named(event, "KinesisDataStreams", is_async, fate=fails, stop_on_failure=True)
    assert found == [name_of(event["Records"][1])]


@pytest.mark.parametrize("offset", ["x", 1.5, None], ids=str)
def test_a_topic_that_halts_takes_offsets_that_are_none(offset, is_async):
    event = event_of("Kafka", ["a", "bad b", "c"])
    records = records_of(event)
    records[2]["offset"] = offset
    if offset is None:
        with pytest.raises(UnreportableRecordError, match=r"offset"):
            named(event, "Kafka", is_async, fate=fails, stop_on_failure=True)
        return
    found = named(event, "Kafka", is_async, fate=fails, stop_on_failure=True)
    assert found == [name_of(records[1]), name_of(records[2])]


@pytest.mark.parametrize("group", [["g"], {"g": 1}], ids=str)
def test_a_fifo_queue_takes_groups_that_are_none(group, is_async):
    event = event_of("SQS", ["a", "bad b", "c"], groups=["g", "g", "g"])
    event["Records"][1]["attributes"]["MessageGroupId"] = group
    assert named(event, "SQS", is_async, fate=fails) == [name_of(event["Records"][1])]


def test_half_a_character_in_an_errors_text_does_not_break_the_error_that_fails_the_batch(is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(lambda text: failing("no customer \ud83d"), is_async=is_async)
    with pytest.raises(BatchProcessingError) as caught:
        process(OURS, event_of("SQS", ["a"]), handler, processor, is_async=is_async)
    assert rb"no customer \ud83d" in str(caught.value).encode()


@pytest.mark.parametrize("log", [None, 5, "text", {"0": {}}], ids=str)
def test_a_topic_partition_that_is_no_list_is_refused_before_anything_runs(log, is_async):
    event = event_of("Kafka", ["a"])
    event["records"]["t-9"] = log
    called = []
    with pytest.raises(UnexpectedBatchTypeError, match="Invalid Kafka event structure"):
        named(event, "Kafka", is_async, fate=called.append)
    assert called == []


def test_copies_of_a_record_with_an_odd_identifier_are_named_once(is_async):
    event = event_of("SQS", ["a", "b", "c"])
    for record, identifier in zip(event["Records"], [5, 5, None], strict=True):
        record["messageId"] = identifier
    assert named(event, "SQS", is_async, fate=lambda text: failing(text) if text != "c" else text) == [5]
