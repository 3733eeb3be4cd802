"""Record views: lazy, read-only windows with one vocabulary for every event source."""

import copy
import pickle
from decimal import Decimal
from typing import Any

import pytest

from asyncbatch import DynamoDBRecord, KafkaRecord, KinesisRecord, Record, SqsRecord
from asyncbatch._records import Payload, StreamRecord
from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

PAYLOAD = {"total": 17, "name": "Zoë"}


def sqs(payload: object = PAYLOAD) -> SqsRecord[Any]:
    return SqsRecord(sqs_event([payload])["Records"][0])


def kinesis(payload: object = PAYLOAD) -> KinesisRecord[Any]:
    return KinesisRecord(kinesis_event([payload], keys=["k1"])["Records"][0])


def dynamodb(item: dict[str, object] | None = None, **options: Any) -> DynamoDBRecord[Any]:
    image = {"id": "o-17", **PAYLOAD} if item is None else item
    return DynamoDBRecord(dynamodb_event([image], **options)["Records"][0])


def kafka(payload: object = PAYLOAD, key: str | None = "k1") -> KafkaRecord[Any]:
    event = kafka_event([payload], partitions=[3], topic="my-topic", keys=[key])
    return KafkaRecord(event["records"]["my-topic-3"][0])


ALL = [sqs, kinesis, dynamodb, kafka]


# --- what all have in common --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [sqs, kinesis, kafka])
def test_a_json_payload_reads_alike_in_every_source(make: Any) -> None:
    record = make()
    assert record.data == b'{"total": 17, "name": "Zo\\u00eb"}'
    assert record.text == record.data.decode()
    assert record.json() == record.payload == PAYLOAD


@pytest.mark.parametrize("make", [sqs, kinesis, kafka])
def test_text_outside_of_ascii_survives(make: Any) -> None:
    record = make("Zoë\N{SNOWMAN}")
    assert record.data == "Zoë\N{SNOWMAN}".encode()
    assert record.text == "Zoë\N{SNOWMAN}"


def test_a_changed_item_is_the_payload_of_a_stream_record() -> None:
    record = dynamodb({"id": "o-17", "price": Decimal("1.5"), "photo": b"\x01"})
    assert record.json() == {"id": "o-17", "price": Decimal("1.5"), "photo": b"\x01"}
    assert record.payload is record.json() is record.new_image
    assert record.data == b'{"id":{"S":"o-17"},"price":{"N":"1.5"},"photo":{"B":"AQ=="}}'
    assert record.text == record.data.decode()


@pytest.mark.parametrize("make", ALL)
def test_json_is_decoded_once_per_view(make: Any) -> None:
    record = make()
    assert record.json() is record.json()


@pytest.mark.parametrize("make", ALL)
def test_reading_never_changes_the_raw_record(make: Any) -> None:
    record = make()
    before = copy.deepcopy(record.raw)
    _ = record.id, record.key, record.data, record.text, record.json(), record.payload
    assert record.raw == before


@pytest.mark.parametrize("make", [sqs, kinesis, kafka])
def test_a_json_error_is_the_same_each_time_and_has_no_puzzling_context(make: Any) -> None:
    record = make("MARKER")
    for _ in range(2):
        with pytest.raises(ValueError, match="the payload is not JSON") as caught:
            record.json()
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (SqsRecord({"messageId": "m-1", "body": "MARKER"}), "<SqsRecord id='m-1'>"),
        (
            KinesisRecord({"kinesis": {"sequenceNumber": "7", "data": "MARKER"}}),
            "<KinesisRecord id='7'>",
        ),
        (
            KafkaRecord({"topic": "t", "partition": 1, "offset": 2, "value": "MARKER"}),
            "<KafkaRecord id={'partition': 't-1', 'offset': 2}>",
        ),
        (SqsRecord({"body": "MARKER"}), "<SqsRecord without an identifier>"),
        (KinesisRecord({"kinesis": None}), "<KinesisRecord without an identifier>"),
        (StreamRecord({"Keys": "MARKER"}), "<StreamRecord>"),
    ],
)
def test_a_repr_shows_the_identifier_and_no_content(record: object, shown: str) -> None:
    assert repr(record) == shown


@pytest.mark.parametrize("name", ["id", "key", "data"])
def test_the_base_class_leaves_the_identifier_key_and_data_to_the_sources(name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(Record[Any]({}), name)


# --- a dict to look at --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ALL)
def test_a_view_reads_like_the_raw_dict(make: Any) -> None:
    record = make()
    raw = dict(record.raw)
    assert dict(record) == {**record} == raw
    assert list(record) == list(raw)
    assert len(record) == len(raw)
    assert (list(record.keys()), list(record.items())) == (list(raw), list(raw.items()))
    assert list(record.values()) == list(raw.values())
    assert record.raw is record.raw_event
    assert record.get("nothing", 5) == 5
    assert "nothing" not in record
    with pytest.raises(KeyError):
        record["nothing"]


def test_views_are_equal_by_content_and_never_equal_to_a_dict() -> None:
    raw = {"messageId": "1"}
    assert SqsRecord(raw) == SqsRecord(dict(raw)) == KinesisRecord(raw)
    assert SqsRecord(raw) != SqsRecord({"messageId": "2"})
    assert SqsRecord(raw) != raw
    assert not SqsRecord({})
    with pytest.raises(TypeError, match="unhashable"):
        hash(SqsRecord(raw))


def test_a_view_cannot_be_written_through() -> None:
    record: Any = sqs()
    with pytest.raises(TypeError):
        record["body"] = "x"
    with pytest.raises(AttributeError):
        record.body = "x"


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
def test_a_view_can_be_pickled_and_copied(make: Any, *, read: bool) -> None:
    record = make()
    if read:
        record.json()
    for again in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):
        assert (type(again), again, again.json()) == (type(record), record, record.json())


