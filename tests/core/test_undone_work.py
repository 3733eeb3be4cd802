"""What has yet to run is no success: which results are told to stand for work undone, and which are plain."""

import asyncio
import concurrent.futures
import inspect
import itertools
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch._undone import undone_work


async def coroutine() -> None: ...


def generator() -> Any:
    yield


async def async_generator() -> Any:
    yield


class Promise:
    def __await__(self) -> Any:
        yield


AWAIT = "that nothing awaited: is an `await` missing?"
ITERATE = "that nothing iterated over: is there a `yield` by mistake?"
CALL = "that nothing iterated over: its function was not called"

UNDONE: dict[str, tuple[Callable[[], Any], str]] = {
    "coroutine": (coroutine, f"a coroutine {AWAIT}"),
    "awaitable": (Promise, f"a Promise {AWAIT}"),
    "generator": (generator, f"a generator {ITERATE}"),
    "async generator": (async_generator, f"a async_generator {ITERATE}"),
    "map": (lambda: map(int, "12"), f"a map {CALL}"),
    "filter": (lambda: filter(int, "12"), f"a filter {CALL}"),
    "starmap": (lambda: itertools.starmap(int, [("1", 8)]), f"a starmap {CALL}"),
    "future of an executor": (
        concurrent.futures.Future,
        "a Future that is not done: is a call of its `result()` missing?",
    ),
}


@pytest.mark.parametrize("name", UNDONE)
def test_work_undone_is_named_and_told_what_is_missing(name: str) -> None:
    make, text = UNDONE[name]
    assert undone_work(make()) == text


Row = namedtuple("Row", "first second")  # noqa: PYI024 - also of a class that collections made


class OwnDict(dict[Any, Any]):
    """A dict that says nothing of its items."""

    def __iter__(self) -> Any:
        return iter(())

    items = values = keys = __iter__


class EndlessList(list[Any]):
    def __iter__(self) -> Any:
        return itertools.repeat(1)


CONTAINERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "list": (lambda part: [1, part], "list"),
    "tuple": (lambda part: ("x", part), "tuple"),
    "dict": (lambda part: {"status": 200, "body": part}, "dict"),
    "keys of a dict": (lambda part: {part: "https://example.org"}, "dict"),
    "set": (lambda part: {part}, "set"),
    "frozenset": (lambda part: frozenset({part}), "frozenset"),
    "deque": (lambda part: deque([part]), "deque"),
    "named tuple": (lambda part: Row(1, part), "Row"),
    "defaultdict": (lambda part: defaultdict(list, part=part), "defaultdict"),
    "OrderedDict": (lambda part: OrderedDict(part=part), "OrderedDict"),
    "Counter": (lambda part: Counter({part: 1}), "Counter"),
    "dict of its own kind": (lambda part: OwnDict(part=part), "OwnDict"),
    "list of its own kind": (lambda part: EndlessList([part]), "EndlessList"),
    "large list": (lambda part: [*range(100_000), part], "list"),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("name", UNDONE)
def test_work_undone_inside_a_container_is_refused(container: str, name: str) -> None:
    wrap, kind = CONTAINERS[container]
    make, text = UNDONE[name]
    assert undone_work(wrap(make())) == f"a {kind} with {text}"


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_of_plain_values_is_no_work_undone(container: str) -> None:
    assert undone_work(CONTAINERS[container][0]("plain")) is None


PLAIN: list[object] = [None, "text", 1, [], (), {}, set(), iter([]), coroutine, generator, range(3), object()]


@pytest.mark.parametrize("result", [*PLAIN, PLAIN, Row(1, [2])])
def test_any_plain_value_is_no_work_undone(result: object) -> None:
    assert undone_work(result) is None


def test_what_lies_deeper_is_not_looked_for() -> None:
    assert undone_work([[map(int, "1")]]) is None


# --- futures ------------------------------------------------------------------------------------------


class Silent(concurrent.futures.Future[Any]):
    def done(self) -> bool:
        raise SystemExit


