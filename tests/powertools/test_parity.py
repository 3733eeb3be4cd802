"""Parity: whatever both libraries are given, where their results should agree they do.

Both get the same generated events, handlers and options, and everything that users see is compared: the response
or the error with its text, the entries, the lists, and what the handlers were called with. What is generated
leaves out the listed differences (`examples/powertools/README.md`), each by its name there:

- D1, D5, D6, D23: handlers that cancel, are of the other kind, return work undone, or raise what cannot be shown;
- D2: records that end out of order (the response is compared all the same, as a set);
- D10: the response after a total failure;
- D13, D14, D21: models with a title of their own, pills behind a failure, failed records without an identifier;
- duplicates, FIFO queues under other processors, SystemExit and KeyboardInterrupt.
"""

import contextlib
import copy
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser import models as parser_models
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import (
    EVENT_TYPES,
    OURS,
    THEIRS,
    Library,
    body_of,
    deprecated,
    event_of,
    handler_of,
    minimal,
    records_of,
    without_their_classes,
)
from pydantic import Json

from asyncbatch.testing import LambdaContext

MANY = settings(max_examples=4 * settings.default.max_examples)


class CustomError(Exception):
    """One of the user's own, with an odd text."""

    def __str__(self) -> str:
        return f"custom: {self.args}"


FATES: dict[str, Any] = {
    "none": lambda _: None,
    "text": lambda text: f"did {text}",
    "dict": lambda text: {"did": text},
    "falsy": lambda _: 0,
    "ValueError": ValueError,
    "KeyError": KeyError,
    "custom": CustomError,
    "group": lambda text: ExceptionGroup(text, [ValueError(1)]),
    "stop": StopIteration,
    "recursion": RecursionError,
}
RAISES = {"ValueError", "KeyError", "custom", "group", "recursion"}


class ParsedMessage(parser_models.SqsRecordModel):
    body: Json[dict[str, str]]


class ParsedPayload(parser_models.KinesisDataStreamRecordPayload):
    data: Json[dict[str, str]]


class ParsedKinesis(parser_models.KinesisDataStreamRecord):
    kinesis: ParsedPayload


class ParsedKafka(parser_models.KafkaRecordModel):
    value: Json[dict[str, str]]


MODELS = {
    "SQS": ParsedMessage,
    "KinesisDataStreams": ParsedKinesis,
    "DynamoDBStreams": parser_models.DynamoDBStreamRecordModel,
    "Kafka": ParsedKafka,
}


@dataclass
class Case:
    """What both libraries are given."""

    event_type: str
    fates: list[str]
    is_async: bool
    turns: int
    entry: str
    least: bool
    model: bool
    poison: list[bool]
    context: str
    raises: bool
    classes: str = "theirs"
    fifo: str | None = None
    groups: list[str] = field(default_factory=list)

    def event(self) -> dict[str, Any]:
        bodies = [
            "{no json" if bad else f'{{"fate": "{fate}", "at": "{at}"}}'
            for at, (fate, bad) in enumerate(zip(self.fates, self.poison, strict=True))
        ]
        event = event_of(self.event_type, bodies, groups=self.groups if self.fifo else None)
        return minimal(event) if self.least else event


def cases(*, fifo: bool = False) -> st.SearchStrategy[Case]:
    @st.composite
    def case(draw: st.DrawFn) -> Case:
        size = draw(st.integers(1, 6))
        is_async = False if fifo else draw(st.booleans())
        model = draw(st.booleans())
        # A StopIteration out of a coroutine is a RuntimeError, the same in both.
        fates = draw(st.lists(st.sampled_from(list(FATES)), min_size=size, max_size=size))
        poison = draw(st.lists(st.booleans(), min_size=size, max_size=size)) if model else [False] * size
        if fifo and any(poison):  # D14: the peer stumbles over a pill behind a failure
            first = poison.index(True)
            poison = [at == first for at in range(size)]
            fates[:first] = ["none"] * first
        return Case(
            event_type="SQS" if fifo else draw(st.sampled_from(EVENT_TYPES)),
            fates=fates,
            is_async=is_async,
            turns=0 if any(poison) else draw(st.integers(0, 2)),  # D2: a pill fails before anything waits
            entry=draw(st.sampled_from(["function", "with", "decorator"])),
            least=False if model or fifo else draw(st.booleans()),
            model=model,
            poison=poison,
            context=draw(st.sampled_from(["none", "given", "injected"])),
            raises=draw(st.booleans()),
            classes=draw(st.sampled_from(["ours", "theirs"])),
            fifo=draw(st.sampled_from(["batch", "group"])) if fifo else None,
            groups=draw(st.lists(st.sampled_from("ab"), min_size=size, max_size=size)) if fifo else [],
        )

    return case()


@dataclass
class Seen:
    """What a user sees of a run."""

    response: Any = None
    error: Any = None
    entries: Any = None
    success: Any = None
    fail: Any = None
    exceptions: Any = None
    calls: list[Any] = field(default_factory=list)


def run(lib: Library, case: Case, event: dict[str, Any]) -> Seen:
    seen = Seen()
    context = None if case.context == "none" else LambdaContext(timeout=900.0)
    processor = make(lib, case)
    handler = make_handler(case, seen, context)
    try:
        seen.response = call(
            lib, case, event, handler=handler, processor=processor, context=context, seen=seen
        )
    except lib.exceptions.BatchProcessingError as error:
        seen.error = type(error).__name__, error.msg, [plain(str(each[0])) for each in error.child_exceptions]
    records = records_of(event)
    seen.success = [position_of(each, records) for each in processor.success_messages]
    seen.fail = [described(each, records) for each in processor.fail_messages]
    seen.exceptions = [
        (plain(str(kind)), plain(str(error)), trace is None) for kind, error, trace in processor.exceptions
    ]
    return seen


