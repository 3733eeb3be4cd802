"""Record handlers that do what a test says: succeed, fail, hang, or misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from asyncbatch._errors import InvalidOptionError
from asyncbatch.testing._labels import Label, payload_text
from asyncbatch.testing._virtual_loop import VirtualLoop

Fate = Callable[[Any], Awaitable[object]]
"""What becomes of a record when it is delivered: any async function of it, and those that this module makes."""


def succeed(*, after: float = 0.0) -> Fate:
    """Return.

    Args:
        after: Seconds to wait first; with 0 the handler never waits.
    """

    async def fate(_: Any) -> None:
        if after:
            await asyncio.sleep(after)

    return fate


def fail(error: Callable[[], BaseException] = lambda: ValueError("scripted"), *, after: float = 0.0) -> Fate:
    """Raise.

    Args:
        error: Makes what is raised: an exception class, or a function.
        after: Seconds to wait first; with 0 the handler never waits.
    """

    async def fate(_: Any) -> None:
        if after:
            await asyncio.sleep(after)
        raise error()

    return fate


def hang() -> Fate:
    """Never end, but when cancelled."""

    async def fate(_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    return fate


def swallow_cancellation(seconds: float = 0.0) -> Fate:
    """Hang; when cancelled, go on for a while, whatever else cancels it, and return as if nothing had been.

    Args:
        seconds: How long it goes on.
    """

    async def fate(record: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await hang()(record)
        await _persist(seconds)

    return fate


def clean_up(seconds: float) -> Fate:
    """Hang; when cancelled, clean up for a while, whatever else cancels it, and be cancelled then.

    Args:
        seconds: How long that takes.
    """

    async def fate(record: Any) -> None:
        try:
            await hang()(record)
        finally:
            await _persist(seconds)

    return fate


def block(seconds: float) -> Fate:
    """Hold the event loop, as code does that waits without ``await``; then return.

    Args:
        seconds: How long: of virtual time on a virtual loop, of real time elsewhere.
    """

    async def fate(_: Any) -> None:
        loop = asyncio.get_running_loop()
        if isinstance(loop, VirtualLoop):
            loop.hold(seconds)
        else:
            time.sleep(seconds)  # noqa: ASYNC251 - to block is what it is for

    return fate


async def _persist(seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (left := end - loop.time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(left)


def scripted(
    script: Mapping[str, Fate | list[Fate]],
    *,
    otherwise: Fate | None = None,
    label: Label | None = None,
) -> Fate:
    """Make a record handler of what is to become of each record.

    Args:
        script: A fate for each label, for all deliveries of the record; or a list of them, one for each delivery.
        otherwise: The fate of a record that is not in the script, and of deliveries beyond it; None to succeed.
        label: A function of a record: its label. None for its payload as text.

    Raises:
        InvalidOptionError: a fate is no function.
    """
    usual = otherwise or succeed()
    plays = {name: _play(name, fates, usual) for name, fates in script.items()}
    of = label or payload_text

    async def handler(record: Any) -> object:
        play = plays.get(of(record))
        fate = usual if play is None else next(play)
        return await fate(record)

    return handler


def _play(name: str, fates: Any, usual: Fate) -> Iterator[Fate]:
    one_each = type(fates) in {list, tuple}
    first: list[Any] = list(fates) if one_each else [fates]
    if not all(map(callable, first)):
        raise InvalidOptionError(
            "script", f"has something for {name!r} that is no async function of a record", "Try succeed()."
        )
    return itertools.chain(first, itertools.repeat(usual if one_each else fates))
