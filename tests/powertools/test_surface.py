"""The surface: every name, signature and text of the peer is there, the same."""

import inspect
import logging
import pickle
import subprocess
import sys
import traceback
from unittest.mock import MagicMock

import pytest
from aws_lambda_powertools.warnings import PowertoolsDeprecationWarning
from libraries import OURS, THEIRS, deprecated, event_of, process, processor_of, without_their_classes

import asyncbatch.powertools
from asyncbatch import InvalidHandlerError
from asyncbatch.powertools import exceptions as our_exceptions

NAMES = {
    "": [
        "async_batch_processor",
        "async_process_partial_response",
        "batch_processor",
        "process_partial_response",
        "BatchProcessor",
        "AsyncBatchProcessor",
        "BasePartialProcessor",
        "BasePartialBatchProcessor",
        "BatchTypeModels",
        "ExceptionInfo",
        "EventType",
        "FailureResponse",
        "SuccessResponse",
        "SqsFifoPartialProcessor",
    ],
    ".exceptions": [
        "BaseBatchProcessingError",
        "BatchProcessingError",
        "UnexpectedBatchTypeError",
        "SQSFifoCircuitBreakerError",
        "SQSFifoMessageGroupCircuitBreakerError",
        "ExceptionInfo",
    ],
    ".types": [
        "BatchTypeModels",
        "BatchSqsTypeModel",
        "KafkaItemIdentifier",
        "PartialItemFailures",
        "PartialItemFailureResponse",
        "has_pydantic",
    ],
    ".base": [
        "BasePartialProcessor",
        "BasePartialBatchProcessor",
        "BatchProcessor",
        "AsyncBatchProcessor",
        "EventType",
        "EventSourceDataClassTypes",
        "BatchEventTypes",
        "SuccessResponse",
        "FailureResponse",
        "logger",
    ],
    ".decorators": [
        "batch_processor",
        "async_batch_processor",
        "process_partial_response",
        "async_process_partial_response",
        "_get_records_from_event",
    ],
    ".sqs_fifo_partial_processor": ["SqsFifoPartialProcessor"],
}


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in NAMES for name in NAMES[module]])
def test_every_name_is_where_users_import_it_from(lib, module, name):
    namespace = {}
    exec(f"from {lib.root}{module} import {name}", namespace)
    assert name in namespace


def test_a_star_import_gives_the_public_names(lib):
    namespace = {}
    exec(f"from {lib.root} import *", namespace)
    assert set(NAMES[""]) <= set(namespace)


def test_the_historic_names_are_there_too():
    from asyncbatch.powertools import PartialSQSProcessor, sqs_batch_processor
    from asyncbatch.powertools.exceptions import SQSBatchProcessingError

    assert callable(PartialSQSProcessor)
    assert callable(sqs_batch_processor)
    assert issubclass(SQSBatchProcessingError, our_exceptions.BaseBatchProcessingError)


def test_another_name_is_no_name():
    with pytest.raises(AttributeError, match="no attribute 'PartialKinesisProcessor'"):
        _ = asyncbatch.powertools.PartialKinesisProcessor


# --- signatures ---------------------------------------------------------------------------------------

CALLABLES = [
    "process_partial_response",
    "async_process_partial_response",
    "BatchProcessor",
    "AsyncBatchProcessor",
    "BasePartialProcessor",
    "BasePartialBatchProcessor",
    "SqsFifoPartialProcessor",
]
METHODS = [
    "__call__",
    "__enter__",
    "__exit__",
    "process",
    "async_process",
    "success_handler",
    "failure_handler",
    "response",
    "_prepare",
    "_clean",
    "_process_record",
    "_async_process_record",
    "_has_messages_to_report",
    "_entire_batch_failed",
    "_get_messages_to_report",
    "_collect_sqs_failures",
    "_collect_kinesis_failures",
    "_collect_dynamodb_failures",
    "_collect_kafka_failures",
    "_to_batch_type",
    "_register_model_validation_error_record",
]


def parameters(function):
    return [
        (each.name, each.kind, each.default)
        for each in inspect.signature(function).parameters.values()
        if each.kind is not each.KEYWORD_ONLY
    ]


@pytest.mark.parametrize("name", CALLABLES)
def test_signatures_begin_as_the_peers(name):
    ours, theirs = (parameters(getattr(lib.batch, name)) for lib in (OURS, THEIRS))
    assert ours[: len(theirs)] == theirs
    more = ours[len(theirs) :]
    assert all(default is not inspect.Parameter.empty for _, _, default in more)
    assert [each for each, _, _ in more] == (
        ["raise_on_entire_batch_failure"] if name == "SqsFifoPartialProcessor" else []
    )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["BatchProcessor", "AsyncBatchProcessor", "SqsFifoPartialProcessor"])
