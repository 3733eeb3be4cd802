"""Decorators for Lambda handlers that do something before the handler is called."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol, TypeVar, overload

from asyncbatch._log import Log
from asyncbatch.powertools._peers import peers_own
from asyncbatch.powertools.exceptions import MiddlewareInvalidArgumentError

logger: Final = Log("asyncbatch.powertools.decorators")

H = TypeVar("H", bound=Callable[..., Any])

_TRUE: Final = frozenset({"1", "y", "yes", "t", "true", "on"})


class Middleware(Protocol):
    """A decorator with options; without any it decorates as it stands."""

    @overload
    def __call__(self, handler: H, /) -> H: ...

    @overload
    def __call__(self, handler: None = None, /, **options: Any) -> Callable[[H], H]: ...


class PowertoolsDeprecationWarning(DeprecationWarning):
    """Says what to use instead of the deprecated decorators.

    Args:
        message: The text.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def middleware(run: Callable[..., Any]) -> Middleware:
    """Make a decorator of a function ``run(handler, event, context, **options)``; it takes keywords only."""

    @functools.wraps(run)
    def decorator(handler: Any = None, **options: Any) -> Any:
        if handler is None:
            return functools.partial(decorator, **options)
        if not inspect.isfunction(handler):
            message = (
                f"Only keyword arguments is supported for middlewares: {run.__qualname__} received {handler}"
            )
            raise _invalid_argument()(message)

        @functools.wraps(handler)
        def wrapper(event: Any, context: Any, **more: Any) -> Any:
            try:
                with _subsegment(run.__qualname__):
                    return run(handler, event, context, **options, **more)
            except Exception:
                logger.debug("an exception comes out of %s", run.__qualname__)
                raise

        return wrapper

    return decorator


def _invalid_argument() -> type[Exception]:
    module = "aws_lambda_powertools.middleware_factory.exceptions"
    return peers_own(module, "MiddlewareInvalidArgumentError", MiddlewareInvalidArgumentError)


def deprecation_warning() -> type[Warning]:
    """The class of the warnings of the deprecated decorators."""
    return peers_own(
        "aws_lambda_powertools.warnings", "PowertoolsDeprecationWarning", PowertoolsDeprecationWarning
    )


def _subsegment(name: str) -> AbstractContextManager[Any]:
    """A subsegment of Powertools' tracer, where its environment variable asks for one."""
    if os.environ.get("POWERTOOLS_TRACE_MIDDLEWARES", "").lower() not in _TRUE:
        return contextlib.nullcontext()
    try:
        from aws_lambda_powertools import Tracer  # noqa: PLC0415 - only where its user asks for it
    except ImportError:
        return contextlib.nullcontext()
    tracer: Any = Tracer(auto_patch=False)
    subsegment: AbstractContextManager[Any] = tracer.provider.in_subsegment(name=f"## {name}")
    return subsegment
