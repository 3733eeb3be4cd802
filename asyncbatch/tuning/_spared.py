"""A handler whose errors halt nothing, so that the whole batch is measured.

Where records are ordered, a failure holds back what follows it: of a stream all the rest of the batch. One bad
record in a hundred would leave little to measure. So its errors are noted beside, and count as failures all the
same. What says "too much" is raised: it is what the limit is about.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from asyncbatch import BatchHandler, threaded
from asyncbatch._failure_texts import describe
from asyncbatch._threads import ThreadedHandler

Notes = dict[int, str]
"""Type and text of each error that was noted, by the `id` of the raw record."""


def spared(
    handler: BatchHandler[Any], is_drop: Callable[[BaseException], bool], notes: Notes
) -> BatchHandler[Any]:
    """The handler, with errors noted instead of raised.

    Args:
        handler: The handler.
        is_drop: Whether an error says "too much"; it is raised.
        notes: Where errors are noted.
    """
    original = handler.handler

    def note(record: Any, error: Exception) -> None:
        if is_drop(error):
            raise error
        notes[id(record.raw)] = describe(error)

    if isinstance(original, ThreadedHandler):
        function: Callable[..., object] = original.function  # pyright: ignore[reportUnknownMemberType] - anybody's

        @functools.wraps(function)
        def call(record: Any, *args: Any, **kwargs: Any) -> object:
            try:
                return function(record, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it raises, it failed
                note(record, error)
                return None

        return BatchHandler(threaded(call), handler.engine)

    @functools.wraps(original)
    async def handle(record: Any, *args: Any, **kwargs: Any) -> object:
        try:
            return await original(record, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it raises, it failed
            note(record, error)
            return None

    return BatchHandler(handle, handler.engine)
