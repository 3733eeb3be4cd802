"""What the invocations of a simulated mapping meet, and options that AWS would refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, TypedDict, final

from asyncbatch._errors import InvalidOptionError
from asyncbatch.testing._schedules import ScheduleName


class ConditionOptions(TypedDict, total=False):
    """What the invocations of every mapping meet, whatever its event source.

    Attributes:
        function_timeout: Seconds that an invocation may take, 3 as with Lambda; then its process is killed and the
            batch failed.
        report_batch_item_failures: Whether the mapping has ``ReportBatchItemFailures``; else no reply is read.
        duplicate_rate: How likely it is that a reply gets lost, so that the batch comes again, and that a receive
            leaves a standard queue's message visible.
        crash_rate: How likely it is that a process crashes, if its invocation lasts to that moment: somewhere
            between a thousandth of the function's timeout and all of it.
        seed: What is random is drawn from it, also the order in which ready tasks run; None keeps asyncio's order.
        schedule: How tasks are ordered; see `VirtualLoop`.
        virtual: Whether time is virtual; otherwise the function may use threads and sockets, and waits for real.
    """

    function_timeout: float
    report_batch_item_failures: bool
    duplicate_rate: float
    crash_rate: float
    seed: int | None
    schedule: ScheduleName
    virtual: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """`ConditionOptions`, checked and complete.

    Raises:
        InvalidOptionError: AWS would refuse an option, or it cannot be simulated.
    """

    function_timeout: float = 3.0
    report_batch_item_failures: bool = True
    duplicate_rate: float = 0.0
    crash_rate: float = 0.0
    seed: int | None = 0
    schedule: ScheduleName = "shuffle"
    virtual: bool = True

    @classmethod
    def of(cls, options: ConditionOptions) -> Self:
        """Check and complete options.

        Args:
            options: As they were given.

        Raises:
            InvalidOptionError: there is no such option, AWS would refuse one, or it cannot be simulated.
        """
        for name in options.keys() - ConditionOptions.__annotations__.keys():
            known = ", ".join(ConditionOptions.__annotations__)
            raise InvalidOptionError(name, "is no option here", f"What every mapping has: {known}.")
        return cls(**options)

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, "shuffle", "priorities")
        check_range("function_timeout", self.function_timeout, 0, 900, above=True)
        check_range("duplicate_rate", self.duplicate_rate, 0, 1)
        check_range("crash_rate", self.crash_rate, 0, 1)
        if self.crash_rate and not self.virtual:
            raise InvalidOptionError("crash_rate", "cannot be had in real time", "Leave virtual=True.")


def check_choice(name: str, value: Any, *choices: str) -> None:
    """Refuse what is none of an option's choices.

    Args:
        name: The option's name.
        value: Its value, whatever that is.
        choices: The choices.

    Raises:
        InvalidOptionError: it is none of them.
    """
    if value not in choices:
        raise InvalidOptionError(name, f"is {value!r}", f"It is one of {', '.join(map(repr, choices))}.")


def check_range(name: str, value: Any, low: float, high: float, *, above: bool = False) -> None:
    """Refuse an option that AWS would refuse.

    Args:
        name: The option's name.
        value: Its value, whatever that is.
        low: The least that it may be.
        high: The most.
        above: Whether it has to be above the least.

    Raises:
        InvalidOptionError: it is out of range.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (low < value if above else low <= value) or value > high:
        raise InvalidOptionError(name, f"is {value!r}", f"It goes from {low:g} to {high:g}.")


def check_count(name: str, value: Any, low: int, high: int) -> None:
    """Refuse a number of things that AWS would refuse; the same for whole numbers.

    Args:
        name: The option's name.
        value: Its value, whatever that is.
        low: The least that it may be.
        high: The most.

    Raises:
        InvalidOptionError: it is out of range, or no whole number.
    """
    check_range(name, value, low, high)
    if not isinstance(value, int):
        raise InvalidOptionError(name, f"is {value!r}", "It is a whole number.")
