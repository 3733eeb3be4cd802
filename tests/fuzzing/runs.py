"""A case is run, and what could be seen from outside is kept: for the oracle."""

import asyncio
import contextlib
import logging
import traceback
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pydantic
from cases import ENGINE, MESSAGES, Case
from damage import plain

from asyncbatch import BatchEngine, EventSource, FailureScope, Ordering, batch_handler
from asyncbatch._loop import discard_loop, kept_loop
from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.testing import LambdaContext, VirtualLoop, run_virtual

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"


class Order(pydantic.BaseModel):
    a: str


MODELS = {None: None, "order": Order, "anything": Any}


@dataclass
class Seen:
    """What was seen of a case.

    Attributes:
        case: The case.
        event: Its event, as it was passed.
        raws: The records in it, in batch position, as far as there are any.
        started: How often each record's handler was started.
        done: How often it came to a plain return.
        reply: What came back; None where something was raised.
        error: What was raised.
        texts: Every message, summary and log of the package about this case.
        reprs: How its objects show themselves.
    """

    case: Case
    event: Any
    raws: list[Any]
    started: Counter[Hashable] = field(default_factory=Counter)
    done: Counter[Hashable] = field(default_factory=Counter)
    reply: Any = None
    error: BaseException | None = None
    texts: list[str] = field(default_factory=list)
    reprs: list[str] = field(default_factory=list)


def name_in(raw: Any) -> Hashable:
    """Which record it is: the object itself. A text in a record's place has no other of its own."""
    return id(raw) if isinstance(raw, dict | list) else (type(raw).__name__, repr(raw))


def raws_of(case: Case, event: Any) -> list[Any]:
    """The records of an event as far as it has any."""
    if not isinstance(event, dict):
        return []
    if case.entry in MESSAGES:
        messages = event.get("Messages")
        return messages if isinstance(messages, list) else []
    is_kafka = event.get("eventSource") in ("aws:kafka", "SelfManagedKafka") or case.source == "kafka"
    if case.entry not in ENGINE:
        is_kafka = case.event_type == "Kafka" and "fifo" not in case.entry and "groups" not in case.entry
    if is_kafka:
        logs = event.get("records")
        logs = list(logs.values()) if isinstance(logs, dict) else []
        return [each for log in logs if isinstance(log, list | dict | str) for each in log]
    records = event.get("Records")
    return records if isinstance(records, list) else []


# --- handlers -----------------------------------------------------------------------------------------


class OwnError(BaseException):
    pass


class UnshowableError(Exception):
    def __str__(self) -> str:
        raise ValueError


RAISED: dict[str, Any] = {
    "raises": lambda: ValueError("as drawn"),
    "is cancelled": asyncio.CancelledError,
    "exits": SystemExit,
    "ends a generator": lambda: GeneratorExit("as drawn"),
    "has its own base": OwnError,
    "is a group": lambda: BaseExceptionGroup("as drawn", [asyncio.CancelledError()]),
    "cannot be shown": UnshowableError,
    "is of half a character": lambda: ValueError("as drawn \ud83d"),
    "is of many words": lambda: ValueError("as drawn " * 10_000),
}

GIVEN: dict[str, Any] = {
    "gives a coroutine": lambda: asyncio.sleep(0),
    "gives a generator": lambda: (each for each in [1]),
    "gives a future": lambda: asyncio.get_running_loop().create_future(),
}


class Handler:
    """Records come to their fates."""

    def __init__(self, seen: Seen, *, may_hang: bool) -> None:
        fates = seen.case.fates
        self.seen = seen
        self.may_hang = may_hang
        self.fates = {name_in(raw): fates[at % len(fates)] for at, raw in reversed([*enumerate(seen.raws)])}

    def begin(self, record: Any) -> tuple[Hashable, str]:
        raw = getattr(record, "raw", None)
        name = name_in(getattr(record, "raw_event", record) if raw is None else raw)
        self.seen.started[name] += 1
        return name, self.fates[name]

    def plain(self, record: Any) -> Any:
        name, fate = self.begin(record)
        if fate in RAISED:
            raise RAISED[fate]()  # noqa: RSE102 - it makes what is raised
        match fate:
            case "gives a generator":
                return (each for each in [1])
            case "gives a future" | "cancels itself" | "cancels itself and waits" | "hangs" | "swallows":
                raise LookupError
            case "gives a coroutine":
                return self.ends_later(name)
        self.read(record, fate)
        self.seen.done[name] += 1
        return None

    async def beside_others(self, record: Any) -> Any:
        name, fate = self.begin(record)
        if fate in RAISED:
            raise RAISED[fate]()  # noqa: RSE102 - it makes what is raised
        if fate in GIVEN:
            return GIVEN[fate]()
        if fate.startswith("cancels itself"):
            asyncio.current_task().cancel()
            return await asyncio.sleep(1) if fate.endswith("waits") else None
        if fate in {"hangs", "swallows"}:
            await self.hang(fate)
            return None
        if fate == "waits":
            await asyncio.sleep(1)
        self.read(record, fate)
        self.seen.done[name] += 1
        return None

    async def hang(self, fate: str) -> None:
        if not self.may_hang:
            raise LookupError
        with contextlib.suppress(asyncio.CancelledError if fate == "swallows" else ()):
            await asyncio.sleep(1e6)

    async def ends_later(self, name: Hashable) -> None:
        await asyncio.sleep(0)
        self.seen.done[name] += 1

    def read(self, record: Any, fate: str) -> None:
        match fate:
            case "reads text":
                _ = record.text if hasattr(record, "text") else record.raw_event["body"]
            case "reads json":
                record.json() if hasattr(record, "json") else record.raw_event["body"]
            case "reads payload":
                _ = record.payload if hasattr(record, "payload") else record.raw_event["body"]
            case "reads all":
                self.read_all(record)

    def read_all(self, record: Any) -> None:
        """Every attribute; each error's text is one of ours, and the last is raised."""
        trouble: Exception | None = None
        self.seen.reprs.append(repr(record))
        for name in dir(type(record)):
            try:
                if not name.startswith("_"):
                    getattr(record, name)
            except Exception as error:
                self.seen.texts.append(str(error))
                trouble = error
        if trouble is not None:
            raise trouble


