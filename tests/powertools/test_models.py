"""Models: ours, the peer's, and any with the identifier's fields; what a model refuses fails alone."""

import json

import pytest
from aws_lambda_powertools.utilities.parser import models as their_models
from libraries import EVENT_TYPES, OURS, event_of, name_of, names, process, processor_of, records_of, reply
from pydantic import BaseModel, ConfigDict, Json, ValidationError

from asyncbatch import models as our_models
from asyncbatch.powertools import SqsFifoPartialProcessor


class Order(BaseModel):
    order: str


def family(models):
    """Record models of orders, subclassed as the documentation shows, from one library or the other."""

    class Message(models.SqsRecordModel):
        body: Json[Order]

    class Payload(models.KinesisDataStreamRecordPayload):
        data: Json[Order]

    class Kinesis(models.KinesisDataStreamRecord):
        kinesis: Payload

    class Image(BaseModel):
        id: str
        body: Json[Order]

    class Change(models.DynamoDBStreamChangedRecordModel):
        NewImage: Image | None = None
        OldImage: Image | None = None

    class DynamoDB(models.DynamoDBStreamRecordModel):
        dynamodb: Change

    class Kafka(models.KafkaRecordModel):
        value: Json[Order]

    return {
        "SQS": Message,
        "KinesisDataStreams": Kinesis,
        "DynamoDBStreams": DynamoDB,
        "Kafka": Kafka,
    }


class Minimal:
    """Models with no more than the identifier's fields, of nobody's family."""

    class Message(BaseModel):
        model_config = ConfigDict(extra="ignore")
        messageId: str  # noqa: N815 - AWS's name
        body: Json[Order]

    class Part(BaseModel):
        sequenceNumber: str  # noqa: N815 - AWS's name

    class Kinesis(BaseModel):
        kinesis: "Minimal.Part"

    class Duck:
        """No pydantic at all: `model_validate` is all that is asked of a model."""

        def __init__(self, raw):
            self.messageId = raw["messageId"]
            self.body = Order(**json.loads(raw["body"]))

        @classmethod
        def model_validate(cls, raw):
            return cls(raw)


FAMILIES = {"ours": family(our_models), "theirs": family(their_models)}


def order_of(model, event_type):
    match event_type:
        case "SQS":
            return model.body
        case "KinesisDataStreams":
            return model.kinesis.data
        case "DynamoDBStreams":
            return model.dynamodb.NewImage.body
        case _:
            return model.value


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


def make_handler(seen, event_type, *, is_async):
    def handler(record):
        order = order_of(record, event_type).order
        seen.append(order)
        if order.startswith("bad"):
            raise ValueError(order)
        return order

    async def async_handler(record):
        return handler(record)

    return async_handler if is_async else handler


@pytest.mark.parametrize("models", FAMILIES)
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_each_library_takes_each_others_models(lib, models, event_type, is_async):
    bodies = ['{"order": "a"}', "{no json", '{"order": "bad b"}', '{"order": 5}', '{"order": "c"}']
    event = event_of(event_type, bodies)
    records = records_of(event)
    model = FAMILIES[models][event_type]
    seen = []
    processor = processor_of(lib, event_type, model, is_async=is_async)
    with processor(records, make_handler(seen, event_type, is_async=is_async)):
        entries = processor.async_process() if is_async else processor.process()
    assert seen == ["a", "bad b", "c"]
    assert [entry[0] for entry in entries] == ["success", "fail", "fail", "fail", "success"]
    assert entries[0] == ("success", "a", records[0])
    assert processor.response() == reply(*names(records[1:4]))
    pill, failure, other_pill = processor.fail_messages
    assert isinstance(failure, model)
    for record, raw in ((pill, records[1]), (other_pill, records[3])):
        assert not hasattr(record, "model_validate")
        assert record.raw_event is raw
    assert processor.exceptions[0][0] is ValidationError
    assert processor.success_messages == [records[0], records[4]]


