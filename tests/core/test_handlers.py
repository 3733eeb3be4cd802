"""What may be a record handler: decided at registration, with a hint, and injected by name."""

import contextlib
import dataclasses
import functools
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import pytest

from asyncbatch import BatchEngine, InvalidHandlerError, batch_handler, threaded
from asyncbatch._handlers import bind
from asyncbatch.testing import sqs_event

EVENT = sqs_event(["1"])


def plain(record: object) -> None: ...


def generator(record: object) -> Any:
    yield


async def async_generator(record: object) -> Any:
    yield


async def good(record: object) -> None: ...


class Plain:
    def __call__(self, record: object) -> None: ...


class PlainGenerator:
    def __call__(self, record: object) -> Any:
        yield


class AsyncGenerator:
    async def __call__(self, record: object) -> Any:
        yield


class Callable_:  # noqa: N801 - the plain word is taken
    async def __call__(self, record: object) -> None: ...

    async def method(self, record: object) -> None: ...

    @classmethod
    async def class_method(cls, record: object) -> None: ...

    @staticmethod
    async def static_method(record: object) -> None: ...

    def plain_method(self, record: object) -> None: ...


class Unhashable(Callable_):
    __hash__ = None  # type: ignore[assignment]


class Slotted:
    """Cannot be referred to weakly."""

    __slots__ = ()

    async def __call__(self, record: object) -> None: ...


class Unreadable(Callable_):
    """Does not tell its parameters, like some callables written in C."""

    __signature__ = "none"


@functools.wraps(good)
def wrapper(*args: Any) -> Any:
    return good(*args)


@functools.wraps(plain)
def plain_wrapper(*args: Any) -> Any:
    return plain(*args)


@functools.wraps(async_generator)
def generator_wrapper(*args: Any) -> Any:
    return async_generator(*args)


PLAIN, GENERATOR = "a plain function", "a generator function"
REFUSED = {
    "plain": (plain, PLAIN),
    "lambda": (lambda record: None, PLAIN),
    "builtin": (print, PLAIN),
    "plain method": (Callable_().plain_method, PLAIN),
    "plain object": (Plain(), PLAIN),
    "wrapped plain": (plain_wrapper, PLAIN),
    "mock": (Mock(), PLAIN),
    "magic mock": (MagicMock(), PLAIN),
    "generator": (generator, GENERATOR),
    "async generator": (async_generator, GENERATOR),
    "generator object": (PlainGenerator(), GENERATOR),
    "async generator object": (AsyncGenerator(), GENERATOR),
    "class": (Callable_, "a class"),
    "builtin class": (dict, "a class"),
    "none": (None, "not callable"),
    "text": ("lambda_handler", "not callable"),
    "coroutine method called": (5, "not callable"),
}
ACCEPTED = {
    "function": good,
    "method": Callable_().method,
    "class method": Callable_.class_method,
    "static method": Callable_.static_method,
    "callable object": Callable_(),
    "unhashable object": Unhashable(),
    "slotted object": Slotted(),
    "object without a signature": Unreadable(),
    "plain wrapper round async": wrapper,
    "async mock": AsyncMock(return_value=None),
    "threaded": threaded(plain),
}


def partial_of(function: Any) -> Any:
    return functools.partial(functools.partial(function))


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_a_handler_is_refused_with_a_hint(name: str) -> None:
    handler, problem = REFUSED[name]
    with pytest.raises(InvalidHandlerError) as caught:
        bind(handler, has_lifespan=False)
    assert problem in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize("name", [name for name, (handler, _) in REFUSED.items() if callable(handler)])
def test_a_partial_of_it_is_refused_too(name: str) -> None:
    handler, problem = REFUSED[name]
    with pytest.raises(InvalidHandlerError) as caught:
        bind(partial_of(handler), has_lifespan=False)
    assert problem in caught.value.problem


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("wrap", [lambda handler: handler, partial_of], ids=["itself", "partial"])
def test_what_can_be_a_handler_is_called(name: str, wrap: Any) -> None:
    handler = wrap(ACCEPTED[name])
    for _ in range(2):  # the second time from what is known of it
        report = BatchEngine().run(EVENT, handler)
        assert report.all_succeeded, report.summary()


def test_a_plain_function_is_told_of_threaded_by_name() -> None:
    with pytest.raises(InvalidHandlerError) as caught:
        batch_handler(plain)
    assert str(caught.value).startswith("plain cannot be a record handler: it is a plain function")
    assert "threaded(fn)" in str(caught.value)


def test_registration_refuses_not_the_first_event() -> None:
    for register in (batch_handler, batch_handler(concurrency=2)):
        with pytest.raises(InvalidHandlerError):
            register(generator)
    with pytest.raises(InvalidHandlerError, match="an object of type Plain"):
        batch_handler(Plain())