def test_methods_have_the_peers_parameters(kind, name):
    ours, theirs = (parameters(getattr(getattr(lib.batch, kind), name)) for lib in (OURS, THEIRS))
    assert [each for each, _, _ in ours] == [each for each, _, _ in theirs]
    assert [default for _, _, default in ours] == [default for _, _, default in theirs]


@pytest.mark.parametrize("name", ["process_partial_response", "async_process_partial_response"])
def test_entries_are_plain_functions(lib, name):
    assert inspect.isfunction(getattr(lib.batch, name))
    assert not inspect.iscoroutinefunction(getattr(lib.batch, name))


# --- classes and attributes ---------------------------------------------------------------------------


def test_the_class_tree(lib):
    batch = lib.batch
    assert issubclass(batch.BasePartialBatchProcessor, batch.BasePartialProcessor)
    assert issubclass(batch.BatchProcessor, batch.BasePartialBatchProcessor)
    assert issubclass(batch.SqsFifoPartialProcessor, batch.BatchProcessor)
    assert issubclass(batch.AsyncBatchProcessor, batch.BasePartialBatchProcessor)
    assert not issubclass(batch.AsyncBatchProcessor, batch.BatchProcessor)


@pytest.mark.parametrize("name", ["BasePartialProcessor", "BasePartialBatchProcessor"])
def test_the_base_classes_are_abstract(lib, name):
    with pytest.raises(TypeError, match="abstract"):
        getattr(lib.batch, name)(lib.batch.EventType.SQS)


def test_an_event_type_is_needed(lib):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'event_type'"):
        lib.batch.BatchProcessor()


def test_event_types(lib):
    assert {each.name: each.value for each in lib.batch.EventType} == {
        "SQS": "SQS",
        "KinesisDataStreams": "KinesisDataStreams",
        "DynamoDBStreams": "DynamoDBStreams",
        "Kafka": "Kafka",
    }
    assert lib.batch.EventType("SQS") is lib.batch.EventType.SQS
    assert pickle.loads(pickle.dumps(lib.batch.EventType.Kafka)) is lib.batch.EventType.Kafka


def test_a_new_processor(lib):
    logger = logging.getLogger("mine")
    processor = lib.batch.BatchProcessor(lib.batch.EventType.SQS, None, False, logger)
    assert processor.event_type is lib.batch.EventType.SQS
    assert processor.model is None
    assert processor.raise_on_entire_batch_failure is False
    assert processor.logger is logger
    assert processor.success_messages == processor.fail_messages == processor.exceptions == []
    assert processor.batch_response == processor.response() == {"batchItemFailures": []}
    assert processor.DEFAULT_RESPONSE == {"batchItemFailures": []}
    assert set(processor._COLLECTOR_MAPPING) == set(processor._DATA_CLASS_MAPPING) == set(lib.batch.EventType)
    assert not hasattr(processor, "records")
    assert not hasattr(processor, "handler")


def test_a_new_fifo_processor(lib):
    processor = lib.batch.SqsFifoPartialProcessor(None, True)
    assert processor._skip_group_on_error is True
    assert processor._current_group_id is None
    assert processor._failed_group_ids == set()
    assert processor.event_type is lib.batch.EventType.SQS
    errors = lib.exceptions
    kind, error, trace = processor.circuit_breaker_exc
    assert (kind, str(error), trace) == (
        errors.SQSFifoCircuitBreakerError,
        "A previous record failed processing",
        None,
    )
    kind, error, trace = processor.group_circuit_breaker_exc
    assert kind is errors.SQSFifoMessageGroupCircuitBreakerError
    assert str(error) == "A previous record from this message group failed processing"
    assert trace is None


def test_the_lists_are_the_same_for_life(lib):
    processor = lib.batch.BatchProcessor(lib.batch.EventType.SQS)
    lists = [processor.success_messages, processor.fail_messages, processor.exceptions]
    for _ in range(2):
        with processor(event_of("SQS", ["a"])["Records"], lambda record: None):
            processor.process()
        now = [processor.success_messages, processor.fail_messages, processor.exceptions]
        assert all(a is b for a, b in zip(lists, now, strict=True))


# --- types --------------------------------------------------------------------------------------------


def test_typed_dicts(lib):
    assert lib.types.KafkaItemIdentifier.__annotations__.keys() == {"partition", "offset"}
    assert lib.types.PartialItemFailures.__annotations__.keys() == {"itemIdentifier"}
    assert lib.types.PartialItemFailureResponse.__annotations__.keys() == {"batchItemFailures"}