@pytest.mark.parametrize("model", [Minimal.Message, Minimal.Duck])
def test_any_model_with_the_identifiers_fields_will_do(lib, model, is_async):
    event = event_of("SQS", ['{"order": "a"}', '{"order": "bad b"}'])
    processor = processor_of(lib, "SQS", model, is_async=is_async)
    answer = process(lib, event, make_handler([], "SQS", is_async=is_async), processor, is_async=is_async)
    assert answer == reply(name_of(event["Records"][1]))
    assert isinstance(processor.fail_messages[0], model)


def test_so_will_one_of_a_part(lib):
    event = event_of("KinesisDataStreams", ["a", "b"])
    processor = processor_of(lib, "KinesisDataStreams", Minimal.Kinesis)
    number = name_of(event["Records"][1])

    def handler(record):
        if record.kinesis.sequenceNumber == number:
            raise ValueError("bad")

    assert process(lib, event, handler, processor) == reply(number)


@pytest.mark.parametrize("models", FAMILIES)
def test_an_error_of_another_model_inside_the_handler_is_the_handlers(lib, models):
    class Other(BaseModel):
        other: int

    def handler(record):
        Other(other="no number")

    processor = processor_of(lib, "SQS", FAMILIES[models]["SQS"], raise_on_entire_batch_failure=False)
    event = event_of("SQS", ['{"order": "a"}'])
    assert process(lib, event, handler, processor) == reply(*names(event["Records"]))
    assert isinstance(processor.fail_messages[0], FAMILIES[models]["SQS"])


@pytest.mark.parametrize("models", FAMILIES)
def test_an_error_of_the_same_model_inside_the_handler_is_a_refusal(lib, models):
    model = FAMILIES[models]["SQS"]

    def handler(record):
        model.model_validate({})

    processor = processor_of(lib, "SQS", model, raise_on_entire_batch_failure=False)
    event = event_of("SQS", ['{"order": "a"}'])
    assert process(lib, event, handler, processor) == reply(*names(event["Records"]))
    assert processor.fail_messages[0].raw_event is event["Records"][0]


def test_a_batch_of_pills_is_a_failed_batch(lib, is_async):
    event = event_of("SQS", ["{", "["])
    processor = processor_of(lib, "SQS", FAMILIES["theirs"]["SQS"], is_async=is_async)
    with pytest.raises(lib.exceptions.BatchProcessingError, match="2 individual errors"):
        process(lib, event, make_handler([], "SQS", is_async=is_async), processor, is_async=is_async)


@pytest.mark.parametrize("skip_group_on_error", [False, True])
def test_fifo_queues_with_a_model(lib, skip_group_on_error):
    bodies = ['{"order": "a"}', "{no json", '{"order": "c"}', '{"order": "d"}']
    event = event_of("SQS", bodies, groups=["1", "2", "2", "3"])
    model = FAMILIES["theirs"]["SQS"]
    processor = lib.batch.SqsFifoPartialProcessor(model, skip_group_on_error)
    answer = process(lib, event, make_handler([], "SQS", is_async=False), processor)
    failed = event["Records"][1:3] if skip_group_on_error else event["Records"][1:]
    assert answer == reply(*names(failed))
    assert isinstance(processor.fail_messages[1], model)


def test_a_model_and_an_async_fifo_queue():
    bodies = ['{"order": "a"}', "{no json", '{"order": "c"}', '{"order": "d"}']
    event = event_of("SQS", bodies, groups=["1", "2", "2", "3"])
    processor = SqsFifoPartialProcessor(FAMILIES["ours"]["SQS"], skip_group_on_error=True)
    answer = process(OURS, event, make_handler([], "SQS", is_async=True), processor, is_async=True)
    assert answer == reply(*names(event["Records"][1:3]))


def test_whole_event_models_are_no_events(lib):
    event = our_models.SqsModel.model_validate(event_of("SQS", ["a"]))
    with pytest.raises(ValueError, match="Invalid event format"):
        process(lib, event, lambda record: None, lib.batch.BatchProcessor(lib.batch.EventType.SQS))


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_model_is_optional_between_runs(event_type):
    model = FAMILIES["ours"][event_type]
    processor = processor_of(OURS, event_type)
    event = event_of(event_type, ['{"order": "a"}'])
    seen = []
    for processor.model in (None, model, None, model):
        process(OURS, event, lambda record: seen.append(type(record) is model), processor)
    assert seen == [False, True, False, True]
