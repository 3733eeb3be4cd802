"""A record handler that notes what it is called with, and shows that where an assertion fails."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, final

from asyncbatch.testing._labels import Label, own_key, payload_text

_SHOWN = 20  # calls in the text of a failed assertion


@final
@dataclass(slots=True, eq=False)
class HandlerCall:
    """One call of a record handler.

    Attributes:
        label: What the test calls the record.
        lane: What has to keep its order.
        started: When the handler was started, in seconds of the event loop's clock.
        ended: When it ended; None while it runs.
        error: What it raised; None where it returned, or runs.
    """

    label: str
    lane: Hashable
    started: float
    ended: float | None = None
    error: BaseException | None = field(default=None, repr=False)  # its text may quote the payload

    @property
    def returned(self) -> bool:
        """Whether the handler returned, which an engine may still refuse as too late."""
        return self.ended is not None and self.error is None

    def __str__(self) -> str:
        """The call as a line for a person."""
        if self.ended is None:
            ending = "still runs"
        elif self.error is None:
            ending = f"returned at {self.ended:g} s"
        else:
            ending = f"failed at {self.ended:g} s: {type(self.error).__name__}"
        return f"{self.label!r} of lane {self.lane!r}, started at {self.started:g} s, {ending}"


@final
class HandlerSpy:
    """Wraps an async record handler and notes its calls; it is a record handler itself.

    Args:
        handler: An async function of a record; None for one that succeeds at once. What is injected into it
            (``lambda_context``, ``state``) reaches it as before.
        lane: A function of a record: what has to keep its order. None for the record's own ``key``: message group,
            partition key, item key.
        label: A function of a record: what the test calls it. None for its payload as text.

    Attributes:
        calls: All calls, as they were started.
        running: How many run now.
        max_running: Most that ever ran side by side; of a simulated mapping, in one environment.
    """

    def __init__(
        self,
        handler: Callable[..., Awaitable[object]] | None = None,
        *,
        lane: Callable[[Any], Hashable] | None = None,
        label: Label | None = None,
    ) -> None:
        if handler is not None:
            self.__wrapped__ = handler  # whose signature tells what to inject
        self._handler = handler
        self._lane = lane or own_key
        self._label = label or payload_text
        self.calls: list[HandlerCall] = []
        self._ended: list[HandlerCall] = []
        self.running: int = 0
        self.max_running: int = 0

    async def __call__(self, record: Any, **injected: Any) -> object:
        """Process a record with the wrapped handler, and note how that went."""
        loop = asyncio.get_running_loop()
        call = HandlerCall(self._label(record), self._lane(record), loop.time())
        self.calls.append(call)
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        try:
            return None if self._handler is None else await self._handler(record, **injected)
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.ended = loop.time()
            self._ended.append(call)
            self.running -= 1

    @property
    def order(self) -> list[str]:
        """What was started, in that order."""
        return [call.label for call in self.calls]

    @property
    def returned(self) -> list[str]:
        """What returned, in the order in which it did."""
        return [call.label for call in self._ended if call.returned]

    @property
    def lanes(self) -> dict[Hashable, list[str]]:
        """What was started in each lane, in that order."""
        lanes: dict[Hashable, list[str]] = {}
        for call in self.calls:
            lanes.setdefault(call.lane, []).append(call.label)
        return lanes

    def assert_at_most(self, limit: int) -> None:
        """Check that no more records ever ran side by side.

        Args:
            limit: The most that may.

        Raises:
            AssertionError: more did.
        """
        if self.max_running > limit:
            raise AssertionError(
                f"{self.max_running} records ran side by side, more than {limit}:{self._shown()}"
            )

    def assert_nothing_runs(self) -> None:
        """Check that every call has ended.

        Raises:
            AssertionError: one still runs.
        """
        left = [call for call in self.calls if call.ended is None]
        if left:
            raise AssertionError(f"{len(left)} calls still run:{_listed(left)}")

    def assert_lanes_in_turn(self) -> None:
        """Check that in each lane one record ran at a time, and none was reached while one before it had failed.

        What was started before may be started again, as a redelivery does. Records without a lane (None: of a
        standard queue, of Kafka without a key) have no order. Labels have to differ. Whether the records came in
        the order of the event, `lanes` tells.

        Raises:
            AssertionError: one was started too early.
        """
        lanes: dict[Hashable, _Lane] = {}
        for call in self.calls:
            if call.lane is None:
                continue
            lane = lanes.setdefault(call.lane, _Lane())
            if early := lane.why_too_early(call):
                raise AssertionError(f"in lane {call.lane!r}, {early}:{self._shown(call.lane)}")
            lane.add(call)

    def _shown(self, lane: Hashable = None) -> str:
        return _listed([call for call in self.calls if lane is None or call.lane == lane])


class _Lane:
    """What was started in a lane so far."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._failed: set[str] = set()
        self._last: HandlerCall | None = None

    def why_too_early(self, call: HandlerCall) -> str | None:
        last = self._last
        if last is not None and _end(last) > call.started:
            return f"{call.label!r} was started while {last.label!r} ran"
        if self._failed and call.label not in self._known:
            return f"{call.label!r} was started although {min(self._failed)!r} had failed"
        return None

    def add(self, call: HandlerCall) -> None:
        self._known.add(call.label)
        self._failed.discard(call.label)
        if call.error is not None:
            self._failed.add(call.label)
        self._last = call  # nothing before it runs any more


def _end(call: HandlerCall) -> float:
    return math.inf if call.ended is None else call.ended


def _listed(calls: list[HandlerCall]) -> str:
    lines = [f"\n  {call}" for call in calls[:_SHOWN]]
    more = f"\n  and {len(calls) - _SHOWN} more" if len(calls) > _SHOWN else ""
    return "".join(lines) + more
