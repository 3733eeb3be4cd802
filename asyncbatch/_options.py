"""The engine's options: one immutable value, checked when it is made."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from asyncbatch._errors import InvalidOptionError, shown
from asyncbatch._lanes import KeyFunction, refuse_illegal
from asyncbatch._lifespan import Lifespan
from asyncbatch._report import RaiseOnFailure
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch._sources import EventSource, FailureScope, Ordering, rules_of

if TYPE_CHECKING:
    from asyncbatch._records import Payload
    from asyncbatch.hooks import Hook
    from asyncbatch.limits import Limit, RateLimit

DEFAULT_LIMIT: Final = 100
DEFAULT_GRACE: Final = 0.1
# The default margin before Lambda's deadline: a tenth of the time that is left, within these bounds (s). It
# covers the grace, the report, its JSON, the post to the runtime's API, and extensions.
MARGIN_SHARE: Final = 0.1
MARGIN_BOUNDS: Final = (0.3, 2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Options:
    """What an engine was asked to do; `dataclasses.replace` gives a copy with other options.

    Each option is described at `BatchEngine`. ``eager``, ``reader`` and ``rate`` are the package's own: whether
    tasks are started eagerly, how the model reads payloads, and what ``rate_limit`` came to.

    Raises:
        InvalidOptionError: an option, or two together, would break a rule; the message says which.
    """

    concurrency: int | Limit = DEFAULT_LIMIT
    rate_limit: float | RateLimit | None = None
    ordering: Ordering | KeyFunction | None = None
    failure_scope: FailureScope | None = None
    record_timeout: float | None = None
    deadline_margin: float | None = None
    grace: float = DEFAULT_GRACE
    model: Any = None
    raise_on_failure: RaiseOnFailure | None = None
    lifespan: Lifespan | None = None
    guard_blocking: bool = False
    hooks: Sequence[Hook] = ()
    source: EventSource | None = None
    eager: bool = field(default=CAN_START_EAGERLY, repr=False)
    reader: Payload | None = field(default=None, init=False, repr=False)
    rate: RateLimit | None = field(default=None, init=False, repr=False)

    @property
    def limit(self) -> int:
        """Most records in flight, as of now."""
        concurrency = self.concurrency
        if isinstance(concurrency, int):
            return concurrency
        from asyncbatch._follower import current_of  # noqa: PLC0415 - only where a limit moves

        return current_of(concurrency)

    def __post_init__(self) -> None:
        """Refuse what would break a rule."""
        _check_numbers(self)
        _check_types(self)
        refuse_illegal(
            self.ordering,
            self.failure_scope,
            None if self.source is None else rules_of(self.source),
        )
        object.__setattr__(self, "hooks", tuple(self.hooks))
        if self.raise_on_failure not in (None, "never", "entire_batch", "any"):
            raise InvalidOptionError(
                "raise_on_failure",
                f"is {self.raise_on_failure!r:.50}",
                'It is "never", "entire_batch" or "any".',
            )
        if self.model is not None:
            from asyncbatch._payloads import payload_reader  # noqa: PLC0415 - loads pydantic

            object.__setattr__(self, "reader", payload_reader(self.model))
        if self.rate_limit is not None:
            object.__setattr__(self, "rate", _rate(self.rate_limit))


def _check_numbers(options: Options) -> None:
    _check_limit(options.concurrency)
    if options.record_timeout is not None:
        _check_seconds("record_timeout", options.record_timeout, "above 0")
    if options.deadline_margin is not None:
        _check_seconds("deadline_margin", options.deadline_margin)
    _check_seconds("grace", options.grace)
    margin = MARGIN_BOUNDS[0] if options.deadline_margin is None else options.deadline_margin
    if options.grace > margin:
        raise InvalidOptionError(
            "grace",
            f"of {options.grace:g} s does not fit into the deadline margin of {margin:g} s",
            "It is spent inside the margin: make it smaller, or deadline_margin larger.",
        )


def _check_limit(limit: Any) -> None:
    if type(limit) is int and limit >= 1:
        return
    if not isinstance(limit, int) and not inspect.isclass(limit) and _is_limit(limit):
        return
    hint = "Limits are objects of asyncbatch.limits, such as AdaptiveLimit()."
    raise InvalidOptionError(
        "concurrency",
        f"must be a whole number from 1 on, or a limit, but is {shown(limit)}",
        "" if type(limit) is int else hint,
    )


def _is_limit(limit: Any) -> bool:
    """Whether an object has what `asyncbatch.limits.Limit` says; a coroutine function nobody would await."""
    try:
        members = (limit.observe, limit.is_drop)
        current = limit.current
    except Exception:  # noqa: BLE001 - a property may raise anything
        return False
    plain = all(callable(each) and not inspect.iscoroutinefunction(each) for each in members)
    return plain and type(current) is int and current >= 1


def _rate(rate: Any) -> RateLimit:
    from asyncbatch.limits import RateLimit  # noqa: PLC0415 - only where there is one

    if isinstance(rate, RateLimit):
        return rate
    try:
        return RateLimit(rate)
    except InvalidOptionError as error:
        raise InvalidOptionError("rate_limit", error.problem, error.hint) from None


def _check_seconds(name: str, value: Any, least: str = "from 0 on") -> None:
    valid = type(value) in {int, float} and 0 <= value < float("inf") and (value or least != "above 0")
    if not valid:
        raise InvalidOptionError(name, f"must be a number of seconds {least}, but is {value!r:.50}")


def _check_types(options: Options) -> None:
    _check_type("failure_scope", options.failure_scope, FailureScope)
    _check_type("source", options.source, EventSource)
    hooks: Any = options.hooks
    if not isinstance(hooks, Sequence):
        raise InvalidOptionError("hooks", f"must be a list of functions, but is {type(hooks).__name__}")
    for hook in options.hooks:
        if not callable(hook) or inspect.iscoroutinefunction(hook):
            raise InvalidOptionError("hooks", f"must be plain functions, but one is {hook!r:.100}")
    if isinstance(options.model, str) or _is_plain_value(options.model):
        raise InvalidOptionError("model", f"must be a type, but is of type {type(options.model).__name__}")
    _check_lifespan(options.lifespan)


def _check_type(name: str, value: Any, wanted: type[Enum]) -> None:
    if value is not None and type(value) is not wanted:
        members = ", ".join(f"{wanted.__name__}.{member.name}" for member in wanted)
        raise InvalidOptionError(name, f"must be one of {members}, but is {value!r:.50}")


def _is_plain_value(model: object) -> bool:
    """Whether this is an instance of a model rather than one."""
    return hasattr(model, "model_fields_set") and not inspect.isclass(model)


def _check_lifespan(lifespan: Any) -> None:
    if lifespan is None:
        return
    if inspect.isasyncgenfunction(lifespan) or inspect.iscoroutinefunction(lifespan):
        raise InvalidOptionError(
            "lifespan", "must make an async context manager", "Put @contextlib.asynccontextmanager on it."
        )
    is_manager = hasattr(lifespan, "__aenter__") and not inspect.isclass(lifespan)
    if is_manager or not callable(lifespan):
        raise InvalidOptionError(
            "lifespan",
            "must be a function that makes an async context manager",
            "Pass it without calling it.",
        )
    try:
        inspect.signature(lifespan).bind()
    except TypeError as error:
        raise InvalidOptionError("lifespan", f"is called without arguments ({error})") from None
    except ValueError:  # some callables written in C do not tell
        return
