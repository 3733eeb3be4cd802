"""Handlers written for aws_lambda_powertools read our records by the same names, and find the same."""

import base64
import gzip
import json
import zlib
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest
from aws_lambda_powertools.utilities.data_classes import SQSEvent
from aws_lambda_powertools.utilities.data_classes import dynamo_db_stream_event as their_dynamodb
from aws_lambda_powertools.utilities.data_classes import kafka_event as their_kafka
from aws_lambda_powertools.utilities.data_classes import kinesis_stream_event as their_kinesis
from aws_lambda_powertools.utilities.data_classes import sqs_event as their_sqs
from aws_lambda_powertools.utilities.data_classes.common import DictWrapper

from asyncbatch import DynamoDBRecord, EventSource, KafkaRecord, KinesisRecord, SqsRecord
from asyncbatch._records import StreamRecord, View
from asyncbatch.testing import sample_event


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


SQS: dict[str, Any] = {
    "messageId": "m-1",
    "receiptHandle": "r-1",
    "body": '{"a": 1}',
    "attributes": {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "1545082649183",
        "SenderId": "S",
        "ApproximateFirstReceiveTimestamp": "1545082649185",
        "SequenceNumber": "7",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "d",
        "AWSTraceHeader": "Root=1",
        "DeadLetterQueueSourceArn": "arn:dlq",
    },
    "messageAttributes": {
        "text": {"stringValue": "x", "dataType": "String"},
        "bytes": {"binaryValue": "AQ==", "dataType": "Binary"},
        "both": {"stringValue": "x", "binaryValue": "AQ==", "dataType": "Odd"},
    },
    "md5OfBody": "5d",
    "eventSource": "aws:sqs",
    "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:orders",
    "awsRegion": "us-east-2",
}
SQS_SPARSE: dict[str, Any] = {
    "body": "no JSON",
    "attributes": {},
    "messageAttributes": {"empty": {}},
}

KINESIS: dict[str, Any] = {
    "kinesis": {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "k",
        "sequenceNumber": "495",
        "data": b64(b'{"a": 1}'),
        "approximateArrivalTimestamp": "1545084650.987",
    },
    "eventSource": "aws:kinesis",
    "eventVersion": "1.0",
    "eventID": "shardId-000000000006:495",
    "eventName": "aws:kinesis:record",
    "invokeIdentityArn": "arn:role",
    "awsRegion": "us-east-2",
    "eventSourceARN": "arn:stream",
}


def kinesis(data: str) -> dict[str, Any]:
    return {**KINESIS, "kinesis": {**KINESIS["kinesis"], "data": data}}


IMAGE = {
    "id": {"S": "x"},
    "n": {"N": "1.50"},
    "yes": {"BOOL": True},
    "none": {"NULL": True},
    "list": {"L": [{"N": "1"}, {"B": "AQ=="}]},
    "map": {"M": {"a": {"S": "b"}}},
    "texts": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2"]},
    "bytes": {"B": "AQ=="},
    "many": {"BS": ["AQ==", "Ag=="]},
}
DYNAMODB: dict[str, Any] = {
    "awsRegion": "us-east-2",
    "eventID": "1",
    "eventName": "MODIFY",
    "eventSource": "aws:dynamodb",
    "eventSourceARN": "arn:stream",
    "eventVersion": "1.1",
    "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
    "dynamodb": {
        "ApproximateCreationDateTime": 1480642020.5,
        "Keys": {"id": {"S": "x"}},
        "NewImage": IMAGE,
        "OldImage": {**IMAGE, "n": {"N": "1"}},
        "SequenceNumber": "499",
        "SizeBytes": "26",
        "StreamViewType": "NEW_AND_OLD_IMAGES",
    },
}


def dynamodb(**part: object) -> dict[str, Any]:
    return {**DYNAMODB, "dynamodb": {**DYNAMODB["dynamodb"], **part}}


KAFKA: dict[str, Any] = {
    "topic": "my-topic",
    "partition": 0,
    "offset": 15,
    "timestamp": 1545084650987,
    "timestampType": "CREATE_TIME",
    "key": b64(b"key"),
    "value": b64(b'{"a": 1}'),
    "headers": [{"X-Trace": [104, 101, 108]}, {"signed": [-1, 0, 127]}],
    "keySchemaMetadata": {"dataFormat": "AVRO", "schemaId": "1"},
    "valueSchemaMetadata": {"dataFormat": "JSON"},
}


