"""Record handlers: what may be one, and what is injected into it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast, final
from weakref import WeakKeyDictionary

from asyncbatch._errors import InvalidHandlerError
from asyncbatch._threads import ThreadedHandler

Handler = Callable[..., Awaitable[object]]


class LambdaFunction:
    """Marks what handles whole batches, and so can handle no record."""


_CONTEXT: Final = "lambda_context"
_STATE: Final = "state"


@final
class BoundHandler:
    """A checked handler.

    Args:
        handler: What the user gave.
        wants_context: It has a parameter ``lambda_context``.
        wants_state: It has a parameter ``state``.
    """

    __slots__ = ("handler", "threads", "wants_context", "wants_state")

    def __init__(self, handler: Handler, *, wants_context: bool = False, wants_state: bool = False) -> None:
        self.handler = handler
        self.wants_context = wants_context
        self.wants_state = wants_state
        function = _within_partials(handler)
        self.threads: ThreadedHandler[..., Any] | None = (
            cast("ThreadedHandler[..., Any]", function) if isinstance(function, ThreadedHandler) else None
        )
        """The handler, if it works in threads."""

    def inject(self, context: object, state: object) -> Handler:
        """The handler as a function of the record alone."""
        if not (self.wants_context or self.wants_state):
            return self.handler
        injected: dict[str, object] = {}
        if self.wants_context:
            injected[_CONTEXT] = context
        if self.wants_state:
            injected[_STATE] = state
        return partial(self.handler, **injected)


# Reading a signature takes longer than a small batch. Only what was found out is kept, not the handler.
_wants: Final[WeakKeyDictionary[Handler, tuple[bool, bool]]] = WeakKeyDictionary()


def bind(handler: Handler, *, has_lifespan: bool) -> BoundHandler:
    """Check a handler, and find out what it wants injected.

    Args:
        handler: What the user gave.
        has_lifespan: Whether there is a state to inject.

    Raises:
        InvalidHandlerError: it cannot be a record handler; the message says why and what to do.
    """
    try:
        wants = _wants.get(handler)
    except TypeError:  # a callable object that cannot be hashed, or not be referred to weakly
        wants = None
    if wants is None:
        wants = _inspect(handler)
        with contextlib.suppress(TypeError):
            _wants[handler] = wants
    wants_context, wants_state = wants
    if wants_state and not has_lifespan:
        raise InvalidHandlerError(
            _name(handler),
            "it has a parameter `state`, but the engine has no lifespan to take it from",
            "Pass lifespan=..., or give the parameter another name.",
        )
    return BoundHandler(handler, wants_context=wants_context, wants_state=wants_state)


def _inspect(handler: Handler) -> tuple[bool, bool]:
    """Whether a handler wants the context, and the state."""
    _refuse(handler)
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):  # some callables written in C do not tell
        return False, False
    if not parameters or parameters[0].kind not in _POSITIONAL:
        raise InvalidHandlerError(
            _name(handler), "it has no first parameter for the record", "Write `async def handler(record)`."
        )
    rest = parameters[1:]
    for parameter in rest:
        _refuse_unfilled(handler, parameter)
    names = {parameter.name for parameter in rest}
    return _CONTEXT in names, _STATE in names


def _refuse_unfilled(handler: Handler, parameter: inspect.Parameter) -> None:
    """Refuse a parameter that would make every call fail."""
    optional = parameter.default is not parameter.empty or parameter.kind in _VARIADIC
    if optional or parameter.name in {_CONTEXT, _STATE}:
        return
    raise InvalidHandlerError(
        _name(handler),
        f"nothing fills its parameter `{parameter.name}`",
        "A handler takes the record first, and by name `lambda_context` and `state`; others need a default.",
    )


_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _refuse(handler: object) -> None:
    """Refuse what can be told to be no async function; a hint says what would be one."""
    name = _name(handler)
    if not callable(handler):
        raise InvalidHandlerError(name, "it is not callable", "Pass an async function.")
    function = _within_partials(handler)
    whole = function.function if isinstance(function, ThreadedHandler) else function
    if isinstance(whole, LambdaFunction):
        raise InvalidHandlerError(
            name, "it handles whole batches already", "Pass the function of one record: its `.handler`."
        )
    if isinstance(function, ThreadedHandler):
        return
    if inspect.isclass(function):
        raise InvalidHandlerError(name, "it is a class", "Pass an async function.")
    if not (inspect.isroutine(function) or _is_async(function)):
        function = type(function).__call__  # a callable object
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise InvalidHandlerError(
            name,
            "it is a generator function",
            "Its body would never run: return instead of yielding.",
        )
    if not _is_async(function):
        raise InvalidHandlerError(
            name,
            "it is a plain function, which would hold up the event loop",
            "Write `async def`, or wrap it: threaded(fn) runs it in worker threads.",
        )


def _within_partials(function: Any) -> Any:
    while type(function) is partial:
        function = function.func
    return function


def _is_async(function: Any) -> bool:
    # A decorator's plain wrapper round an async function hands its coroutine on.
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(inspect.unwrap(function))


def _name(handler: object) -> str:
    return getattr(handler, "__qualname__", None) or f"an object of type {type(handler).__name__}"
