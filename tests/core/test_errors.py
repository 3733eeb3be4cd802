"""Errors: what their texts teach, and that they survive pickling."""

import pickle

import pytest

from asyncbatch import (
    AsyncBatchError,
    BlockedThreadsError,
    FailedBatchError,
    InvalidEventError,
    InvalidHandlerError,
    InvalidOptionError,
    RunningLoopError,
    SequenceOrderError,
)

ERRORS = [
    InvalidEventError("is missing", "record 3.messageId", "Mend it."),
    InvalidOptionError("grace", "is too long", "Make it smaller."),
    InvalidHandlerError("handle", "it is a class", "Pass an async function."),
    RunningLoopError("run"),
    BlockedThreadsError(3),
    FailedBatchError(2, 3, "two raised"),
    SequenceOrderError(4),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling(error: AsyncBatchError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_one_class_catches_every_error(error: AsyncBatchError) -> None:
    assert isinstance(error, AsyncBatchError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (InvalidEventError("is bad"), ValueError),
        (InvalidOptionError("grace", "is bad"), ValueError),
        (InvalidHandlerError("f", "it is bad", "Mend it."), TypeError),
        (RunningLoopError("run"), RuntimeError),
        (BlockedThreadsError(3), RuntimeError),
    ],
)
def test_an_error_is_also_the_builtin_that_fits(error: Exception, builtin: type) -> None:
    assert isinstance(error, builtin)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            InvalidEventError("is missing", "record 3.messageId", "Mend it."),
            "record 3.messageId: is missing. Nothing was processed. Mend it.",
        ),
        (InvalidEventError("has no list"), "event: has no list. Nothing was processed."),
        (InvalidOptionError("grace", "is too long"), "grace: is too long."),
        (InvalidOptionError("grace", "is too long", "Mend it."), "grace: is too long. Mend it."),
        (
            InvalidHandlerError("f", "it is a class", "Mend it."),
            "f cannot be a record handler: it is a class. Mend it.",
        ),
        (FailedBatchError(2, 3), "2 of 3 records did not succeed."),
        (FailedBatchError(2, 3, "  2 x raised"), "2 of 3 records did not succeed.\n  2 x raised"),
    ],
)
def test_a_message_names_the_place_the_problem_and_the_mend(error: Exception, text: str) -> None:
    assert str(error) == text


def test_the_running_loop_error_names_the_call_that_works() -> None:
    text = str(RunningLoopError("run", "await engine.process(event)"))
    assert text.startswith("run was called inside a running event loop")
    assert "Nothing was processed." in text
    assert "`await engine.process(event)`" in text


def test_the_sequence_error_names_the_record() -> None:
    assert str(SequenceOrderError(4)).startswith("record 4 has a lower sequence number")
    assert "delivered again" in str(SequenceOrderError(4))


def test_the_blocked_threads_error_says_what_happened_what_it_means_and_what_to_do() -> None:
    happened, meaning, remedy = str(BlockedThreadsError(3)).split(". ")
    assert happened.startswith("3 threads of this process are still held by handlers")
    assert meaning.startswith("Nothing was processed")
    assert remedy.startswith("Give each blocking call")