def sample(source: EventSource) -> dict[str, Any]:
    event = sample_event(source, 1)
    records: list[dict[str, Any]] = event.get("Records") or next(iter(event["records"].values()))
    return records[0]


SQS_NAMES = [
    "message_id", "receipt_handle", "body", "json_body", "attributes", "message_attributes",
    "md5_of_body", "event_source", "event_source_arn", "aws_region", "queue_url",
    "attributes.approximate_receive_count", "attributes.sent_timestamp", "attributes.sender_id",
    "attributes.approximate_first_receive_timestamp", "attributes.sequence_number",
    "attributes.message_group_id", "attributes.message_deduplication_id", "attributes.aws_trace_header",
    "attributes.dead_letter_queue_source_arn",
]  # fmt: skip
KINESIS_NAMES = [
    "aws_region", "event_id", "event_name", "event_source", "event_source_arn", "event_version",
    "invoke_identity_arn", "kinesis", "kinesis.data", "kinesis.approximate_arrival_timestamp",
    "kinesis.kinesis_schema_version", "kinesis.partition_key", "kinesis.sequence_number",
    "kinesis.data_as_bytes()", "kinesis.data_as_text()", "kinesis.data_as_json()",
    "kinesis.data_zlib_compressed_as_json()",
]  # fmt: skip
DYNAMODB_NAMES = [
    "aws_region", "event_id", "event_source", "event_source_arn", "event_version", "event_name",
    "dynamodb", "user_identity", "dynamodb.keys", "dynamodb.new_image", "dynamodb.old_image",
    "dynamodb.sequence_number", "dynamodb.size_bytes", "dynamodb.approximate_creation_date_time",
    "dynamodb.stream_view_type",
]  # fmt: skip
KAFKA_NAMES = [
    "topic", "partition", "offset", "timestamp", "timestamp_type", "key", "decoded_key", "value",
    "decoded_value", "json_value", "headers", "decoded_headers", "key_schema_metadata",
    "value_schema_metadata", "key_schema_metadata.data_format", "key_schema_metadata.schema_id",
    "value_schema_metadata.data_format", "value_schema_metadata.schema_id",
]  # fmt: skip

GROUPS = {
    "sqs": (
        SqsRecord,
        their_sqs.SQSRecord,
        SQS_NAMES,
        [SQS, SQS_SPARSE, {}, sample(EventSource.SQS), sample(EventSource.SQS_FIFO)],
    ),
    "kinesis": (
        KinesisRecord,
        their_kinesis.KinesisStreamRecord,
        KINESIS_NAMES,
        [
            KINESIS,
            kinesis(b64(zlib.compress(b'{"a": 1}'))),
            kinesis(b64(gzip.compress(b'{"a": 1}'))),
            kinesis(b64(b"\xff")),
            kinesis("no base64!"),
            {},
            {"kinesis": {}},
            sample(EventSource.KINESIS),
        ],
    ),
    "dynamodb": (
        DynamoDBRecord,
        their_dynamodb.DynamoDBRecord,
        DYNAMODB_NAMES,
        [
            DYNAMODB,
            {},
            {"dynamodb": {}},
            dynamodb(NewImage=None, OldImage={}),
            dynamodb(NewImage={"x": {"X": "1"}}),
            dynamodb(NewImage={"x": {"N": "1" * 39}}),
            dynamodb(NewImage={"x": {"N": "1" + "0" * 50}}),
            dynamodb(StreamViewType="ODD"),
            {**DYNAMODB, "eventName": "ODD"},
            {**DYNAMODB, "eventName": "REMOVE", "userIdentity": None},
            sample(EventSource.DYNAMODB),
        ],
    ),
    "kafka": (
        KafkaRecord,
        their_kafka.KafkaEventRecord,
        KAFKA_NAMES,
        [
            KAFKA,
            {**KAFKA, "value": None, "key": None},
            {**KAFKA, "keySchemaMetadata": None, "headers": []},
            {**KAFKA, "value": b64(b"no JSON")},
            sample(EventSource.KAFKA),
        ],
    ),
}
CASES = [
    pytest.param(ours(raw), theirs(raw), name, id=f"{source}-{number}-{name}")
    for source, (ours, theirs, names, raws) in GROUPS.items()
    for number, raw in enumerate(raws)
    for name in names
]


