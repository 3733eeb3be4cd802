"""Fates: what a record's handler does in a simulated history."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import anyio

STUBBORN_SECONDS = 50.0
CLEANUP_SECONDS = 0.8
NEVER = 1e9


@dataclass(frozen=True)
class Fate:
    kind: str
    seconds: float = 0.0
    """Work in all, spread evenly over the suspensions; a handler that never suspends takes no time."""
    suspensions: int = 1

    @property
    def work(self):
        return self.seconds if self.suspensions else 0.0


@dataclass
class Body:
    """What a fate may do: work, and say that it is done well."""

    fate: Fate
    pause: Callable[[float], Coroutine[None, None, None]]
    done_well: Callable[[], None]
    left_behind: object = None
    """Keeps a task alive."""

    async def work(self):
        for _ in range(self.fate.suspensions):
            await self.pause(self.fate.seconds / self.fate.suspensions)


async def ok(body):
    await body.work()
    body.done_well()


async def ok_in_asyncio_timeout(body):
    async with asyncio.timeout(NEVER):
        await body.work()
    body.done_well()


async def ok_in_fail_after(body):
    with anyio.fail_after(NEVER):
        await body.work()
    body.done_well()


async def ok_in_task_group(body):
    async with anyio.create_task_group() as group:
        group.start_soon(body.work)
    body.done_well()


async def ok_after_own_timeout(body):
    try:
        async with asyncio.timeout(0.05):
            await body.pause(NEVER)
    except TimeoutError:
        await body.work()
        body.done_well()


async def ok_returns_an_error(body):
    await body.work()
    body.done_well()
    return ValueError("a plain value")


async def ok_then_cancelled_late(body):
    await body.work()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    loop.call_soon(task.cancel)
    loop.call_later(0.15, task.cancel)
    body.done_well()


async def ok_leaves_a_task(body):
    await body.work()
    body.left_behind = asyncio.create_task(body.pause(30.0))
    body.done_well()


async def raises(body):
    await body.work()
    raise ValueError


async def raises_cancelled(body):
    await body.work()
    raise asyncio.CancelledError


async def raises_group(body):
    await body.work()
    raise BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError()])


async def raises_exit(body):
    await body.work()
    raise SystemExit(1)


async def raises_generator_exit(body):
    await body.work()
    raise GeneratorExit


async def cancels_itself_and_returns(body):
    await body.work()
    asyncio.current_task().cancel()


async def cancels_itself_and_waits(body):
    await body.work()
    asyncio.current_task().cancel()
    await body.pause(1.0)
    body.done_well()


async def awaits_a_cancelled_task(body):
    await body.work()
    inner = asyncio.ensure_future(asyncio.sleep(5))
    inner.cancel()
    await inner


async def returns_a_coroutine(body):
    await body.work()
    return body.work()


async def hangs(body):
    await body.work()
    await body.pause(NEVER)


async def swallows_one_cancel(body):
    await body.work()
    try:
        await body.pause(NEVER)
    except asyncio.CancelledError:
        await body.pause(30.0)


async def swallows_and_returns(body):
    await body.work()
    try:
        await body.pause(NEVER)
    except asyncio.CancelledError:
        return


async def withdraws_the_cancel(body):
    await body.work()
    try:
        await body.pause(NEVER)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()


async def swallows_all(body):
    await body.work()
    loop = asyncio.get_running_loop()
    end = loop.time() + STUBBORN_SECONDS
    while loop.time() < end:
        try:
            await body.pause(end - loop.time())
        except asyncio.CancelledError:
            continue


async def cleans_up_shielded(body):
    await body.work()
    try:
        await body.pause(NEVER)
    finally:
        await asyncio.shield(asyncio.ensure_future(asyncio.sleep(CLEANUP_SECONDS)))


GOOD = (
    ok,
    ok_in_asyncio_timeout,
    ok_in_fail_after,
    ok_in_task_group,
    ok_after_own_timeout,
    ok_returns_an_error,
    ok_then_cancelled_late,
    ok_leaves_a_task,
)
FAILING = (
    raises,
    raises_cancelled,
    raises_group,
    raises_exit,
    raises_generator_exit,
    cancels_itself_and_returns,
    cancels_itself_and_waits,
    awaits_a_cancelled_task,
    returns_a_coroutine,
)
ENDLESS = (
    hangs,
    swallows_one_cancel,
    swallows_and_returns,
    withdraws_the_cancel,
    swallows_all,
    cleans_up_shielded,
)
BY_KIND = {each.__name__: each for each in GOOD + FAILING + ENDLESS}
GOOD_KINDS = {each.__name__ for each in GOOD}
ENDS_AT_SECOND_CANCEL = {"swallows_one_cancel", "cleans_up_shielded"}
STUBBORN = {"swallows_all"}