# --- identifiers and keys -----------------------------------------------------------------------------


def test_identifiers_are_what_a_reply_names() -> None:
    assert sqs().id == sqs().message_id == sqs()["messageId"]
    assert kinesis().id == kinesis()["kinesis"]["sequenceNumber"]
    assert dynamodb().id == dynamodb()["dynamodb"]["SequenceNumber"]
    assert kafka().id == {"partition": "my-topic-3", "offset": 15}


def test_keys_are_what_orders_a_record() -> None:
    assert sqs().key is None
    fifo = sqs_fifo_event(["x"], groups=["g1"])["Records"][0]
    assert SqsRecord(fifo).key == "g1"
    assert kinesis().key == "k1"
    assert kafka().key == "azE="
    assert kafka(key=None).key is None
    assert dynamodb().key == (("id", "S", "o-17"),)


def test_an_item_key_has_one_form_whatever_the_order_of_its_names() -> None:
    def key(keys: dict[str, Any]) -> object:
        return DynamoDBRecord({"dynamodb": {"Keys": keys}}).key

    one, two = {"a": {"S": "1"}, "b": {"N": "2"}}, {"b": {"N": "2"}, "a": {"S": "1"}}
    assert key(one) == key(two) == (("a", "S", "1"), ("b", "N", "2"))
    assert hash(key(one)) == hash(key(two))
    assert key({"a": {"S": "1"}}) != key({"a": {"N": "1"}})


# --- DynamoDB's images, Kafka's tombstones ------------------------------------------------------------


def test_a_removed_item_has_an_old_image_only() -> None:
    event = dynamodb_event([None], old_items=[{"id": "o-17", "n": 1}])
    record: DynamoDBRecord[Any] = DynamoDBRecord(event["Records"][0])
    assert record.new_image == record.json() == {}
    assert record.data == b"{}"
    assert record.old_image == {"id": "o-17", "n": Decimal(1)}
    assert record.item_keys == {"id": "o-17"}


def test_a_stream_record_decodes_each_image_once() -> None:
    record = dynamodb().dynamodb
    assert record is not None
    assert record.new_image is record.new_image
    assert record.keys == {"id": "o-17"}
    assert record.old_image == {}


def test_a_tombstone_is_no_error() -> None:
    record = kafka(None)
    assert record.is_tombstone
    assert (record.data, record.text, record.json(), record.value) == (b"", "", None, None)
    with pytest.raises(TypeError, match="tombstone"):
        _ = record.decoded_value


def test_an_empty_value_is_no_tombstone() -> None:
    record = kafka("")
    assert not record.is_tombstone
    assert record.decoded_value == b""
    with pytest.raises(ValueError, match="not JSON"):
        record.json()


def test_header_names_are_looked_up_in_any_case_and_bytes_may_be_signed() -> None:
    raw = {"headers": [{"X-Trace": [104, 105]}, {"signed": [-1, 128]}]}
    headers = KafkaRecord[Any](raw).decoded_headers
    assert headers["X-TRACE"] == headers["x-trace"] == b"hi"
    assert headers.get("SIGNED") == b"\xff\x80"
    assert "x-TRACE" in headers
    assert "other" not in headers
    assert 5 not in headers
    assert headers.get("other", b"none") == b"none"


# --- the model ----------------------------------------------------------------------------------------


class Reader(Payload):
    """Notes what it was given; gives it back as it is."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        super().__init__(self._json, self._python, frozenset)

    def _json(self, text: str | bytes) -> object:
        self.calls.append(("json", text))
        return self.calls[-1]

    def _python(self, value: object) -> object:
        self.calls.append(("python", value))
        return self.calls[-1]


@pytest.mark.parametrize(
    ("record", "how", "what"),
    [
        (sqs(), "json", sqs().body),
        (kinesis(), "json", kinesis().data),
        (kafka(), "json", kafka().data),
        (kafka(None), "python", None),
        (dynamodb(), "python", {"id": "o-17", **PAYLOAD}),
    ],
    ids=["sqs", "kinesis", "kafka", "tombstone", "dynamodb"],
)
def test_a_model_gets_text_where_there_is_text_and_is_asked_once(
    record: Record[Any], how: str, what: object
) -> None:
    reader = Reader()
    view = type(record)(record.raw, reader)
    assert view.payload == (how, what)
    assert view.payload is view.payload
    assert len(reader.calls) == 1
