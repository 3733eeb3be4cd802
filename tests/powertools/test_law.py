"""The law: a record that the reply does not name ran to its end, whatever handlers and overrides do."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from libraries import EVENT_TYPES, OURS, body_of, event_of, name_of, process, records_of

from asyncbatch.powertools import AsyncBatchProcessor, BatchProcessor, EventType, SqsFifoPartialProcessor
from asyncbatch.powertools.exceptions import BatchProcessingError
from asyncbatch.testing import sqs_event

ERRORS: list[Callable[[], BaseException]] = [
    ValueError,
    asyncio.CancelledError,
    SystemExit,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
    TimeoutError,
    lambda: ExceptionGroup("group", [ValueError()]),
    lambda: BaseExceptionGroup("group", [asyncio.CancelledError()]),
]
FATES: list[Any] = ["well", "well", "well", "a generator", "a coroutine", "nested", *ERRORS]
ASYNC_FATES: list[Any] = [
    *FATES,
    "cancels itself",
    "a cancellation pending",
    "leaves a task",
    "stops the loop",
]


async def within_a_timeout(self: Any, record: Any) -> Any:
    async with asyncio.timeout(1000):
        return await super(type(self), self)._async_process_record(record)


OVERRIDES: dict[str, dict[str, Callable[..., Any]]] = {
    "nothing": {},
    "success_handler gives nothing": {"success_handler": lambda self, record, result: None},
    "success_handler keeps no books": {
        "success_handler": lambda self, record, result: ("success", result, record)
    },
    "failure_handler keeps no books": {
        "failure_handler": lambda self, record, exception: ("fail", "", record)
    },
    "the collector finds nothing": {"_get_messages_to_report": lambda self: []},
    "a timeout around each": {"_async_process_record": within_a_timeout},
}


class Handler:
    """Records come to their fates, and it is noted what ran to its end."""

    def __init__(self, fates: list[Any], processor: Any, *, is_async: bool) -> None:
        self.fates = {str(at): fate for at, fate in enumerate(fates)}
        self.processor = processor
        self.is_async = is_async
        self.done: set[str] = set()

    def plain(self, record: Any) -> Any:
        text = body_of(record)
        match self.fates[text]:
            case "a generator":
                return (each for each in [text])
            case "a coroutine":
                return self.ends_later(text)
            case "nested":
                self.use_it_again()
            case "well":
                pass
            case error:
                raise error()
        self.done.add(text)
        return text

    async def beside_others(self, record: Any) -> Any:
        text = body_of(record)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        match self.fates[text]:
            case "cancels itself":
                asyncio.current_task().cancel()
                await asyncio.sleep(0)
            case "a cancellation pending":
                asyncio.current_task().cancel()
                return text
            case "leaves a task":
                self.left = loop.create_task(asyncio.sleep(1000))
            case "stops the loop":
                loop.stop()
                await asyncio.sleep(1000)
            case _:
                return self.plain(record)
        self.done.add(text)
        return text

    async def ends_later(self, text: str) -> None:
        await asyncio.sleep(0)
        self.done.add(text)

    def use_it_again(self) -> None:
        """A failure of a nested use is that use's, and lost to neither."""
        processor, is_async = self.processor, self.is_async
        if processor.event_type is not EventType.SQS:
            processor, is_async = BatchProcessor(EventType.SQS), False
        with pytest.raises(BatchProcessingError):
            process(OURS, sqs_event(["nested"]), lambda record: 1 / 0, processor, is_async=is_async)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("kind", [*EVENT_TYPES, "FIFO", "FIFO, groups"])
@given(data=st.data())
def test_what_is_not_named_ran_to_its_end(kind, is_async, data):
    fates = data.draw(st.lists(st.sampled_from(ASYNC_FATES if is_async else FATES), min_size=1, max_size=8))
    # A loop that a handler stopped is thrown away with the tasks on it, and these would complain at the end.
    assume(not {"leaves a task", "stops the loop"} <= set(map(str, fates)))
    overrides = OVERRIDES[data.draw(st.sampled_from(sorted(OVERRIDES)))]
    groups = data.draw(st.lists(st.sampled_from("xy"), min_size=len(fates), max_size=len(fates)))
    is_fifo = kind.startswith("FIFO")
    event_type = "SQS" if is_fifo else kind
    event = event_of(event_type, [str(at) for at in range(len(fates))], groups=groups if is_fifo else None)
    if is_fifo:
        made, options = SqsFifoPartialProcessor, {"skip_group_on_error": "groups" in kind}
    else:
        made, options = AsyncBatchProcessor if is_async else BatchProcessor, {"event_type": event_type}
    if is_async:
        options["concurrency"] = data.draw(st.sampled_from([None, 1, 2]))
    processor = type("Own", (made,), overrides)(**options)
    handler = Handler(fates, processor, is_async=is_async)
    function = handler.beside_others if is_async else handler.plain
    try:
        answer = process(OURS, event, function, processor, is_async=is_async)
    except BatchProcessingError:
        return  # the whole batch is delivered again
    named = [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]
    acknowledged = [at for at, record in enumerate(records_of(event)) if name_of(record) not in named]
    assert handler.done >= set(map(str, acknowledged))