async def test_every_entry_checks_before_it_reads_the_event() -> None:
    for entry in (BatchEngine().run, BatchEngine().process):
        with pytest.raises(InvalidHandlerError):
            await entry("no event", plain)  # type: ignore[arg-type,misc]


# --- injection ----------------------------------------------------------------------------------------


def taking(*names: str) -> Any:
    """A handler with these parameters, which returns nothing and keeps what it got."""
    got: dict[str, Any] = {}
    namespace: dict[str, Any] = {"got": got}
    exec(f"async def handler({', '.join(names)}):\n    got.update(locals())", namespace)
    handler = namespace["handler"]
    handler.got = got
    return handler


@contextlib.asynccontextmanager
async def lifespan() -> AsyncIterator[str]:
    yield "the state"


@pytest.mark.parametrize(
    "parameters",
    [
        ("record",),
        ("r", "lambda_context"),
        ("anything", "state"),
        ("record", "state", "lambda_context"),
        ("record", "lambda_context", "*", "state"),
        ("record", "*", "lambda_context=None"),
        ("record", "other=5"),
    ],
    ids=" ".join,
)
def test_parameters_are_filled_by_name(parameters: tuple[str, ...]) -> None:
    handler = taking(*parameters)
    context = object()
    report = BatchEngine(lifespan=lifespan).run(EVENT, handler, context)
    assert report.all_succeeded, report.summary()
    names = {name.partition("=")[0] for name in parameters} - {"*"}
    assert set(handler.got) == names
    first = parameters[0]
    assert handler.got[first].id == EVENT["Records"][0]["messageId"]
    if "lambda_context" in names:
        assert handler.got["lambda_context"] is context
    if "state" in names:
        assert handler.got["state"] == "the state"


def test_the_first_parameter_is_the_record_whatever_its_name() -> None:
    for name in ("state", "lambda_context"):
        handler = taking(name)
        assert BatchEngine().run(EVENT, handler).all_succeeded
        assert handler.got[name].id == EVENT["Records"][0]["messageId"]


def test_a_threaded_handler_is_injected_too() -> None:
    got: list[object] = []

    def handler(record: object, lambda_context: object) -> None:
        got.append(lambda_context)

    assert BatchEngine().run(EVENT, threaded(handler), "context").all_succeeded
    assert got == ["context"]


def test_a_bound_argument_is_not_injected_over() -> None:
    got: list[object] = []

    async def handler(mine: str, record: Any, lambda_context: object) -> None:
        got.append((mine, record.text, lambda_context))

    report = BatchEngine().run(EVENT, functools.partial(handler, "mine"), "context")
    assert report.all_succeeded, report.summary()
    assert got == [("mine", "1", "context")]


def test_a_state_without_a_lifespan_is_refused_at_registration() -> None:
    handler = taking("record", "state")
    with pytest.raises(InvalidHandlerError, match="no lifespan to take it from") as caught:
        batch_handler(handler)
    assert "lifespan=" in caught.value.hint
    with pytest.raises(InvalidHandlerError):
        BatchEngine().run(EVENT, handler)
    assert BatchEngine(lifespan=lifespan).run(EVENT, handler).all_succeeded


# --- what is remembered -------------------------------------------------------------------------------


def test_a_handler_is_not_kept_after_its_run() -> None:
    async def handler(record: object) -> None: ...

    engine = BatchEngine()
    engine.run(EVENT, handler)
    gone = weakref.ref(handler)
    del handler
    engine.run(EVENT, good)  # the last task may hold what it ran
    gc.collect()
    assert gone() is None


@dataclasses.dataclass(frozen=True)
class Tagged:
    """Equal to every other, and not the same."""

    calls: list[int] = dataclasses.field(compare=False)

    async def __call__(self, record: object) -> None:
        self.calls.append(1)


def test_equal_handlers_are_not_taken_for_one_another() -> None:
    one, two = Tagged([]), Tagged([])
    for handler in (one, two, two):
        BatchEngine().run(EVENT, handler)
    assert (len(one.calls), len(two.calls)) == (1, 2)


# --- the decorator ------------------------------------------------------------------------------------


def test_the_decorator_keeps_the_function_for_tests() -> None:
    bare, optioned = batch_handler(good), batch_handler(concurrency=7)(good)
    assert bare.handler is optioned.handler is good
    assert (bare.engine.concurrency, optioned.engine.concurrency) == (100, 7)
    assert (bare.__name__, bare.__module__, bare.__wrapped__) == ("good", __name__, good)  # type: ignore[attr-defined]
    assert repr(bare) == "<BatchHandler good>"
    assert bare(EVENT, None) == {"batchItemFailures": []}
