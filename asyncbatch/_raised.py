"""What was raised: questions about an exception that its own class cannot answer with a lie, or with an exception.

A class may define ``__bool__``, ``__len__``, ``__class__``, ``__cause__`` and the like, and a metaclass may define
``__name__``. Python's base classes are asked in place of them. Whether an exception is of some kind is asked by
``issubclass(type(error), kind)``, and whether there is one by ``is not None``: `isinstance` reads ``__class__``,
and a truth test calls ``__bool__``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType

_NAME_LIMIT: Final = 200

_name: Final[Callable[[type], str]] = type.__dict__["__name__"].__get__

cause_of: Final[Callable[[BaseException], BaseException | None]] = BaseException.__dict__["__cause__"].__get__
"""What an exception was raised from."""
context_of: Final[Callable[[BaseException], BaseException | None]] = BaseException.__dict__[
    "__context__"
].__get__
"""What was being handled when an exception was raised."""
traceback_of: Final[Callable[[BaseException], TracebackType | None]] = BaseException.__dict__[
    "__traceback__"
].__get__
"""The calls that an exception came through."""
_members: Final[Callable[[Any], tuple[BaseException, ...]]] = BaseExceptionGroup.__dict__[
    "exceptions"
].__get__


def members_of(error: BaseException) -> tuple[BaseException, ...]:
    """The exceptions in a group; none where an exception is no group."""
    return _members(error) if issubclass(type(error), BaseExceptionGroup) else ()


def class_name(kind: type) -> str:
    """The name that a class was given, at most 200 characters of it."""
    return str.__getitem__(_name(kind), slice(_NAME_LIMIT))  # a plain text, also of a subclass of str


def type_name(value: object) -> str:
    """The name of a value's class, at most 200 characters of it."""
    return class_name(type(value))


def in_lambda() -> bool:
    """Whether this is a Lambda function."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


def is_ctrl_c(error: BaseException) -> bool:
    """Whether a person stops the program by Ctrl-C. In Lambda nobody can: there it fails the record alone."""
    return issubclass(type(error), KeyboardInterrupt) and not in_lambda()


def was_raised_by_signal_handler(error: BaseException) -> bool:
    """Whether an exception came from a signal's handler, which may raise at any moment, in any code."""
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    codes = {code for handler in handlers if (code := _code_of(handler)) is not None}
    traceback = traceback_of(error)
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            return True
        traceback = traceback.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    while isinstance(handler, partial):
        handler = handler.func
    function = getattr(handler, "__func__", handler)  # a method's
    if not hasattr(function, "__code__"):
        function = type(handler).__call__
    code = getattr(function, "__code__", None)
    return code if isinstance(code, CodeType) else None
