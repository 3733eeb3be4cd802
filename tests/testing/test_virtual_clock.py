"""The virtual clock: exact time, named deadlocks, seeded order, nothing from outside."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from asyncbatch.testing import (
    DeadlockError,
    LeftoverTaskError,
    LivelockError,
    NotSimulatedError,
    VirtualLoop,
    run_virtual,
)

pytestmark = pytest.mark.filterwarnings("error")


def now() -> float:
    return asyncio.get_running_loop().time()


def test_time_jumps_and_is_exact() -> None:
    async def main() -> list[float]:
        times = []
        for seconds in (3600.0, 0.1, 1e9, 0.001, 0.0):
            await asyncio.sleep(seconds)
            times.append(now())
        return times

    began = time.monotonic()
    assert run_virtual(main) == [
        3600.0,
        3600.1,
        3600.1 + 1e9,
        3600.1 + 1e9 + 0.001,
        3600.1 + 1e9 + 0.001,
    ]
    assert time.monotonic() - began < 10.0


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_timers_run_in_the_order_of_their_times(seed: int | None) -> None:
    async def main() -> list[tuple[float, float]]:
        ran: list[tuple[float, float]] = []
        loop = asyncio.get_running_loop()
        for delay in (3.0, 1.0, 2.0, 2.5, 1e-6):
            loop.call_later(delay, lambda delay=delay: ran.append((delay, now())))
        await asyncio.sleep(4.0)
        return ran

    assert run_virtual(main, seed=seed) == [(d, d) for d in (1e-6, 1.0, 2.0, 2.5, 3.0)]


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_timeouts_of_asyncio_and_anyio(seed: int | None) -> None:
    async def main() -> tuple[float, float]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await asyncio.sleep(10.0)
        first = now()
        with pytest.raises(TimeoutError), anyio.fail_after(2.5):
            await anyio.sleep(10.0)
        return first, now()

    assert run_virtual(main, seed=seed) == (5.0, 7.5)


async def finishing_order(tasks: int = 12) -> list[int]:
    order: list[int] = []

    async def one(number: int) -> None:
        await asyncio.sleep(1.0)
        order.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(one(number))
    return order


def test_a_seed_shuffles_and_replays() -> None:
    orders = {seed: run_virtual(finishing_order, seed=seed) for seed in range(5)}
    assert len({tuple(order) for order in orders.values()}) == 5
    for seed, order in orders.items():
        assert sorted(order) == list(range(12))
        assert run_virtual(finishing_order(), seed=seed) == order


def test_a_seed_shuffles_timers_of_one_moment() -> None:
    async def main() -> list[int]:
        order: list[int] = []
        for number in range(12):
            asyncio.get_running_loop().call_at(1.0, order.append, number)
        await asyncio.sleep(2.0)
        return order

    assert len({tuple(run_virtual(main, seed=seed)) for seed in range(5)}) == 5


def test_what_may_be_given() -> None:
    async def main() -> str:
        return "result"

    def gathered() -> Awaitable[list[str]]:
        return asyncio.gather(main(), main())

    assert run_virtual(main) == run_virtual(main()) == "result"
    assert run_virtual(gathered) == ["result", "result"]


def test_a_deadlock_is_named() -> None:
    async def stuck() -> None:
        await asyncio.sleep(2.0)
        await asyncio.get_running_loop().create_future()

    line = stuck.__code__.co_firstlineno + 2
    with pytest.raises(DeadlockError, match=rf"deadlock at 2 s .*\n.*stuck at .*:{line}$"):
        run_virtual(stuck)


def test_a_livelock_is_named() -> None:
    async def busy() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(LivelockError, match=r"livelock at 0 s .*\n.*busy at "):
        run_virtual(busy)


async def swallow() -> None:
    for _ in range(10_000):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1.0)


@pytest.mark.parametrize("left", [lambda: asyncio.sleep(5.0), swallow], ids=["sleep", "swallow"])
def test_leftover_tasks_are_named(left: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async def leftover() -> None:
            await left()

        main.task = asyncio.create_task(leftover(), name="the one")  # type: ignore[attr-defined]  # kept alive
        await asyncio.sleep(0)

    with pytest.raises(LeftoverTaskError, match=r"still there:\n  the one: .*leftover at "):
        run_virtual(main)


def test_the_error_of_the_coroutine_comes_first() -> None:
    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(5.0))
        await asyncio.sleep(0)
        assert not task.done()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_virtual(main)


def test_async_generators_are_closed() -> None:
    closed = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(1.0)
            closed.append(now())

    async def main() -> None:
        main.kept = numbers()  # type: ignore[attr-defined]  # not to be finalised early
        async for _ in main.kept:  # type: ignore[attr-defined]
            break

    run_virtual(main)
    assert closed == [1.0]


async def connect() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def serve() -> None:
    await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)


async def run_program() -> None:
    await asyncio.create_subprocess_exec("true")


async def watch_a_socket() -> None:
    left, right = socket.socketpair()
    with left, right:
        asyncio.get_running_loop().add_reader(left, lambda: None)


async def look_a_name_up() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def use_a_thread() -> None:
    await asyncio.to_thread(lambda: None)


@pytest.mark.parametrize("main", [connect, serve, run_program, watch_a_socket, look_a_name_up, use_a_thread])
def test_the_outside_is_refused(main: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(NotSimulatedError, match="a virtual loop has no threads, no sockets"):
        run_virtual(main)


def test_call_soon_threadsafe_works_in_the_loops_own_thread_only() -> None:
    async def main() -> tuple[bool, list[BaseException]]:
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        loop.call_soon_threadsafe(called.set)
        await called.wait()
        errors: list[BaseException] = []

        def elsewhere() -> None:
            try:
                loop.call_soon_threadsafe(called.clear)
            except NotSimulatedError as error:
                errors.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return called.is_set(), errors

    called, errors = run_virtual(main)
    assert called
    assert len(errors) == 1


def test_the_loop_alone() -> None:
    loop = VirtualLoop()
    try:
        assert loop.time() == 0.0
        loop.run_until_complete(asyncio.sleep(60.0))
        assert loop.time() == 60.0
        with pytest.raises(DeadlockError, match=r"\(no task is left\)"):
            loop.run_forever()
    finally:
        loop.close()


# --- schedules ----------------------------------------------------------------------------------------


async def steps(tasks: int = 4, each: int = 12) -> list[int]:
    taken: list[int] = []

    async def one(number: int) -> None:
        for _ in range(each):
            await asyncio.sleep(0)
            taken.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(one(number))
    return taken


def longest_lead(taken: list[int]) -> int:
    """By how many steps one task was ever ahead of another."""
    counts = dict.fromkeys(taken, 0)
    lead = 0
    for number in taken:
        counts[number] += 1
        lead = max(lead, counts[number] - min(counts.values()))
    return lead


def test_priorities_let_a_task_fall_far_behind_and_a_shuffle_does_not() -> None:
    shuffled = [longest_lead(run_virtual(steps, seed=seed)) for seed in range(20)]
    by_priority = [longest_lead(run_virtual(steps, seed=seed, schedule="priorities")) for seed in range(20)]
    assert max(shuffled) <= 2
    assert min(by_priority) > 4
    assert max(by_priority) == 12


def test_priorities_replay() -> None:
    first, second = (run_virtual(steps, seed=5, schedule="priorities") for _ in range(2))
    assert first == second != run_virtual(steps, seed=6, schedule="priorities")


def test_priorities_hold_nothing_back_for_ever() -> None:
    async def main() -> list[float]:
        times: list[float] = []

        async def waits(seconds: float) -> None:
            await asyncio.sleep(seconds)
            times.append(now())

        async with asyncio.TaskGroup() as group:
            for seconds in (3.0, 1.0, 2.0, 1.0):
                group.create_task(waits(seconds))
        return times

    assert run_virtual(main, seed=1, schedule="priorities") == [1.0, 1.0, 2.0, 3.0]


def test_holding_the_loop_takes_time_in_which_nothing_runs() -> None:
    async def main() -> list[float]:
        times: list[float] = []
        loop = asyncio.get_running_loop()
        loop.call_later(1, lambda: times.append(now()))
        assert isinstance(loop, VirtualLoop)
        loop.hold(5)
        times.append(now())
        await asyncio.sleep(0)
        return times

    assert run_virtual(main) == [5, 5]
