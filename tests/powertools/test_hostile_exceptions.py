"""Whatever class of exception a handler or a model raises, its record fails, and the others have their reply."""

import asyncio
import logging

import pytest
from hostile import HOSTILE, escape, raise_hostile, textless
from libraries import OURS, event_of, handler_of, names, process, processor_of, reply
from pydantic import BaseModel, field_validator

from asyncbatch.powertools import EventType, SqsFifoPartialProcessor
from asyncbatch.powertools.exceptions import BatchProcessingError

EVENT = event_of("SQS", ["a", "b", "c"])
A, B, C = names(EVENT["Records"])
BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
IN_LAMBDA = pytest.mark.usefixtures("_in_lambda")


@pytest.fixture
def _in_lambda(monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")


def raising(make):
    def fate(text):
        if text == "b":
            raise make()

    return fate


@IN_LAMBDA
@BOTH
@pytest.mark.parametrize("turns", [0, 2])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_exception_fails_its_record_alone(name, turns, is_async, caplog):
    caplog.set_level(logging.DEBUG)
    processor = processor_of(OURS, "SQS", is_async=is_async, logger=logging.getLogger("of the user"))
    handler = handler_of(raising(HOSTILE[name]), is_async=is_async, turns=turns)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)
    assert [each["messageId"] for each in processor.success_messages] == [A, C]
    assert len(processor.exceptions) == 1


@IN_LAMBDA
@BOTH
@pytest.mark.parametrize("name", HOSTILE)
def test_the_error_of_a_batch_that_fails_whole_has_a_text(name, is_async):
    def fate(_):
        raise_hostile(name)

    processor = processor_of(OURS, "SQS", is_async=is_async)
    with pytest.raises(BatchProcessingError) as caught:
        process(OURS, EVENT, handler_of(fate, is_async=is_async), processor, is_async=is_async)
    assert str(caught.value).startswith("All records failed processing. 3 individual errors logged")
    assert processor.response() == reply(A, B, C)


@IN_LAMBDA
@BOTH
@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_may_raise_it(name, is_async):
    class Model(BaseModel):
        messageId: str  # noqa: N815 - as AWS has it
        body: str

        @field_validator("body")
        @classmethod
        def check(cls, body):
            if body == "b":
                raise_hostile(name)
            return body

    processor = processor_of(OURS, "SQS", Model, is_async=is_async)
    handler = handler_of(lambda _: None, is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)


@IN_LAMBDA
@BOTH
@pytest.mark.parametrize("name", HOSTILE)
def test_the_handler_of_a_model_may_raise_it(name, is_async):
    class Model(BaseModel):
        messageId: str  # noqa: N815 - as AWS has it
        body: str

    processor = processor_of(OURS, "SQS", Model, is_async=is_async)
    handler = handler_of(raising(HOSTILE[name]), is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)


@IN_LAMBDA
@pytest.mark.parametrize("name", HOSTILE)
def test_an_async_handler_may_raise_it_where_records_run_one_after_another(name):
    async def handler(record):
        await asyncio.sleep(0)
        raising(HOSTILE[name])(record.body)

    processor = processor_of(OURS, "SQS")
    assert process(OURS, EVENT, handler, processor) == reply(B)


@IN_LAMBDA
@BOTH
@pytest.mark.parametrize("name", HOSTILE)
def test_in_a_fifo_queue_it_holds_back_its_group(name, is_async):
    event = event_of("SQS", ["a", "b", "c"], groups=["1", "2", "2"])
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    handler = handler_of(raising(HOSTILE[name]), is_async=is_async)
    expected = reply(*names(event["Records"])[1:])
    assert process(OURS, event, handler, processor, is_async=is_async) == expected


@IN_LAMBDA
@BOTH
def test_an_overridden_conversion_that_raises_it_costs_its_record(is_async):
    class Own(type(processor_of(OURS, "SQS", is_async=is_async))):
        def _to_batch_type(self, record, event_type, model=None):
            if record["body"] == "b":
                raise SystemExit
            return super()._to_batch_type(record, event_type, model)

    handler = handler_of(lambda _: None, is_async=is_async)
    assert process(OURS, EVENT, handler, Own(EventType.SQS), is_async=is_async) == reply(B)


