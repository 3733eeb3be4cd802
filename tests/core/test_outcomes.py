"""The ledger: success is earned once, in time; and outcomes as values."""

import dataclasses
import gc
import pickle
import weakref
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import Failed, FailureReason, Skipped, SkipReason, SqsRecord, Succeeded
from asyncbatch._failure_texts import drop_tracebacks
from asyncbatch._ledger import Ledger


def raised(error: BaseException) -> BaseException:
    """The error with the traceback that raising it gives."""
    try:
        raise error  # noqa: TRY301 - the subject
    except BaseException as caught:
        return caught


# --- the ledger ---------------------------------------------------------------------------------------


def succeed(ledger: Ledger, position: int) -> None:
    """What the scheduler does where a handler has returned."""
    ledger.ended[position] = 2.0
    ledger.succeeded[position] = 1


def test_every_record_starts_as_not_succeeded() -> None:
    ledger = Ledger(3)
    assert list(ledger.succeeded) == [0, 0, 0]
    assert not any(map(ledger.earned, range(3)))
    assert ledger.seal(SkipReason.DEADLINE) == bytes(3)


def test_an_empty_ledger_has_nothing_to_decide() -> None:
    assert Ledger(0).seal(SkipReason.DEADLINE) == b""


def test_success_is_earned_record_by_record() -> None:
    ledger = Ledger(2)
    succeed(ledger, 1)
    assert (ledger.earned(0), ledger.earned(1)) == (False, True)
    assert ledger.seal(SkipReason.DEADLINE) == b"\0\1"


def test_a_sealed_ledger_takes_no_success() -> None:
    ledger = Ledger(1)
    ledger.started[0] = 1.0
    ledger.seal(SkipReason.DEADLINE)
    succeed(ledger, 0)
    assert ledger.seal(SkipReason.STOPPED) == b"\0"
    assert not ledger.earned(0)


def test_a_sealed_ledger_keeps_its_successes() -> None:
    ledger = Ledger(2)
    succeed(ledger, 0)
    assert ledger.seal(SkipReason.DEADLINE) == b"\1\0"
    ledger.fail(0, FailureReason.RAISED)
    assert ledger.seal(SkipReason.STOPPED) == b"\1\0"
    assert ledger.skips == {1: SkipReason.DEADLINE}


def test_the_result_is_a_copy() -> None:
    ledger = Ledger(1)
    succeed(ledger, 0)
    result = ledger.seal(SkipReason.DEADLINE)
    ledger.succeeded[0] = 0
    assert result == ledger.seal(SkipReason.DEADLINE) == b"\1"


@pytest.mark.parametrize("success_first", [True, False])
def test_a_failure_outweighs_a_success(*, success_first: bool) -> None:
    ledger = Ledger(1)
    if success_first:
        succeed(ledger, 0)
    ledger.fail(0, FailureReason.TIMED_OUT)
    succeed(ledger, 0)
    assert not ledger.earned(0)
    assert ledger.seal(SkipReason.DEADLINE) == b"\0"
    assert ledger.failures[0].reason is FailureReason.TIMED_OUT


def test_the_first_reason_stands() -> None:
    ledger = Ledger(2)
    ledger.fail(0, FailureReason.TIMED_OUT, None, "first")
    ledger.fail(0, FailureReason.CANCELLED, None, "second")
    ledger.skip(1, SkipReason.LANE_HALTED)
    ledger.skip(1, SkipReason.DEADLINE)
    assert (ledger.failures[0].reason, ledger.failures[0].message) == (FailureReason.TIMED_OUT, "first")
    assert ledger.skips == {1: SkipReason.LANE_HALTED}


@pytest.mark.parametrize(
    ("error", "message", "noted"),
    [
        (ValueError("x"), "", "ValueError: x"),
        (ValueError("x"), "said otherwise", "said otherwise"),
        (None, "", "raised"),
        (None, "said otherwise", "said otherwise"),
    ],
)
def test_a_failure_always_has_a_text(error: Exception | None, message: str, noted: str) -> None:
    ledger = Ledger(1)
    ledger.fail(0, FailureReason.RAISED, error, message)
    assert ledger.failures[0].message == noted
    assert ledger.failures[0].error is error


@given(st.lists(st.sampled_from(["succeed", "fail", "skip", "start", "nothing"]), max_size=12))
def test_sealing_decides_every_record_and_succeeds_none(fates: list[str]) -> None:
    ledger = Ledger(len(fates))
    for position, fate in enumerate(fates):
        if fate in ("succeed", "fail", "start"):
            ledger.started[position] = 1.0
        if fate == "succeed":
            succeed(ledger, position)
        elif fate == "fail":
            ledger.fail(position, FailureReason.RAISED)
        elif fate == "skip":
            ledger.skip(position, SkipReason.LANE_HALTED)
    result = ledger.seal(SkipReason.STOPPED)
    assert result == bytes(fate == "succeed" for fate in fates)
    expected = {
        "succeed": None,
        "fail": FailureReason.RAISED,
        "start": FailureReason.STOPPED,
        "skip": SkipReason.LANE_HALTED,
        "nothing": SkipReason.STOPPED,
    }
    for position, fate in enumerate(fates):
        failure, skip = ledger.failures.get(position), ledger.skips.get(position)
        assert failure is None or skip is None
        assert (failure.reason if failure else skip) is expected[fate]


# --- places and tracebacks ----------------------------------------------------------------------------