def found(record: Any, path: str) -> Any:
    """What an attribute gives in a form that both sides share, or the class of what it raises."""
    try:
        for name in path.split("."):
            record = getattr(record, name.removesuffix("()"))
            record = record() if name.endswith("()") else record
    except Exception as error:
        return ValueError if isinstance(error, ValueError) else type(error)  # subclasses are details
    return plain(record)


def plain(value: Any) -> Any:
    if isinstance(value, View | DictWrapper):
        return dict(value.raw_event)
    if isinstance(value, Enum):
        return type(value).__name__, value.name, value.value
    return dict(value) if isinstance(value, Mapping) else value


@pytest.mark.parametrize(("ours", "theirs", "name"), CASES)
def test_an_attribute_gives_what_the_peer_gives(ours: Any, theirs: Any, name: str) -> None:
    if isinstance(ours, KinesisRecord) and ours.get("kinesis", {}).get("data") == "no base64!":
        return  # strict base64, below
    if isinstance(ours, KafkaRecord) and ours.is_tombstone and name == "json_value":
        return  # below
    assert found(ours, name) == found(theirs, name)


def test_where_the_peer_decodes_broken_base64_we_refuse() -> None:
    raw = kinesis("e3$$0=")
    assert their_kinesis.KinesisStreamRecord(raw).kinesis.data_as_json() == {}
    with pytest.raises(ValueError):
        KinesisRecord[Any](raw).kinesis.data_as_json()


def test_where_the_peer_fails_on_a_tombstone_we_say_none() -> None:
    raw = {**KAFKA, "value": None}
    assert KafkaRecord[Any](raw).json_value is None
    with pytest.raises(TypeError):
        _ = their_kafka.KafkaEventRecord(raw).json_value


@pytest.mark.parametrize("name", ["text", "bytes", "both", "missing"])
def test_message_attributes_give_what_the_peer_gives(name: str) -> None:
    ours, theirs = SqsRecord[Any](SQS).message_attributes, their_sqs.SQSRecord(SQS).message_attributes
    assert plain(ours[name]) == plain(theirs[name])
    assert ours.get(name) == theirs.get(name)
    for attribute in ("string_value", "binary_value", "data_type"):
        assert found(ours[name], attribute) == found(theirs[name], attribute)


def test_iterating_message_attributes_gives_what_the_peer_gives() -> None:
    ours, theirs = SqsRecord[Any](SQS).message_attributes, their_sqs.SQSRecord(SQS).message_attributes
    assert isinstance(ours, dict)
    assert list(ours) == list(theirs)
    assert list(ours.values()) == list(theirs.values())
    assert [(name, plain(value)) for name, value in ours.items()] == [
        (name, plain(value)) for name, value in theirs.items()
    ]
    assert [value.data_type for _, value in ours.items()] == ["String", "Binary", "Odd"]


def test_dictionary_access_gives_what_the_peer_gives() -> None:
    ours, theirs = SqsRecord[Any](SQS), next(SQSEvent({"Records": [SQS]}).records)
    assert dict(ours) == dict(theirs)
    assert list(ours.items()) == list(theirs.items())
    assert ours.raw_event is theirs.raw_event
    for name in ("messageId", "nothing"):
        assert (name in ours, ours.get(name)) == (name in theirs, theirs.get(name))
    assert bool(SqsRecord[Any]({})) is bool(their_sqs.SQSRecord({}))
    assert (ours == SQS) is (theirs == SQS) is False
    with pytest.raises(TypeError):
        json.dumps(ours)


def test_the_keys_of_a_stream_record_are_no_method() -> None:
    ours = StreamRecord(DYNAMODB["dynamodb"])
    theirs = their_dynamodb.StreamRecord(DYNAMODB["dynamodb"])
    assert list(ours) == list(theirs)
    assert list(ours.items()) == list(theirs.items())
    assert ours.keys == theirs.keys == {"id": "x"}


def test_every_public_property_of_the_peer_has_its_name_here() -> None:
    missing = {
        f"{theirs.__name__}.{name}"
        for ours, theirs, _, _ in GROUPS.values()
        for base in theirs.__mro__[: theirs.__mro__.index(DictWrapper)]
        for name in vars(base)
        if not name.startswith("_") and not hasattr(ours, name)
    }
    assert missing == {"SQSRecord.NestedEvent"}  # a type variable