class RaisingLogger:
    """What a processor's user may hand in."""

    warning = escape


@IN_LAMBDA
@BOTH
def test_a_logger_that_raises_costs_nothing(is_async, caplog):
    processor = processor_of(OURS, "SQS", is_async=is_async, logger=RaisingLogger())
    handler = handler_of(raising(ValueError), is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)
    assert "the processor's logger raised: Escape" in caplog.text


# --- Ctrl-C -------------------------------------------------------------------------------------------


@pytest.fixture
def _outside_lambda(monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)


class Interrupting(BaseModel):
    messageId: str  # noqa: N815 - as AWS has it
    body: str

    @field_validator("body")
    @classmethod
    def check(cls, body):
        if body == "b":
            raise KeyboardInterrupt
        return body


@BOTH
@pytest.mark.usefixtures("_outside_lambda")
@pytest.mark.parametrize("where", ["text", "model"])
def test_ctrl_c_in_a_text_or_a_model_comes_out(where, is_async):
    done = []
    fate = raising(textless(KeyboardInterrupt)) if where == "text" else done.append
    processor = processor_of(OURS, "SQS", Interrupting if where == "model" else None, is_async=is_async)
    with pytest.raises(KeyboardInterrupt):
        process(OURS, EVENT, handler_of(fate, is_async=is_async), processor, is_async=is_async)
    assert B in [each["itemIdentifier"] for each in processor.response()["batchItemFailures"]]
    assert "b" not in done


@BOTH
@pytest.mark.usefixtures("_outside_lambda")
def test_ctrl_c_while_a_logger_writes_comes_out(is_async):
    class Interrupted:
        def warning(self, *_, **__):
            raise KeyboardInterrupt

    processor = processor_of(OURS, "SQS", is_async=is_async, logger=Interrupted())
    with pytest.raises(KeyboardInterrupt):
        process(OURS, EVENT, handler_of(raising(ValueError), is_async=is_async), processor, is_async=is_async)


class OriginInterruptedError(Exception):
    """Whoever asks where it comes from is interrupted."""

    @property
    def __cause__(self):
        raise KeyboardInterrupt


class ValidationError(Exception):
    """Called as pydantic's; whoever asks for its title is interrupted."""

    @property
    def title(self):
        raise KeyboardInterrupt


class Plain(BaseModel):
    messageId: str  # noqa: N815 - as AWS has it
    body: str


@BOTH
@pytest.mark.usefixtures("_outside_lambda")
def test_ctrl_c_while_a_refusal_is_told_from_a_failure_comes_out(is_async):
    processor = processor_of(OURS, "SQS", Plain, is_async=is_async)
    with pytest.raises(KeyboardInterrupt):
        process(
            OURS, EVENT, handler_of(raising(ValidationError), is_async=is_async), processor, is_async=is_async
        )


@BOTH
@pytest.mark.usefixtures("_outside_lambda")
@pytest.mark.parametrize("at", ["refused", "held back"])
def test_ctrl_c_while_a_failed_record_is_converted_comes_out(at, is_async):
    class Own(SqsFifoPartialProcessor):
        def _to_batch_type(self, record, event_type, model=None):
            if record["body"] == ("b" if at == "held back" else "a") and model is None:
                raise KeyboardInterrupt
            if at == "refused":
                raise ValueError
            return super()._to_batch_type(record, event_type, model)

    event = event_of("SQS", ["a", "b"], groups=["1", "1"])
    handler = handler_of(lambda _: 1 / 0, is_async=is_async)
    with pytest.raises(KeyboardInterrupt):
        process(OURS, event, handler, Own(Plain if at == "refused" else None), is_async=is_async)


def test_ctrl_c_while_tracebacks_are_written_comes_out_except_in_lambda(monkeypatch):
    error = BatchProcessingError("all failed", [(OriginInterruptedError, OriginInterruptedError(), None)])
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    assert "(its traceback cannot be shown)" in str(error)
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
    with pytest.raises(KeyboardInterrupt):
        str(error)