def test_only_the_first_failures_name_their_place() -> None:
    ledger = Ledger(12)
    for position in range(12):
        ledger.fail(position, FailureReason.RAISED, raised(ValueError()))
    assert [bool(ledger.failures[position].trace) for position in range(12)] == [True] * 10 + [False] * 2


def test_an_error_that_was_never_raised_has_no_place() -> None:
    ledger = Ledger(1)
    ledger.fail(0, FailureReason.RAISED, ValueError())
    assert ledger.failures[0].trace == ""


class Content:
    """Stands for a record that a frame holds."""


def failing(kind: str) -> tuple[BaseException, weakref.ref[Content]]:
    """An error whose frames, or those of the errors it carries, hold content."""
    content = Content()
    pinned = weakref.ref(content)

    def inner(held: Content) -> None:
        raise KeyError("inner")

    try:
        try:
            inner(content)
        except KeyError as error:
            if kind == "plain":
                raise
            if kind == "cause":
                raise ValueError from error
            if kind == "context":
                raise ValueError  # noqa: B904 - its context is the subject
            group = ExceptionGroup("group", [ExceptionGroup("inner group", [error])])
        raise group  # noqa: TRY301 - the subject
    except Exception as error:
        return error, pinned


@pytest.mark.parametrize("kind", ["plain", "cause", "context", "group"])
def test_a_kept_error_holds_no_frames_and_so_no_records(kind: str) -> None:
    ledger = Ledger(1)
    error, pinned = failing(kind)
    assert pinned() is not None  # else this proves nothing
    ledger.fail(0, FailureReason.RAISED, error)
    gc.collect()
    assert pinned() is None
    assert ledger.failures[0].error is error


def test_errors_in_a_circle_end() -> None:
    one, two = raised(ValueError("1")), raised(ValueError("2"))
    one.__context__, two.__context__ = two, one
    drop_tracebacks(one)
    assert (one.__traceback__, two.__traceback__) == (None, None)


def test_all_errors_of_a_group_and_what_they_carry_are_cut_loose() -> None:
    errors = [raised(ValueError(str(number))) for number in range(3)]
    cause, context = errors[1].__cause__, errors[1].__context__ = raised(KeyError()), raised(KeyError())
    drop_tracebacks(ExceptionGroup("group", errors))
    assert {each.__traceback__ for each in (*errors, cause, context)} == {None}


def test_a_very_long_chain_ends() -> None:
    chain = [raised(ValueError()) for _ in range(5_000)]
    for error, context in pairwise(chain):
        error.__context__ = context
    drop_tracebacks(chain[0])
    assert [error.__traceback__ is None for error in chain] == [True] * 100 + [False] * 4_900


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):  # noqa: N818 - any exception
    code: int


class Escape(BaseException):
    """What no `except Exception` stops."""


class Hostile(Exception):  # noqa: N818 - any exception
    def __str__(self) -> str:
        raise Escape

    __repr__ = __str__


class Text(str):
    __slots__ = ()

    def __format__(self, spec: str) -> str:
        raise Escape


class HostileText(Exception):  # noqa: N818 - any exception
    def __str__(self) -> str:
        return Text("x")


@pytest.mark.parametrize("error", [Frozen(1), Hostile(), HostileText(), MemoryError(), GeneratorExit()])
def test_whatever_was_raised_is_noted_and_loses_its_frames(error: BaseException) -> None:
    ledger = Ledger(1)
    ledger.fail(0, FailureReason.RAISED, raised(error))
    failure = ledger.failures[0]
    assert failure.error is error
    assert failure.message.startswith(type(error).__name__)
    assert error.__traceback__ is None


class Carrier(Exception):  # noqa: N818 - any exception
    """Has an attribute named like that of a group."""

    def __init__(self, exceptions: object) -> None:
        super().__init__()
        self.exceptions = exceptions


class Loud(Exception):  # noqa: N818 - any exception
    @property
    def exceptions(self) -> object:
        raise Escape


@pytest.mark.parametrize(
    "error",
    [Carrier(None), Carrier(5), Carrier("text"), Carrier(["text", None]), Loud()],
    ids=["none", "number", "text", "list", "raising"],
)
def test_an_error_with_an_attribute_of_that_name_is_no_group(error: Exception) -> None:
    ledger = Ledger(1)
    ledger.fail(0, FailureReason.RAISED, raised(error))
    assert ledger.failures[0].error is error
    assert error.__traceback__ is None


# --- outcomes as values -------------------------------------------------------------------------------

RECORD: SqsRecord[Any] = SqsRecord({"messageId": "m-1", "body": "MARKER"})
OUTCOMES = [
    Succeeded(position=0, id="m-1", record=RECORD, started=1.0, ended=2.0),
    Failed(
        position=0,
        id="m-1",
        record=RECORD,
        started=1.0,
        ended=None,
        reason=FailureReason.RAISED,
        error=KeyError("x"),
        message="KeyError",
        trace="",
    ),
    Skipped(position=0, id="m-1", record=RECORD, reason=SkipReason.DEADLINE),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_an_outcome_is_frozen_shows_no_content_and_can_be_pickled(outcome: Any) -> None:
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        outcome.position = 1
    assert "m-1" in repr(outcome)
    assert "MARKER" not in repr(outcome)
    again = pickle.loads(pickle.dumps(outcome))
    assert (again.position, again.id, again.record) == (0, "m-1", RECORD)


def test_the_repr_of_a_failure_does_not_run_the_errors_own() -> None:
    failed = dataclasses.replace(OUTCOMES[1], error=Hostile())
    assert "Failed(position=0" in repr(failed)
