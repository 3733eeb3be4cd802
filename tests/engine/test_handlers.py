"""What may be a record handler, and what is injected into it."""

import asyncio
import functools
import gc
import inspect
import weakref
from functools import partial

import pytest

from asyncbatch import BatchEngine, InvalidHandlerError, batch_handler, threaded
from asyncbatch.testing import LambdaContext, sqs_event

EVENT = sqs_event(["a"])


def plain(record):
    pass


def generator(record):
    yield


async def async_generator(record):
    yield


class Callable:
    async def __call__(self, record):
        return None


class PlainCallable:
    def __call__(self, record):
        return None


class GeneratorCallable:
    def __call__(self, record):
        yield


class Unhashable(Callable):
    __hash__ = None


class Slotted(Callable):
    __slots__ = ()


REFUSED = {
    "a plain function": (plain, r"threaded\(fn\)"),
    "a lambda": (lambda record: None, r"threaded\(fn\)"),
    "a generator function": (generator, "never run"),
    "an async generator function": (async_generator, "never run"),
    "a partial of a plain function": (partial(plain), r"threaded\(fn\)"),
    "a partial of a generator function": (partial(partial(generator)), "never run"),
    "a callable object": (PlainCallable(), r"threaded\(fn\)"),
    "a callable generator object": (GeneratorCallable(), "never run"),
    "a class": (Callable, "it is a class"),
    "no callable": (42, "not callable"),
    "a builtin": (print, r"threaded\(fn\)"),
    "a coroutine": (None, "not callable"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_can_be_told_to_be_no_async_function_is_refused_at_registration(row):
    handler, text = REFUSED[row]
    with pytest.raises(InvalidHandlerError, match=text):
        batch_handler()(handler)
    with pytest.raises(InvalidHandlerError, match=text):
        BatchEngine().run(EVENT, handler)
    with pytest.raises(InvalidHandlerError, match=text):
        asyncio.run(BatchEngine().process(EVENT, handler))


async def plain_async(record):
    return None


async def with_option(option, record):
    return None


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


ACCEPTED = {
    "an async function": plain_async,
    "a partial": partial(with_option, "option"),
    "a callable object": Callable(),
    "an object that cannot be hashed": Unhashable(),
    "an object that cannot be referred to weakly": Slotted(),
    "a bound method": Callable().__call__,
    "a decorator's plain wrapper": wrapped(plain_async),
    "threads": threaded(plain),
    "a batch handler's own handler": batch_handler(plain_async).handler,
}


@pytest.mark.parametrize("row", ACCEPTED)
def test_async_functions_of_every_make_are_handlers(row):
    for _ in range(2):
        assert BatchEngine().run(EVENT, ACCEPTED[row]).all_succeeded


def test_a_handler_without_a_signature_gets_the_record_alone():
    class Opaque:
        __signature__ = "none"

        async def __call__(self, *args, **kwargs):
            seen.append((len(args), kwargs))

    seen = []
    assert BatchEngine().run(EVENT, Opaque(), LambdaContext()).all_succeeded
    assert seen == [(1, {})]


def test_arguments_are_injected_by_name():
    seen = []

    async def handler(lambda_context, state=1):  # the first one is the record, whatever its name
        seen.append((lambda_context.text, state))

    async def wants_context(record, *, lambda_context):
        seen.append(lambda_context)

    context = LambdaContext()
    with pytest.raises(InvalidHandlerError, match="`state`"):
        BatchEngine().run(EVENT, handler, context)
    BatchEngine().run(EVENT, wants_context, context)
    BatchEngine().run(EVENT, wants_context)
    assert seen == [context, None]


def test_handlers_are_not_kept():
    async def handler(record):
        pass

    BatchEngine().run(EVENT, handler)
    reference = weakref.ref(handler)
    del handler
    gc.collect()
    assert reference() is None


def test_the_decorated_object_says_what_it_is():
    @batch_handler(concurrency=7)
    async def lambda_handler(record):
        """Charge."""

    assert lambda_handler.__name__ == "lambda_handler"
    assert lambda_handler.__doc__ == "Charge."
    assert lambda_handler.engine.concurrency == 7
    assert "lambda_handler" in repr(lambda_handler)
    assert inspect.iscoroutinefunction(lambda_handler.handler)
    assert lambda_handler(EVENT) == {"batchItemFailures": []}
    assert lambda_handler.run(EVENT).all_succeeded
    assert asyncio.run(lambda_handler.process(EVENT, deadline=5)).all_succeeded