def make(lib: Library, case: Case) -> Any:
    model = MODELS[case.event_type] if case.model else None
    if case.fifo:
        processor = lib.batch.SqsFifoPartialProcessor(model, case.fifo == "group")
        processor.raise_on_entire_batch_failure = case.raises
        return processor
    kind = lib.batch.AsyncBatchProcessor if case.is_async else lib.batch.BatchProcessor
    return kind(lib.batch.EventType[case.event_type], model, case.raises)


def make_handler(case: Case, seen: Seen, context: Any) -> Any:
    def do(record: Any) -> Any:
        text = str(text_of(record))
        seen.calls.append(text)
        (fate,) = [name for name in FATES if f'"{name}"' in text.replace("'", '"')] or ["none"]
        result = FATES[fate](text)
        if isinstance(result, BaseException):
            raise result
        return result

    if case.context == "injected" and not case.is_async:

        def injected(record: Any, lambda_context: Any) -> Any:
            assert lambda_context is context
            return do(record)

        return injected
    if not case.is_async:

        def handler(record: Any) -> Any:
            return do(record)

        return handler

    async def async_handler(record: Any, lambda_context: Any = None) -> Any:
        assert lambda_context is context
        await waiting(record=record)
        return do(record)

    waiting = handler_of(lambda _: None, is_async=True, turns=case.turns)
    return async_handler


def text_of(record: Any) -> Any:
    """The payload, as text or as what the model made of it."""
    if hasattr(record, "model_validate"):
        for part in (record, getattr(record, "kinesis", None), getattr(record, "dynamodb", None)):
            for name in ("body", "data", "NewImage", "value"):
                if part is not None and hasattr(part, name):
                    return getattr(part, name)
    return body_of(record)


def call(
    lib: Library, case: Case, event: Any, *, handler: Any, processor: Any, context: Any, seen: Seen
) -> Any:
    batch = lib.batch
    if case.entry == "function":
        entry = batch.async_process_partial_response if case.is_async else batch.process_partial_response
        return entry(event, handler, processor, context)
    if case.entry == "decorator" and case.event_type != "Kafka":
        decorator = batch.async_batch_processor if case.is_async else batch.batch_processor

        @decorator(record_handler=handler, processor=processor)
        def lambda_handler(event: Any, context: Any) -> Any:
            return processor.response()

        with deprecated():
            return lambda_handler(event, context)
    records = records_of(event)
    with processor(records, handler, context):
        entries = processor.async_process() if case.is_async else processor.process()
        seen.entries = [entry(each, records) for each in entries for entry in [described_entry]]
    return processor.response()


def described_entry(entry: tuple[Any, ...], records: list[Any]) -> Any:
    status, cause, item = entry
    if status == "success":
        return status, cause, position_of(item, records)
    return status, plain(cause), described(item, records)


def position_of(raw: Any, records: list[Any]) -> int:
    (position,) = [at for at, each in enumerate(records) if each is raw]
    return position


def described(item: Any, records: list[Any]) -> Any:
    """A failed item by what it is and holds, whichever library wrapped it."""
    if hasattr(item, "model_dump"):
        return "model", type(item).__name__, item.model_dump()
    return "data class", position_of(item.raw_event, records)


def plain(text: str) -> str:
    """A text without the names of modules and the addresses of objects."""
    return re.sub(
        r" at 0x[0-9a-f]+", "", re.sub(r"\b(asyncbatch|aws_lambda_powertools)[\w.]*\.(?=\w+')", "", text)
    )


def both(case: Case) -> tuple[Seen, Seen]:
    event = case.event()
    with without_their_classes() if case.classes == "ours" else contextlib.nullcontext():
        ours = run(OURS, case, copy.deepcopy(event))
    return ours, run(THEIRS, case, copy.deepcopy(event))


@MANY
@given(case=cases())
def test_both_libraries_agree(case: Case) -> None:
    ours, theirs = both(case)
    assert ours == theirs


@MANY
@given(case=cases(fifo=True))
def test_both_libraries_agree_on_fifo_queues(case: Case) -> None:
    ours, theirs = both(case)
    assert ours == theirs


@given(case=cases(), order=st.randoms(use_true_random=False))
def test_out_of_order_the_responses_name_the_same(case: Case, order: Any) -> None:
    """Here the peer's lists come as records end, ours in batch position (D2)."""
    case.is_async, case.entry = True, "function"
    event = case.event()
    sleeps = [order.randrange(4) for _ in case.fates]
    found = []
    for lib in (OURS, THEIRS):
        positions = iter(sleeps)
        inner = make_handler(case, Seen(), None)

        async def handler(record: Any, inner: Any = inner, positions: Any = positions) -> Any:
            await handler_of(lambda _: None, is_async=True, turns=next(positions))(record=record)
            return await inner(record=record)

        processor = make(lib, case)
        processor.raise_on_entire_batch_failure = False
        mine = copy.deepcopy(event)
        response = lib.batch.async_process_partial_response(mine, handler, processor)
        found.append(sorted(str(each) for each in response["batchItemFailures"]))
    assert found[0] == found[1]


def test_the_comparison_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A facade with another text, another order or another name must not pass for the peer."""
    case = Case("SQS", ["none", "ValueError"], False, 0, "with", False, False, [False, False], "none", True)
    ours, theirs = both(case)
    assert ours == theirs
    processor = OURS.batch.BatchProcessor
    original = processor.failure_handler

    def other_text(self: Any, record: Any, exception: Any) -> Any:
        status, text, item = original(self, record, exception)
        return status, f"{text}.", item

    monkeypatch.setattr(processor, "failure_handler", other_text)
    ours, theirs = both(case)
    assert ours != theirs
