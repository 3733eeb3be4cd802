"""The record objects that handlers get: like the peer's, and to be wrapped by them."""

import copy
import gzip
import json
import pickle
from decimal import Decimal

import pytest
from aws_lambda_powertools.utilities.data_classes import dynamo_db_stream_event as their_dynamodb
from aws_lambda_powertools.utilities.data_classes import kafka_event as their_kafka
from aws_lambda_powertools.utilities.data_classes import kinesis_stream_event as their_kinesis
from aws_lambda_powertools.utilities.data_classes import sqs_event as their_sqs
from libraries import EVENT_TYPES, OURS, event_of, processor_of, records_of, without_their_classes

from asyncbatch.powertools import data_classes

PAIRS = {
    "SQS": (data_classes.SQSRecord, their_sqs.SQSRecord),
    "KinesisDataStreams": (data_classes.KinesisStreamRecord, their_kinesis.KinesisStreamRecord),
    "DynamoDBStreams": (data_classes.DynamoDBRecord, their_dynamodb.DynamoDBRecord),
    "Kafka": (data_classes.KafkaEventRecord, their_kafka.KafkaEventRecord),
}


def raw_of(event_type):
    return records_of(event_of(event_type, ['{"a": 1}']))[0]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_handlers_get_powertools_own_where_the_program_has_loaded_it(event_type, is_async):
    """So `isinstance`, `==`, `match`, enums and whatever else is theirs are what they were; else they get ours."""
    ours, theirs = PAIRS[event_type]
    with without_their_classes():
        assert kinds_seen(event_type, is_async=is_async) == [ours] * 3
    assert kinds_seen(event_type, is_async=is_async) == [theirs] * 3


def kinds_seen(event_type, *, is_async):
    """The classes of what the handler, the failure handler and an override get."""
    records = records_of(event_of(event_type, ["bad"]))
    processor = processor_of(OURS, event_type, is_async=is_async, raise_on_entire_batch_failure=False)
    seen = [processor._to_batch_type(records[0], processor.event_type)]

    def handler(record):
        seen.append(record)
        raise ValueError

    with processor(records, handler):
        processor.async_process() if is_async else processor.process()
    seen += processor.fail_messages
    assert all(each.raw_event is records[0] for each in seen)
    return list(map(type, seen))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_are_read_only_mappings(event_type):
    raw = raw_of(event_type)
    for kind in PAIRS[event_type]:
        record = kind(raw)
        assert dict(record) == {**record} == raw
        assert record.raw_event is raw
        assert list(record) == list(raw)
        assert len(record) == len(raw)
        assert record.get("no such field") is None
        assert record.get("no such field", 1) == 1
        assert list(record.keys()) == list(raw.keys())
        name = next(iter(raw))
        assert name in record
        assert record[name] is raw[name]
        assert record == kind(copy.deepcopy(raw))
        assert record != raw
        assert not isinstance(record, dict)
        assert bool(record)
        assert not bool(kind({}))
        with pytest.raises(TypeError, match="unhashable"):
            hash(record)
        with pytest.raises(TypeError):
            record[name] = 1
        with pytest.raises(TypeError):
            json.dumps(record)
        record.mine = "new attributes may be set"
        for copied in (copy.copy(record), copy.deepcopy(record), pickle.loads(pickle.dumps(record))):
            assert copied == record
            assert copied.mine == record.mine
        with pytest.raises(AttributeError):
            record.messageId  # noqa: B018 - that it is none is the point


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_show_the_same_text(event_type):
    raw = raw_of(event_type)
    raw["body"] = "no JSON: a nested event would show the address of a generator"
    ours, theirs = (kind(raw) for kind in PAIRS[event_type])
    assert str(ours) == str(theirs)
    assert "raw_event': '[SENSITIVE]'" in str(ours)
    assert "[Cannot be deserialized]" in str(PAIRS["SQS"][0]({"body": "x"}))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_show_no_content_where_nobody_asked(event_type):
    ours = PAIRS[event_type][0](raw_of(event_type))
    assert '{"a": 1}' not in repr(ours)
    assert '"a"' not in repr(ours)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_equal_the_peers_of_the_same_record(event_type):
    ours, theirs = PAIRS[event_type]
    assert ours(raw_of(event_type)) == theirs(raw_of(event_type))
    assert ours(raw_of(event_type)) != theirs({})


