"""Results that are no success, because they stand for work that has yet to be done."""

# A handler may return anything.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, starmap
from types import AsyncGeneratorType, CoroutineType, GeneratorType, NoneType
from typing import Any, Final

from asyncbatch._raised import is_ctrl_c, type_name

PLAIN_TYPES: Final = frozenset({NoneType, str, int, float, bool, bytes})
"""The usual types of results that cannot stand for work."""
CONTAINER_TYPES: Final = frozenset({list, dict, tuple})
"""The usual types of results that can, by their parts alone."""


def _keys_and_values(mapping: dict[Any, Any]) -> Iterator[Any]:
    return chain(dict.keys(mapping), dict.values(mapping))


# How the parts of a container are read. The base classes are asked: somebody's own class may iterate for ever.
_READERS: Final[dict[type, Callable[[Any], Iterable[Any]]]] = {
    list: list.__iter__,
    dict: _keys_and_values,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
    deque: deque.__iter__,
}
_CONTAINERS: Final = tuple(_READERS)
# Not looked into where they are parts themselves.
_HARMLESS_PARTS: Final = PLAIN_TYPES | _READERS.keys()

_ITERATE: Final = "that nothing iterated over: is there a `yield` by mistake?"
_AWAIT: Final = "that nothing awaited: is an `await` missing?"
_CALL: Final = "that nothing iterated over: its function was not called"
_GENERATORS: Final = frozenset({GeneratorType, AsyncGeneratorType})
_LAZY: Final = (map, filter, starmap)
_OF_FUTURES: Final = "add_done_callback"


def undone_work(result: object) -> str | None:
    """What a result is that cannot be success, because it stands for work that was never done, or has failed.

    That is a coroutine, a generator or anything else that can be awaited, a `map`, and a future that is pending,
    was cancelled or has failed; also where they are the parts of a list, a dict or another of Python's containers.
    Coroutines and generators that never began are closed here, so that Python does not complain of them later.
    Others are left as they are: one that has begun may go on for ever when it is closed.

    Args:
        result: What a handler, or a key function, returned.

    Returns:
        A text that names it; None for any plain value.
    """
    kind = type(result)
    if kind in PLAIN_TYPES:
        return None
    read = _READERS.get(kind) or _reader(kind)
    if read is None:
        return _undone(result) if _may_be_undone(kind) else None
    if _HARMLESS_PARTS.issuperset(map(type, read(result))):  # a large list is told quickly as well
        return None
    suspects = {each for each in set(map(type, read(result))) if _may_be_undone(each)}
    texts = [
        _undone(part) for part in read(result) if type(part) in suspects
    ]  # all of them: this closes them
    first = next(filter(None, texts), None)
    return None if first is None else f"a {type_name(result)} with {first}"


def _reader(kind: type) -> Callable[[Any], Iterable[Any]] | None:
    if not issubclass(kind, _CONTAINERS):
        return None
    return next(read for base, read in _READERS.items() if issubclass(kind, base))


# --- a single value -----------------------------------------------------------------------------------

_mro: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_namespace: Final[Callable[[type], Any]] = type.__dict__["__dict__"].__get__


def _has(kind: type, *methods: str) -> bool:
    """Whether a class has one of these methods, without asking its metaclass."""
    for base in _mro(kind):
        namespace = _namespace(base)
        for method in methods:
            if method in namespace:
                return True
    return False


def _may_be_undone(kind: type) -> bool:
    """Whether values of a class can stand for work."""
    return kind in _GENERATORS or issubclass(kind, _LAZY) or _has(kind, "__await__", _OF_FUTURES)


def _is_future(kind: type) -> bool:
    """Whether values of a class are futures: asyncio's and its tasks, those of executors, gRPC's."""
    return _has(kind, _OF_FUTURES)


def _undone(value: Any) -> str | None:
    """What a single value is, of a class that can stand for work; None for a future that is done well."""
    kind = type(value)
    if _is_future(kind):
        missing = _problem_of(value, awaitable=_has(kind, "__await__"))
    elif issubclass(kind, _LAZY):
        missing = _CALL
    elif kind in _GENERATORS:
        missing = _ITERATE
    else:
        missing = _AWAIT
    _close(value)
    return None if missing is None else f"a {type_name(value)} {missing}"


def _close(value: object) -> None:
    if type(value) is CoroutineType:
        never_began = inspect.getcoroutinestate(value) == inspect.CORO_CREATED
    elif type(value) is GeneratorType:
        never_began = inspect.getgeneratorstate(value) == inspect.GEN_CREATED
    else:
        return
    if never_began:
        value.close()


def _problem_of(future: Any, *, awaitable: bool) -> str | None:
    """What keeps a future from standing for work that is done."""
    try:
        if not future.done():
            return _AWAIT if awaitable else "that is not done: is a call of its `result()` missing?"
        if future.cancelled():
            return "that was cancelled"
        error = future.exception()
        if error is not None:
            return f"that failed with {type_name(error)}"
        value = future.result()
    except BaseException as raised:
        if is_ctrl_c(raised):
            raise
        return "that does not tell whether it is done"
    kind = type(value)
    if not _may_be_undone(kind) or _is_future(kind):  # one that holds another may hold itself
        return None
    return f"that holds {_undone(value)}"
