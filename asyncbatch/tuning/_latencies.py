"""A handler that takes as long as somebody's records were measured to take, for the virtual clock."""

from __future__ import annotations

import asyncio
import json
import math
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from asyncbatch import AsyncBatchError, BatchHandler, EventSource, batch_handler

Measured = Mapping[int, Sequence[float]]
"""Seconds per record, by how many were in flight when they were measured."""

_SHAPES: Final = (
    'one number per line, [0.12, ...], or by how many were in flight {"1": [0.1, ...], "8": [...]}'
)


class LatenciesError(AsyncBatchError):
    """Raised when a text holds no latencies.

    Args:
        problem: What is wrong, and where.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        """Say what is wrong, and what is wanted."""
        return f"{self.problem} Latencies are seconds: {_SHAPES}."


def read_latencies(text: str) -> Measured:
    """Read measured latencies.

    Args:
        text: One number of seconds per line; or JSON: a list of them, or an object of lists, by how many records
            were in flight.

    Raises:
        LatenciesError: it is something else.
    """
    if not text.lstrip().startswith(("[", "{")):
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
        return _checked({1: [_number(line, f"line {number}") for number, line in lines if line]})
    try:
        found: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise LatenciesError(f"It is not JSON: {error.msg} (line {error.lineno}).") from None
    if isinstance(found, dict):
        by_limit = cast("dict[str, object]", found)
        return _checked({_limit(name): _list(each, f"{name!r}") for name, each in by_limit.items()})
    return _checked({1: _list(found, "the list")})


def simulated_handler(measured: Measured, source: EventSource | None, *, seed: int) -> BatchHandler[Any]:
    """A handler that sleeps as long as a measured record took.

    Where latencies were measured with several numbers in flight, those of the largest number that is not more than
    what is in flight are drawn from; so throughput is what Little's law makes of them.

    Args:
        measured: The latencies.
        source: The event source; None to detect it.
        seed: What they are drawn from.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    limits = sorted(measured)
    in_flight = 0

    @batch_handler(source=source)
    async def handler(_: object) -> None:
        nonlocal in_flight
        in_flight += 1
        try:
            # As one of a full house: the first of a batch would else find nobody else in flight yet.
            await asyncio.sleep(0)
            at = max(0, bisect_right(limits, in_flight) - 1)
            await asyncio.sleep(rng.choice(measured[limits[at]]))
        finally:
            in_flight -= 1

    return handler


def _checked(measured: Measured) -> Measured:
    if not measured or not all(measured.values()):
        raise LatenciesError("There are no numbers.")
    return measured


def _limit(name: str) -> int:
    if not name.isdecimal() or int(name) < 1:
        raise LatenciesError(f"{name!r} is no number of records in flight.")
    return int(name)


def _list(value: object, place: str) -> list[float]:
    if not isinstance(value, list):
        raise LatenciesError(f"{place} must be a list of numbers.")
    items = cast("list[object]", value)
    return [_number(each, f"{place}, item {number}") for number, each in enumerate(items)]


def _number(value: object, place: str) -> float:
    try:
        seconds = float(cast("str", value))
    except (TypeError, ValueError):
        seconds = math.nan
    if isinstance(value, bool) or not 0 <= seconds < math.inf:
        raise LatenciesError(f"{value!r:.40} ({place}) is no number of seconds.")
    return seconds
