"""Which of the callbacks that are ready runs first: what asyncio does not promise, drawn from a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, MutableSequence
from typing import Any, Final, Literal, Protocol
from weakref import WeakKeyDictionary

ScheduleName = Literal["shuffle", "priorities"]

_CHANGE_EVERY: Final = 20
"""Turns between two changes of priority, on average. A history of a batch has some hundred turns."""


class Schedule(Protocol):
    """Orders what is ready in a turn of the loop."""

    def choose(self, ready: list[asyncio.Handle]) -> list[asyncio.Handle]:
        """Put `ready` into the order in which it is to run; return what has to wait for a later turn."""
        ...


class Shuffle:
    """Everything that is ready runs, in any order.

    Args:
        rng: What the order is drawn from.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def choose(self, ready: list[asyncio.Handle]) -> list[asyncio.Handle]:
        self._rng.shuffle(ready)
        return []


class Priorities:
    """One callback a turn, of the task that goes first; now and then that task falls behind all others.

    Such a schedule delays a task for as long as there is anything else to do, as no shuffle does. After Burckhardt
    and others, "A randomized scheduler with probabilistic guarantees of finding bugs", ASPLOS 2010.

    Args:
        rng: What priorities are drawn from.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._of_task: WeakKeyDictionary[asyncio.Task[Any], float] = WeakKeyDictionary()

    def choose(self, ready: list[asyncio.Handle]) -> list[asyncio.Handle]:
        first = max(ready, key=self._priority)
        task = _task_of(first)
        if task is not None and self._rng.random() < 1 / _CHANGE_EVERY:
            self._of_task[task] = -self._rng.random()
            first = max(ready, key=self._priority)
        later = [handle for handle in ready if handle is not first]
        ready[:] = [first]
        return later

    def _priority(self, handle: asyncio.Handle) -> float:
        task = _task_of(handle)
        if task is None:
            return self._rng.random()
        if task not in self._of_task:
            self._of_task[task] = self._rng.random()
        return self._of_task[task]


def _task_of(handle: asyncio.Handle) -> asyncio.Task[Any] | None:
    """The task that a callback takes a step of; None where it is another callback."""
    owner: object = getattr(getattr(handle, "_callback", None), "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None  # pyright: ignore[reportUnknownVariableType]


def schedule_of(seed: int | None, name: ScheduleName) -> Schedule | None:
    """The schedule for a seed; None keeps asyncio's own order.

    Args:
        seed: What it is drawn from; None for none.
        name: Which kind.
    """
    if seed is None:
        return None
    rng = random.Random(seed)
    return Shuffle(rng) if name == "shuffle" else Priorities(rng)


def take_turn(schedule: Schedule, ready: MutableSequence[asyncio.Handle]) -> list[asyncio.Handle]:
    """Let the schedule order a loop's queue; return what it holds back."""
    if len(ready) < 2:  # noqa: PLR2004 - one has no order
        return []
    handles = _by_birth(ready)
    later = schedule.choose(handles)
    ready.clear()
    ready.extend(handles)
    return later


def _by_birth(ready: Iterable[asyncio.Handle]) -> list[asyncio.Handle]:
    """What is ready, with tasks in the order in which they were made.

    Asyncio walks sets of tasks (a task group cancels one), whose order is that of memory addresses.
    """
    handles = list(ready)
    places = [place for place, handle in enumerate(handles) if _task_of(handle) is not None]
    for place, handle in zip(places, sorted((handles[at] for at in places), key=_birth), strict=True):
        handles[place] = handle
    return handles


def _birth(handle: asyncio.Handle) -> tuple[int, str]:
    task = _task_of(handle)
    name = "" if task is None else task.get_name()
    number = name.removeprefix("Task-")  # asyncio counts tasks that nobody named
    return (int(number), "") if number.isdigit() else (0, name)