def test_model_types_without_pydantic(lib):
    code = f"""
import sys
from {lib.root} import BatchProcessor, BatchTypeModels, EventType, process_partial_response
from {lib.root}.types import BatchSqsTypeModel, has_pydantic
assert "pydantic" not in sys.modules
assert has_pydantic is False
assert BatchTypeModels == "BatchTypeModels" and BatchSqsTypeModel == "BatchSqsTypeModel"
event = {{"Records": [{{"messageId": "m", "body": ""}}]}}
print(process_partial_response(event, lambda record: None, BatchProcessor(EventType.SQS)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "{'batchItemFailures': []}\n", done.stderr


def test_model_types_with_pydantic():
    code = """
import pydantic
from asyncbatch import models
from asyncbatch.powertools.types import BatchSqsTypeModel, BatchTypeModels, has_pydantic
assert has_pydantic is True
assert type[models.SqsRecordModel] in BatchTypeModels.__args__
assert type[models.KafkaRecordModel] in BatchTypeModels.__args__
assert BatchSqsTypeModel == type[models.SqsRecordModel] | None
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


# --- exceptions ---------------------------------------------------------------------------------------


def caught(error):
    try:
        raise error
    except type(error) as raised:
        return type(raised), raised, raised.__traceback__


def test_the_exceptions_tree(lib):
    errors = lib.exceptions
    assert issubclass(errors.BatchProcessingError, errors.BaseBatchProcessingError)
    assert issubclass(errors.UnexpectedBatchTypeError, errors.BatchProcessingError)
    for name in ("SQSFifoCircuitBreakerError", "SQSFifoMessageGroupCircuitBreakerError"):
        assert getattr(errors, name).__mro__[1] is Exception


@pytest.mark.parametrize(
    "name", ["BaseBatchProcessingError", "BatchProcessingError", "UnexpectedBatchTypeError"]
)
def test_what_exceptions_carry(lib, name):
    kind = getattr(lib.exceptions, name)
    child = caught(ValueError("child"))
    error = kind("msg", [child])
    assert error.msg == "msg"
    assert error.args == ("msg",)
    assert error.child_exceptions == [child]
    assert kind("msg").child_exceptions == []
    assert kind().msg == ""
    assert kind(msg="m", child_exceptions=None).child_exceptions == []
    assert isinstance(pickle.loads(pickle.dumps(kind("msg"))), kind)


def test_texts_of_exceptions():
    child = caught(ValueError("child"))
    for name in ("BaseBatchProcessingError", "BatchProcessingError", "UnexpectedBatchTypeError"):
        for children in (None, [child], [child, child]):
            texts = [str(getattr(lib.exceptions, name)("msg", children)) for lib in (OURS, THEIRS)]
            assert texts[0] == texts[1]
            formatted = [
                getattr(lib.exceptions, name)("msg", children).format_exceptions("parent")
                for lib in (OURS, THEIRS)
            ]
            assert formatted[0] == formatted[1]
    assert str(our_exceptions.BatchProcessingError("msg")) == "msg\n"


def test_a_text_of_many_exceptions_is_bounded():
    """Lambda posts and logs the whole text: 10,000 tracebacks would make it megabytes."""
    child = caught(ValueError("x" * 100_000))
    text = str(our_exceptions.BatchProcessingError("msg", [child] * 10_000))
    assert text.startswith("msg\n\n")
    assert text.endswith("... and 9900 more\n")
    assert len(text) < 100 * 17_000


def test_an_unreportable_record_can_be_pickled():
    error = our_exceptions.UnreportableRecordError(3, ".messageId is missing")
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.position, copied.problem, str(copied)) == (3, error.problem, str(error))


# --- decorators ---------------------------------------------------------------------------------------

SENTENCES = {
    "batch_processor": "process_partial_response",
    "async_batch_processor": "async_process_partial_response",
}


@pytest.mark.parametrize("name", SENTENCES)
def test_decorators_say_that_they_are_deprecated(lib, name):
    decorator = getattr(lib.batch, name)
    assert decorator.__deprecated__ == (
        f"`{name}` decorator is deprecated; use `{SENTENCES[name]}` function instead."
    )
    kind = "AsyncBatchProcessor" if name.startswith("async") else "BatchProcessor"
    processor = getattr(lib.batch, kind)(lib.batch.EventType.SQS)

    @decorator(record_handler=lambda record: None, processor=processor)
    def lambda_handler(event, context):
        """What it does."""
        return processor.response()

    assert lambda_handler.__name__ == "lambda_handler"
    assert lambda_handler.__doc__ == "What it does."
    assert lambda_handler.__wrapped__ is not None
    for _ in range(2):
        with pytest.warns(DeprecationWarning, match="is deprecated in V3") as told:
            lambda_handler({"Records": []}, None)
        (warning,) = told
        assert (
            str(warning.message)
            == warning.message.message
            == (
                f"The `{name}` decorator is deprecated in V3 and will be removed in the next major version. "
                f"Use `{SENTENCES[name]}` function instead."
            )
        )
        assert type(warning.message) is PowertoolsDeprecationWarning


