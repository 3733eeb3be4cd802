"""Exceptions whose own class raises at a question about them: handlers may raise any exception."""

from collections.abc import Callable
from typing import Any


class Escape(BaseException):
    """What no `except Exception` stops."""


def escape(*_: object, **__: object) -> Any:
    raise Escape


class TextlessError(Exception):
    """Its text escapes."""

    __str__ = __repr__ = escape


def textless(error: type[BaseException]) -> Callable[[], BaseException]:
    """An exception whose text raises an error."""

    class WithoutTextError(Exception):
        def __str__(self) -> str:
            raise error

    return WithoutTextError


class LyingType(type):
    @property
    def __name__(cls) -> Any:
        raise Escape

    __repr__ = __str__ = escape


class NamedByItsMetaclassError(Exception, metaclass=LyingType):
    """Its class does not tell its name."""


class UntrueError(Exception):
    """It has no truth, no length, and equals nothing."""

    __bool__ = __len__ = __eq__ = __hash__ = escape


class FacelessError(Exception):
    """What `isinstance` asks for escapes."""

    __class__ = property(escape)  # type: ignore[assignment]


class UnchainedError(Exception):
    """It does not tell where it comes from."""

    __cause__ = __context__ = __suppress_context__ = property(escape)  # type: ignore[assignment]


class UntracedError(Exception):
    """It does not tell where it was raised."""

    __traceback__ = property(escape)  # type: ignore[assignment]


class UnnotedError(Exception):
    """It does not tell its notes."""

    __notes__ = property(escape)


class ClosedGroup(ExceptionGroup[Exception]):
    """It does not tell its members."""

    exceptions = property(escape)  # type: ignore[assignment]


class ValidationError(Exception):
    """It is called as pydantic's is, and tells nothing."""

    title = errors = property(escape)


class UnreadableError(Exception):
    """It tells nothing at all."""

    def __getattribute__(self, name: str) -> Any:
        raise Escape


HOSTILE: dict[str, Callable[[], BaseException]] = {
    "its text": TextlessError,
    "its text exits": textless(SystemExit),
    "its text is a Ctrl-C": textless(KeyboardInterrupt),
    "the name of its class": NamedByItsMetaclassError,
    "its truth": UntrueError,
    "its class": FacelessError,
    "its cause": UnchainedError,
    "its traceback": UntracedError,
    "its notes": UnnotedError,
    "its members": lambda: ClosedGroup("closed", [ValueError()]),
    "what is wrong": ValidationError,
    "every attribute": UnreadableError,
}
"""By the question at which each raises."""


def raise_hostile(name: str) -> None:
    make = HOSTILE[name]
    raise make()
