"""A handler that takes as long as somebody's records were measured to take, for the virtual clock."""

from __future__ import annotations

import asyncio
import json
import math
import random
from bisect import bisect_left
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


def simulated_handler(
    measured: Measured, source: EventSource | None = None, *, seed: int = 0
) -> BatchHandler[Any]:
    """A handler that sleeps as long as a measured record took.

    Between two numbers in flight that were measured it draws from both, from the nearer more often. Beyond the
    last, records take longer in proportion: no more throughput than was seen is made up. Where there is only one
    number, nothing is known of others, and latencies stay as they are.

    Args:
        measured: The latencies.
        source: The event source; None to detect it.
        seed: What they are drawn from.
    """
    rng = random.Random(seed)  # noqa: S311 - a simulation
    limits = sorted(measured)
    in_flight = 0

    def draw() -> float:
        above = bisect_left(limits, in_flight)
        if above == len(limits):
            stretch = in_flight / limits[-1] if len(limits) > 1 else 1.0
            return stretch * rng.choice(measured[limits[-1]])
        if above and rng.random() * (limits[above] - limits[above - 1]) > in_flight - limits[above - 1]:
            above -= 1
        return rng.choice(measured[limits[above]])

    @batch_handler(source=source)
    async def handler(_: object) -> None:
        nonlocal in_flight
        in_flight += 1
        try:
            # Those that start with it are in flight, too: the first of a batch would else be the only one.
            await asyncio.sleep(0)
            await asyncio.sleep(draw())
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
