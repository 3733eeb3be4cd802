"""What a limit is: a number of records in flight, and what it learns from how they end."""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Callable
from enum import Enum
from threading import RLock
from typing import Any, Final, Protocol, final

from asyncbatch._errors import InvalidOptionError, shown
from asyncbatch.limits._drops import is_overload

# More in flight than any event loop bears.
_MOST: Final = 1_000_000

changing: Final = RLock()
"""Held while the state of a limit changes.

Event loops in several threads may share a limit. What it learns from the end of a record takes several steps, and
two threads between each other's steps could leave it in a state that no order of records leads to. There is one
lock for all limits, because an object with a lock of its own can neither be copied nor pickled; it is held for
microseconds. It is only taken by `with`, so that no exception of a signal handler leaves it locked.
"""
# Without this a child could inherit the lock while another thread of the parent holds it.
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no fork
    os.register_at_fork(
        before=changing.acquire, after_in_parent=changing.release, after_in_child=changing.release
    )


class Verdict(Enum):
    """What the end of a record says of whatever its handler calls."""

    SUCCESS = "success"
    """It succeeded: its latency is a sample."""
    IGNORED = "ignored"
    """It failed for reasons of its own: an error of the application is no sample of latency."""
    DROPPED = "dropped"
    """It was refused, or not answered in time: too much was in flight."""


class Limit(Protocol):
    """How many records may be in flight; the same object serves every invocation, and every engine it is given to.

    The engine asks for ``current`` between records, and tells ``observe`` how each ended that says something:

    - not records that succeeded without ever waiting;
    - not what spans a time in which the event loop stood still: frozen by Lambda, or held by a handler.

    Event loops in several threads may share a limit: then it may be called from two threads at the same time.

    The first flight of a batch, which meets an idle backend, and its end, when nothing more can start, are told
    with less than half of what was in flight: they are no evidence that the limit is used.
    """

    @property
    def current(self) -> int:
        """Most records in flight now, from 1 on."""
        ...

    def observe(self, verdict: Verdict, latency: float, in_flight: int) -> None:
        """Learn from the end of a record.

        Args:
            verdict: What it says.
            latency: Seconds from the handler's start to its end.
            in_flight: Records in flight when it ended, itself included; less at the beginning and end of a batch.
        """
        ...

    def is_drop(self, error: BaseException) -> bool:
        """Whether what a handler raised means that too much was in flight."""
        ...


@final
class FixedLimit:
    """A limit that stays as it is: ``concurrency=FixedLimit(32)`` is ``concurrency=32``.

    Args:
        limit: Most records in flight.

    Raises:
        InvalidOptionError: it is no whole number from 1 to a million.
    """

    def __init__(self, limit: int) -> None:
        self.current: Final[int] = checked_count("limit", limit)

    def observe(self, verdict: Verdict, latency: float, in_flight: int) -> None:
        """Learn nothing."""

    def is_drop(self, error: BaseException) -> bool:  # noqa: ARG002 - the protocol's
        """Nothing moves this limit."""
        return False

    def __repr__(self) -> str:
        return f"FixedLimit({self.current})"


class MovingLimit:
    """What limits that move have in common: bounds, and one reaction to what was in flight together.

    Args:
        initial: The limit of the first batch; None for the default, within the bounds.
        minimum: It never falls below this.
        maximum: It never rises above this.
        drops: Whether what a handler raised means that too much was in flight; None for timeouts and throttling.
        default: The usual limit of the first batch.

    Raises:
        InvalidOptionError: a bound is no whole number from 1 to a million, or they are in no order.

    Attributes:
        current: Most records in flight now.
    """

    def __init__(
        self,
        initial: int | None,
        minimum: int,
        maximum: int,
        drops: Callable[[BaseException], bool] | None,
        *,
        default: int,
    ) -> None:
        if initial is None and type(minimum) is type(maximum) is int:
            initial = min(max(default, minimum), maximum)
        checked_count("minimum", minimum)
        checked_count("maximum", maximum)
        if minimum > maximum:
            raise InvalidOptionError("minimum", f"is {minimum}, above the maximum of {maximum}")
        initial = checked_count("initial", initial)
        if not minimum <= initial <= maximum:
            raise InvalidOptionError("initial", f"must be from {minimum} to {maximum}, but is {initial}")
        if drops is not None and (
            not callable(drops) or isinstance(drops, type) or inspect.iscoroutinefunction(drops)
        ):
            raise InvalidOptionError(
                "drops",
                f"must be a plain function of an exception, but is {drops!r:.50}",
                "Write drops=lambda error: isinstance(error, Throttled).",
            )
        self.minimum: Final[int] = minimum
        self.maximum: Final[int] = maximum
        self.current: int = initial
        self._exact: float = float(initial)
        self._drops: Final[Callable[[BaseException], bool]] = is_overload if drops is None else drops
        # Records in flight at the last change that have not ended: they tell of the limit before it.
        self._settling: int = 0

    def is_drop(self, error: BaseException) -> bool:
        """Whether what a handler raised means that too much was in flight."""
        return self._drops(error)

    def move(self, to: float) -> None:
        """Set the limit, within its bounds."""
        self._exact = min(max(to, self.minimum), self.maximum)
        self.current = int(self._exact + 0.5)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.current}, {self.minimum} to {self.maximum}>"


def checked_count(name: str, value: Any) -> int:
    """A number of records.

    Raises:
        InvalidOptionError: it is no whole number from 1 to a million.
    """
    if type(value) is not int or not 1 <= value <= _MOST:
        raise InvalidOptionError(name, f"must be a whole number from 1 to {_MOST:,}, but is {shown(value)}")
    return value


def checked_number(
    name: str, value: Any, above: float, below: float = math.inf, *, most: float | None = None
) -> float:
    """A number within a range.

    Args:
        name: Of the option.
        value: Whatever it is.
        above: It has to be above this.
        below: And below this.
        most: Or at most this, in place of ``below``.

    Raises:
        InvalidOptionError: it is out of range, or no number.
    """
    is_number = type(value) is float or (type(value) is int and value <= sys.float_info.max)
    if is_number and value > above and (value < below if most is None else value <= most):
        return float(value)
    wanted = f"between {above:g} and {below:g}"
    if most is not None:
        wanted = f"from above {above:g} to {most:g}"
    elif below == math.inf:
        wanted = f"above {above:g}"
    raise InvalidOptionError(name, f"must be a number {wanted}, but is {shown(value)}")