def test_decorators_warn_and_raise_with_our_classes_in_a_program_without_powertools():
    processor = processor_of(OURS, "SQS")
    decorated = OURS.batch.batch_processor(record_handler=print, processor=processor)(lambda *_: "reply")
    with without_their_classes():
        with pytest.warns(DeprecationWarning, match="is deprecated in V3") as told:
            assert decorated({"Records": []}, None) == "reply"
        with pytest.raises(our_exceptions.MiddlewareInvalidArgumentError):
            OURS.batch.batch_processor(5)
    (warning,) = told
    assert type(warning.message).__module__.startswith("asyncbatch.")
    assert warning.message.message == str(warning.message)


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.parametrize("value", [5, "text", print, traceback.TracebackException], ids=repr)
def test_decorators_take_keywords_only(lib, name, value):
    with pytest.raises(
        Exception, match=f"Only keyword arguments is supported for middlewares: {name} received"
    ) as told:
        getattr(lib.batch, name)(value)
    assert type(told.value).__name__ == "MiddlewareInvalidArgumentError"
    assert str(value) in str(told.value)


@pytest.mark.parametrize("name", SENTENCES)
def test_a_decorator_without_its_keywords_fails_at_the_call(lib, name):
    @getattr(lib.batch, name)
    def lambda_handler(event, context):
        """Never called."""

    with deprecated(), pytest.raises(TypeError, match="missing 2 required positional arguments"):
        lambda_handler({"Records": []}, None)


@pytest.mark.parametrize("name", ["BatchProcessor", "AsyncBatchProcessor", "SqsFifoPartialProcessor"])
def test_subclasses_are_free_to_name_their_own(name):
    """What processors have beyond the peer's ends with an underscore, which no name of a user's does."""
    kinds = [getattr(lib.batch, name) for lib in (OURS, THEIRS)]
    made = [
        kind() if name.startswith("Sqs") else kind(lib.batch.EventType.SQS)
        for kind, lib in zip(kinds, (OURS, THEIRS), strict=True)
    ]
    ours, theirs = ({*dir(each), *vars(each)} for each in made)
    own = {"__getstate__", "handler", "records", "lambda_context", "_handler_accepts_lambda_context"}
    assert {each for each in ours - theirs - own if not each.endswith("_")} == set()


def test_a_mock_can_stand_in_for_a_processor(lib):
    event = event_of("SQS", ["a"])
    batch = lib.batch
    for entry, method in (
        (batch.process_partial_response, "process"),
        (batch.async_process_partial_response, "async_process"),
    ):
        processor = MagicMock(event_type=batch.EventType.SQS)
        processor.response.return_value = {"batchItemFailures": []}
        assert entry(event, print, processor, None) == {"batchItemFailures": []}
        processor.assert_called_once_with(event["Records"], print, None)
        getattr(processor, method).assert_called_once_with()


def test_a_decorator_lets_exceptions_out(lib, caplog):
    processor = lib.batch.BatchProcessor(lib.batch.EventType.SQS)

    @lib.batch.batch_processor(record_handler=lambda record: None, processor=processor)
    def lambda_handler(event, context):
        raise LookupError("mine")

    with deprecated(), pytest.raises(LookupError, match="mine"):
        lambda_handler({"Records": []}, None)
    assert ("Caught exception in batch_processor" in caplog.text) == (
        lib is not OURS
    )  # whose loggers lead somewhere
    with deprecated(), pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
        lambda_handler({"Records": []}, None, unknown=1)


def test_a_decorator_can_open_a_subsegment(monkeypatch):
    from aws_lambda_powertools.tracing import Tracer

    opened = []
    provider = type(Tracer(auto_patch=False, disabled=True).provider)
    original = provider.in_subsegment

    def in_subsegment(self, name=None, **options):
        opened.append(name)
        return original(self, name=name, **options)

    monkeypatch.setattr(provider, "in_subsegment", in_subsegment)
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "1")
    monkeypatch.setenv("POWERTOOLS_TRACE_MIDDLEWARES", "true")
    processor = OURS.batch.BatchProcessor(OURS.batch.EventType.SQS)

    @OURS.batch.batch_processor(record_handler=lambda record: None, processor=processor)
    def lambda_handler(event, context):
        return processor.response()

    with deprecated():
        assert lambda_handler({"Records": []}, None) == {"batchItemFailures": []}
    assert opened == ["## batch_processor"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("handler", [None, 5, "handler"], ids=repr)
def test_what_cannot_be_called_is_refused_before_a_record_is_touched(handler, is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    with pytest.raises(InvalidHandlerError, match="it is not callable"):
        process(OURS, event_of("SQS", ["a"]), handler, processor, is_async=is_async)
    assert processor.exceptions == processor.fail_messages == processor.success_messages == []