# --- running ------------------------------------------------------------------------------------------


class _Log(logging.Handler):
    """Notes what the package logs, tracebacks too; raises, as Lambda's own does, at what cannot be encoded."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        self._texts.append(text)
        text.encode()


@contextlib.contextmanager
def virtual_time() -> Iterator[None]:
    """Loops that this thread keeps are virtual ones: cases wait without taking time."""
    with mock.patch.object(asyncio, "new_event_loop", VirtualLoop):
        discard_loop()
        try:
            yield
        finally:
            discard_loop()
            asyncio.set_event_loop(None)


def run_case(case: Case) -> Seen:
    """Run a case, within `virtual_time`."""
    event = plain(case.event)
    seen = Seen(case, event, raws_of(case, event))
    logger = logging.getLogger("asyncbatch")
    log, level = _Log(seen.texts), logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        seen.reply = _through_engine(seen) if case.entry in {*ENGINE, *MESSAGES} else _through_facade(seen)
    except KeyboardInterrupt:
        raise  # no case raises it: somebody wants to stop
    except BaseException as error:
        seen.error = error
        seen.texts += [str(error), repr(error), *traceback.format_exception_only(error)]
    finally:
        logger.propagate = True
        logger.setLevel(level)
        logger.removeHandler(log)
    return seen


def _by_function(record: Any) -> Hashable:
    return record.text[:1]


def _options(case: Case) -> dict[str, Any]:
    by_function = case.ordering == "by function"
    return {
        "concurrency": case.concurrency,
        "ordering": _by_function if by_function else case.ordering and Ordering(case.ordering),
        "failure_scope": case.scope and FailureScope(case.scope),
        "record_timeout": case.timeout,
        "model": MODELS[case.model],
        "raise_on_failure": case.raise_on_failure,
        "source": case.source and EventSource(case.source),
    }


def _through_engine(seen: Seen) -> Any:
    case, events = seen.case, []
    options = _options(case) | ({"hooks": [events.append]} if case.concurrency == 2 else {})
    handler = Handler(seen, may_hang=bool(case.seconds or case.timeout)).beside_others
    context = case.seconds and LambdaContext(case.seconds, clock=kept_loop().loop.time)
    if case.entry == "function":
        return batch_handler(**options)(handler)(seen.event, context)
    engine = BatchEngine(**options)
    if case.entry == "run":
        report = engine.run(seen.event, handler, context)
    elif case.entry == "process":
        report = run_virtual(engine.process(seen.event, handler, deadline=case.seconds))
    else:
        arn = QUEUE + (".fifo" if "FIFO" in case.entry else "")
        report = run_virtual(
            engine.process_messages(seen.raws, handler, queue_arn=arn, deadline=case.seconds)
        )
    seen.texts.append(report.summary())
    seen.reprs += [repr(report), repr(report.outcomes), repr(events)]
    return report.response()


def _through_facade(seen: Seen) -> Any:
    case = seen.case
    is_async = case.entry.endswith("async")
    if case.entry.startswith(("fifo", "groups")):
        processor = SqsFifoPartialProcessor(
            skip_group_on_error=case.entry.startswith("groups"), raise_on_entire_batch_failure=False
        )
    else:
        kind = AsyncBatchProcessor if is_async else BatchProcessor
        halting = case.entry.startswith("halting") and case.event_type != "SQS"
        processor = kind(
            EventType[case.event_type], raise_on_entire_batch_failure=False, stop_on_failure=halting
        )
    handler = Handler(seen, may_hang=False)
    if is_async:
        return async_process_partial_response(seen.event, handler.beside_others, processor)
    return process_partial_response(seen.event, handler.plain, processor)