SNS_IN_SQS = {
    "Type": "Notification",
    "MessageId": "dc1e94d9",
    "TopicArn": "arn:aws:sns:us-east-1:123456789012:topic",
    "Message": "hello",
    "MessageAttributes": {"kind": {"Type": "String", "Value": "x"}},
    "Timestamp": "2020-10-04T22:13:26.131Z",
    "SignatureVersion": "1",
    "Signature": "c2lnbmF0dXJl",
}
S3_RECORD = {
    "eventVersion": "2.1",
    "eventSource": "aws:s3",
    "awsRegion": "us-west-2",
    "eventTime": "1970-01-01T00:00:00.000Z",
    "eventName": "ObjectCreated:Put",
    "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
    "requestParameters": {"sourceIPAddress": "127.0.0.1"},
    "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
    "s3": {
        "s3SchemaVersion": "1.0",
        "configurationId": "testConfigRule",
        "bucket": {
            "name": "b",
            "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
            "arn": "arn:aws:s3:::b",
        },
        "object": {
            "key": "a+folder/caf%C3%A9.txt",
            "size": 1024,
            "eTag": "d41d8cd98f00b204e9800998ecf8427e",
            "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
            "sequencer": "0055AED6DCD90281E5",
        },
    },
    "glacierEventData": {
        "restoreEventData": {
            "lifecycleRestorationExpiryTime": "1970-01-01T00:01:00.000Z",
            "lifecycleRestoreStorageClass": "GLACIER",
        }
    },
    "intelligentTieringEventData": {"destinationAccessTier": "DEEP_ARCHIVE_ACCESS"},
}
S3_IN_SQS = {"Records": [S3_RECORD]}
S3_BARE = {"Records": [{"s3": {"bucket": {"name": "b"}, "get_object": {"key": "a+b"}}}]}


def properties(value: Any, path: str = "") -> list[str]:
    """The paths of all that can be read from a wrapper of the peer's, to the end."""
    paths = []
    for name in dir(type(value)):
        if isinstance(getattr(type(value), name), property) and name not in {"raw_event", "records"}:
            paths.append(f"{path}{name}")
            part = found_raw(value, name)
            if isinstance(part, DictWrapper):
                paths += properties(part, f"{path}{name}.")
    return paths


def found_raw(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except KeyError:
        return None


def in_a_message(body: dict[str, Any], name: str) -> tuple[Any, Any]:
    raw = {**SQS, "body": json.dumps(body)}
    return getattr(SqsRecord[Any](raw), name), getattr(their_sqs.SQSRecord(raw), name)


@pytest.mark.parametrize("subject", [{"Subject": None}, {"Subject": "x"}], ids=["null", "text"])
def test_a_notification_in_a_message_gives_what_the_peer_gives(subject: dict[str, Any]) -> None:
    ours, theirs = in_a_message({**SNS_IN_SQS, **subject}, "decoded_nested_sns_event")
    names = properties(theirs)
    assert len(names) == 11
    for name in set(names) - {"message_attributes"}:
        assert found(ours, name) == found(theirs, name), name
    assert ours.message_attributes["kind"].value == theirs.message_attributes["kind"].value == "x"
    assert ours.message_attributes["kind"].get_type == theirs.message_attributes["kind"].get_type == "String"


@pytest.mark.parametrize("kind", ["URL", "Url"])
def test_the_urls_of_a_notification_are_found_however_they_are_spelled(kind: str) -> None:
    # To queues SNS writes URL, to Lambda functions Url; the peer finds only the latter.
    urls = {f"SigningCert{kind}": "https://cert", f"Unsubscribe{kind}": "https://unsubscribe"}
    ours, _ = in_a_message({**SNS_IN_SQS, **urls}, "decoded_nested_sns_event")
    assert (ours.signing_cert_url, ours.unsubscribe_url) == ("https://cert", "https://unsubscribe")


@pytest.mark.parametrize(("body", "count"), [(S3_IN_SQS, 33), (S3_BARE, 26)], ids=["all", "bare"])
def test_a_bucket_event_in_a_message_gives_what_the_peer_gives(body: dict[str, Any], count: int) -> None:
    ours, theirs = in_a_message(body, "decoded_nested_s3_event")
    names = properties(theirs)
    assert len(names) == count
    for name in names:
        assert found(ours, name) == found(theirs, name), name
    assert [each.s3.bucket.name for each in ours.records] == ["b"]