def executors(**fate: Any) -> concurrent.futures.Future[Any]:
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    if "error" in fate:
        future.set_exception(fate["error"])
    elif "result" in fate:
        future.set_result(fate["result"])
    else:
        assert future.cancel()
    return future


async def asyncios(**fate: Any) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    if "error" in fate:
        future.set_exception(fate["error"])
    elif "result" in fate:
        future.set_result(fate["result"])
    else:
        future.cancel()
    return future


FATES: dict[str, tuple[Callable[[], dict[str, Any]], str | None]] = {
    "done": (lambda: {"result": 5}, None),
    "done with a list": (lambda: {"result": [5]}, None),
    "done with a coroutine": (lambda: {"result": coroutine()}, f"a Future that holds a coroutine {AWAIT}"),
    "failed": (lambda: {"error": KeyError("MARKER")}, "a Future that failed with KeyError"),
    "cancelled": (dict, "a Future that was cancelled"),
}


@pytest.mark.parametrize("fate", FATES)
async def test_a_future_stands_for_work_done_only_if_it_has_a_result(fate: str) -> None:
    make, text = FATES[fate]
    for future in (executors(**make()), await asyncios(**make())):
        assert undone_work(future) == text
    for future in (executors(**make()), await asyncios(**make())):
        assert undone_work([future, 1]) == (None if text is None else f"a list with {text}")


async def test_a_task_stands_for_its_work() -> None:
    task = asyncio.ensure_future(asyncio.sleep(0, "slept"))
    assert undone_work(task) == f"a Task {AWAIT}"
    assert undone_work({task}) == f"a set with a Task {AWAIT}"
    await task
    assert undone_work({task}) is None


def test_a_future_that_holds_itself_ends() -> None:
    future: concurrent.futures.Future[Any] = concurrent.futures.Future()
    future.set_result(future)
    assert undone_work(future) is None


def test_a_future_that_does_not_tell_is_not_trusted() -> None:
    assert undone_work([Silent()]) == "a list with a Silent that does not tell whether it is done"


def test_ctrl_c_while_a_future_is_asked_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(concurrent.futures.Future[Any]):
        def done(self) -> bool:
            raise KeyboardInterrupt

    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    with pytest.raises(KeyboardInterrupt):
        undone_work(Interrupted())


# --- what is closed -----------------------------------------------------------------------------------


def test_all_coroutines_and_generators_that_never_began_are_closed() -> None:
    coroutines, generators = [coroutine() for _ in range(3)], [generator() for _ in range(3)]
    undone_work(
        (*coroutines, *generators)
    )  # else Python would warn of the coroutines, and a warning is an error
    assert {inspect.getcoroutinestate(each) for each in coroutines} == {inspect.CORO_CLOSED}
    assert {inspect.getgeneratorstate(each) for each in generators} == {inspect.GEN_CLOSED}


class Swallowed(BaseException):
    """What ends the test in place of a loop without end."""


def test_what_has_begun_is_left_as_it_is() -> None:
    """Closing it would resume it with GeneratorExit, which it may swallow, and go on for ever."""

    def begun() -> Any:
        try:
            yield
        except GeneratorExit:
            raise Swallowed from None

    async def waits() -> None:
        await Promise()

    one = begun()
    next(one)
    assert undone_work(one) == f"a generator {ITERATE}"
    assert inspect.getgeneratorstate(one) == inspect.GEN_SUSPENDED
    two = waits()
    two.send(None)
    assert undone_work([two]) == f"a list with a coroutine {AWAIT}"
    assert inspect.getcoroutinestate(two) == inspect.CORO_SUSPENDED
    two.close()
    with pytest.raises(Swallowed):
        one.close()


# --- classes that lie ---------------------------------------------------------------------------------


class Reflected(type):
    """A metaclass that answers for its classes."""

    def __getattribute__(cls, name: str) -> Any:
        raise Swallowed


def test_a_class_is_asked_without_its_metaclass() -> None:
    class Odd(metaclass=Reflected):
        def __await__(self) -> Any:
            yield

    assert undone_work(Odd()) == f"a Odd {AWAIT}"
    assert undone_work([Odd()]) == f"a list with a Odd {AWAIT}"
