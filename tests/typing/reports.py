"""What type checkers see of a report: never executed."""

from typing import Any, assert_never, assert_type

from asyncbatch import (
    BatchReport,
    EventSource,
    Failed,
    FailureReason,
    Outcome,
    Skipped,
    SkipReason,
    Succeeded,
)
from asyncbatch.hooks import (
    BatchEnded,
    BatchStarted,
    HookEvent,
    LimitChanged,
    RecordEnded,
    RecordStarted,
)


def describe(outcome: Outcome) -> str:
    """Every outcome is one of three, and a type checker can tell."""
    match outcome:
        case Succeeded(ended=ended):
            assert_type(ended, float)
            return "succeeded"
        case Failed(reason=reason, error=error):
            assert_type(error, BaseException | None)
            return because(reason)
        case Skipped(reason=reason):
            return why_not(reason)
        case _:
            assert_never(outcome)


def because(reason: FailureReason) -> str:
    match reason:
        case FailureReason.RAISED | FailureReason.CANCELLED | FailureReason.REFUSED:
            return "the handler"
        case FailureReason.TIMED_OUT | FailureReason.DEADLINE | FailureReason.STOPPED:
            return "the time"
        case FailureReason.INVALID_PAYLOAD:
            return "the payload"
        case _:
            assert_never(reason)


def why_not(reason: SkipReason) -> str:
    match reason:
        case SkipReason.LANE_HALTED | SkipReason.BATCH_HALTED:
            return "an earlier record"
        case SkipReason.DEADLINE | SkipReason.STOPPED:
            return "the run was over"
        case _:
            assert_never(reason)


def happened(event: HookEvent) -> int:
    match event:
        case BatchStarted(size=size):
            return size
        case RecordStarted(position=position):
            return position
        case RecordEnded(outcome=outcome):
            return outcome.position
        case LimitChanged(new=new):
            return new
        case BatchEnded(report=report):
            return len(report.outcomes)
        case _:
            assert_never(event)


def forgets_one(outcome: Outcome) -> str:
    match outcome:
        case Succeeded() | Failed():
            return ""
        case _:
            assert_never(outcome)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def reads(report: BatchReport) -> None:
    assert_type(report.source, EventSource | None)
    assert_type(report.outcomes, tuple[Outcome, ...])
    assert_type(report.succeeded, tuple[Succeeded, ...])
    assert_type(report.unsuccessful, tuple[Failed | Skipped, ...])
    assert_type(report.summary(), str)
    assert_type(report.all_succeeded, bool)


def replies(report: BatchReport, state: dict[str, Any]) -> dict[str, Any]:
    response = report.response(state)
    for failure in response["batchItemFailures"]:
        identifier = failure["itemIdentifier"]
        if not isinstance(identifier, str):
            assert_type(identifier["offset"], int)
    if "state" in response:
        assert_type(response["state"], dict[str, Any])
    assert response["batchItemFailure"]  # type: ignore[typeddict-item]  # pyright: ignore[reportGeneralTypeIssues, reportTypedDictNotRequiredAccess]
    return {**response}


def nothing_is_written(outcome: Succeeded) -> None:
    outcome.position = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