@pytest.mark.parametrize("raw", [None, 5, "text", []], ids=repr)
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_are_made_of_anything(event_type, raw):
    assert PAIRS[event_type][0](raw).raw_event is raw


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_powertools_classes_can_wrap_them(event_type):
    ours, theirs = PAIRS[event_type]
    record = ours(raw_of(event_type))
    wrapped = theirs(record)
    assert dict(wrapped) == dict(record)
    if event_type == "SQS":
        assert wrapped.json_body == {"a": 1}
        assert wrapped.attributes.approximate_receive_count == "1"
    elif event_type == "KinesisDataStreams":
        assert wrapped.kinesis.data_as_json() == {"a": 1}
    elif event_type == "DynamoDBStreams":
        assert wrapped.dynamodb.new_image == {"id": "0", "body": '{"a": 1}'}
    else:
        assert wrapped.json_value == {"a": 1}


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_take_what_a_handler_assigns(event_type):
    """Names of its own, and those that Powertools decodes once."""
    names = ["payload", "data", "text", "id", "order"]
    names += {"SQS": ["json_body", "key"], "Kafka": ["json_value", "decoded_headers"]}.get(
        event_type, ["key"]
    )
    for kind in PAIRS[event_type]:
        record = kind(raw_of(event_type))
        for name in names:
            setattr(record, name, name.upper())
        assert [getattr(record, name) for name in names] == list(map(str.upper, names))


def test_numbers_of_a_stream_are_shown_as_they_are_written():
    numbers = ["100", "1.50", "1700000000000", "-0.10", "0", "1" + "0" * 50]
    raw = raw_of("DynamoDBStreams")
    raw["dynamodb"]["NewImage"] = {number: {"N": number} for number in numbers}
    ours, theirs = (kind(raw).dynamodb.new_image for kind in PAIRS["DynamoDBStreams"])
    assert list(map(str, ours.values())) == list(map(str, theirs.values()))


def test_a_json_deserializer_of_ones_own():
    raw = raw_of("SQS")
    for kind in PAIRS["SQS"]:
        assert kind(raw, json_deserializer=lambda text: ("mine", text)).json_body == ("mine", '{"a": 1}')
    raw = raw_of("Kafka")
    for kind in PAIRS["Kafka"]:
        assert kind(raw, json_deserializer=lambda text: ("mine", text)).json_value == ("mine", '{"a": 1}')


@pytest.mark.parametrize("body", ["no JSON", "", '{"a": 1', "\ufeff1", "ä"], ids=ascii)
@pytest.mark.parametrize("event_type", ["SQS", "KinesisDataStreams", "Kafka"])
def test_what_is_no_json_raises_the_same(event_type, body):
    """Handlers catch `json.JSONDecodeError`, and logs show its text."""
    errors = []
    for kind in PAIRS[event_type]:
        record = kind(records_of(event_of(event_type, [body]))[0])
        with pytest.raises(json.JSONDecodeError) as caught:
            read_json(record)
        errors.append((str(caught.value), caught.value.doc))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("event_type", ["KinesisDataStreams", "Kafka"])
def test_what_is_no_text_raises_the_same(event_type):
    errors = []
    for kind in PAIRS[event_type]:
        raw = raw_of(event_type)
        (raw.get("kinesis") or raw)["data" if "kinesis" in raw else "value"] = "/w=="
        with pytest.raises(UnicodeDecodeError) as caught:
            read_json(kind(raw))
        errors.append(str(caught.value))
    assert errors[0] == errors[1]


def read_json(record):
    if "kinesis" in record:
        return record.kinesis.data_as_json()
    return record.json_body if "body" in record else record.json_value


def test_nested_events_and_compressed_data():
    raw = raw_of("KinesisDataStreams")
    import base64

    raw["kinesis"]["data"] = base64.b64encode(gzip.compress(b'{"a": 1}')).decode()
    for kind in PAIRS["KinesisDataStreams"]:
        assert kind(raw).kinesis.data_zlib_compressed_as_json() == {"a": 1}
    raw = raw_of("DynamoDBStreams")
    raw["dynamodb"]["NewImage"] = {"n": {"N": "1.5"}, "b": {"B": "AQ=="}}
    for kind in PAIRS["DynamoDBStreams"]:
        assert kind(raw).dynamodb.new_image == {"n": Decimal("1.5"), "b": "AQ=="}
        assert kind(raw).event_name.name == "INSERT"
    raw = raw_of("SQS")
    raw["body"] = json.dumps({"Message": "m", "MessageId": "1", "TopicArn": "arn", "Type": "Notification"})
    for kind in PAIRS["SQS"]:
        assert kind(raw).decoded_nested_sns_event.message == "m"
