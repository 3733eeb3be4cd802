"""Which ordering and failure scope go together, for every event source: decided against a table."""

import functools
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch import BatchEngine, EventSource, Failed, FailureScope, InvalidOptionError, Ordering
from asyncbatch._lanes import refuse_illegal
from asyncbatch._sources import rules_of

ORDERINGS: dict[str, Any] = {
    "default": None,
    "unordered": Ordering.UNORDERED,
    "by key": Ordering.BY_KEY,
    "sequential": Ordering.SEQUENTIAL,
    "function": lambda record: str(record.id),
}
# The scopes that are allowed: default, Record, Lane, Batch. A scope narrower than the order would break it.
ALLOWED = {
    EventSource.SQS: {
        "default": "dRLB", "unordered": "dRLB", "by key": "", "sequential": "dLB", "function": "dLB",
    },
    EventSource.SQS_FIFO: {
        "default": "dLB", "unordered": "dRLB", "by key": "dLB", "sequential": "dLB", "function": "dLB",
    },
    EventSource.KINESIS: {
        "default": "dLB", "unordered": "dRLB", "by key": "dLB", "sequential": "dLB", "function": "dLB",
    },
    EventSource.DYNAMODB: {
        "default": "dLB", "unordered": "dRLB", "by key": "dLB", "sequential": "dLB", "function": "dLB",
    },
    EventSource.KAFKA: {
        "default": "dLB", "unordered": "dRLB", "by key": "dLB", "sequential": "dLB", "function": "dLB",
    },
}  # fmt: skip
SCOPES = {"d": None, "R": FailureScope.RECORD, "L": FailureScope.LANE, "B": FailureScope.BATCH}
CELLS = [
    pytest.param(source, ordering, scope, letter in allowed, id=f"{source.value}-{name}-{letter}")
    for source, row in ALLOWED.items()
    for (name, ordering), allowed in zip(ORDERINGS.items(), row.values(), strict=True)
    for letter, scope in SCOPES.items()
]


@pytest.mark.parametrize(("source", "ordering", "scope", "allowed"), CELLS)
def test_a_pair_is_allowed_or_refused_at_construction(
    source: EventSource, ordering: Any, scope: FailureScope | None, *, allowed: bool
) -> None:
    if allowed:
        BatchEngine(source=source, ordering=ordering, failure_scope=scope)
        return
    with pytest.raises(InvalidOptionError) as caught:
        BatchEngine(source=source, ordering=ordering, failure_scope=scope)
    assert caught.value.option in {"ordering", "failure_scope"}
    assert caught.value.hint


@pytest.mark.parametrize(("source", "ordering", "scope", "allowed"), CELLS)
def test_a_pair_is_refused_before_anything_runs_where_the_source_is_detected(
    event_of: Callable[..., Any],
    counting: Any,
    *,
    source: EventSource,
    ordering: Any,
    scope: FailureScope | None,
    allowed: bool,
) -> None:
    try:
        report = BatchEngine(ordering=ordering, failure_scope=scope).run(
            event_of(source, ["1", "2"]), counting
        )
    except InvalidOptionError:
        assert not allowed
        assert counting.ids == []
    else:
        assert allowed
        assert len(report.succeeded) == len(counting.ids) == 2


def test_a_refusal_says_why_and_what_instead() -> None:
    with pytest.raises(InvalidOptionError) as caught:
        BatchEngine(ordering=Ordering.SEQUENTIAL, failure_scope=FailureScope.RECORD)
    assert str(caught.value) == (
        "failure_scope: RECORD would start a record although an earlier one of its lane did not succeed. "
        "Use LANE or BATCH, or ordering=Ordering.UNORDERED where order does not matter."
    )
    with pytest.raises(InvalidOptionError) as caught:
        BatchEngine(ordering=Ordering.BY_KEY, source=EventSource.SQS)
    assert str(caught.value) == (
        "ordering: BY_KEY needs a key, and records of sqs have none. "
        "Give a function from the record to its key instead."
    )


@pytest.mark.parametrize(
    ("source", "ordering", "scope"),
    [
        (EventSource.SQS, Ordering.UNORDERED, FailureScope.RECORD),
        (EventSource.SQS, Ordering.SEQUENTIAL, FailureScope.LANE),
        (EventSource.SQS, repr, FailureScope.LANE),
        (EventSource.SQS_FIFO, Ordering.BY_KEY, FailureScope.LANE),
        (EventSource.SQS_FIFO, Ordering.UNORDERED, FailureScope.LANE),
        (EventSource.KINESIS, Ordering.BY_KEY, FailureScope.BATCH),
        (EventSource.KINESIS, Ordering.UNORDERED, FailureScope.BATCH),
        (EventSource.DYNAMODB, Ordering.BY_KEY, FailureScope.BATCH),
        (EventSource.KAFKA, Ordering.SEQUENTIAL, FailureScope.LANE),
        (EventSource.KAFKA, repr, FailureScope.LANE),
    ],
)
def test_a_source_and_an_ordering_have_a_default_scope(
    source: EventSource, ordering: object, scope: FailureScope
) -> None:
    assert rules_of(source).default_scope(ordering) is scope


@pytest.mark.parametrize(
    ("source", "ordering"),
    [
        (EventSource.SQS, Ordering.UNORDERED),
        (EventSource.SQS_FIFO, Ordering.BY_KEY),
        (EventSource.KINESIS, Ordering.BY_KEY),
        (EventSource.DYNAMODB, Ordering.BY_KEY),
        (EventSource.KAFKA, Ordering.SEQUENTIAL),
    ],
)
def test_a_source_has_a_default_ordering(source: EventSource, ordering: Ordering) -> None:
    assert rules_of(source).ordering is ordering


# --- key functions ------------------------------------------------------------------------------------


async def coroutine_function(record: object) -> str:
    return ""


def generator_function(record: object) -> Any:
    yield ""


async def async_generator_function(record: object) -> Any:
    yield ""


class UnhashableKey:
    __hash__ = None  # type: ignore[assignment]

    def __call__(self, record: object) -> str:
        return "k"


@pytest.mark.parametrize("ordering", ["by-key", 5, ()])
def test_an_ordering_that_is_no_function_is_refused(ordering: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        BatchEngine(ordering=ordering)
    kind = type(ordering).__name__
    assert str(caught.value) == (
        f"ordering: must be an Ordering or a function from a record to its key, but is {kind}."
    )


@pytest.mark.parametrize(
    "function",
    [
        coroutine_function,
        generator_function,
        async_generator_function,
        functools.partial(coroutine_function),
    ],
    ids=["coroutine", "generator", "async generator", "partial"],
)
def test_a_key_function_that_cannot_return_a_key_is_refused(function: Any) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        BatchEngine(ordering=function)
    assert str(caught.value) == (
        "ordering: a key function must be a plain function: keys are needed before anything runs."
    )


@pytest.mark.parametrize("function", [str, len, functools.partial(getattr), lambda record: 1])
def test_any_plain_callable_may_be_a_key_function(function: Any) -> None:
    refuse_illegal(function, None, None)


def test_a_callable_that_cannot_be_hashed_may_be_a_key_function(counting: Any) -> None:
    engine = BatchEngine(ordering=UnhashableKey())
    event = {"Records": [{"messageId": "1", "eventSource": "aws:sqs", "eventSourceARN": "arn:q"}]}
    assert len(engine.run(event, counting).succeeded) == 1
    with pytest.raises(InvalidOptionError, match="RECORD would start"):
        BatchEngine(ordering=UnhashableKey(), failure_scope=FailureScope.RECORD)


@pytest.mark.parametrize(
    "result",
    [coroutine_function, generator_function, async_generator_function],
    ids=["coroutine", "generator", "async generator"],
)
def test_a_result_that_is_work_undone_is_no_key(
    result: Callable[[Any], Any], event_of: Callable[..., Any], counting: Any
) -> None:
    engine = BatchEngine(ordering=lambda record: result(record))  # noqa: PLW0108 - hides what it returns
    report = engine.run(event_of(EventSource.SQS, ["1"]), counting)
    assert counting.ids == []
    (failed,) = report.unsuccessful
    assert isinstance(failed, Failed)
    assert failed.message.startswith("TypeError: the key function returned a")
    assert isinstance(failed.error, TypeError)


def test_an_unhashable_message_key_of_kafka_is_refused(event_of: Callable[..., Any], counting: Any) -> None:
    event = event_of(EventSource.KAFKA, ["1", "2"])
    event["records"]["orders-0"][1]["key"] = ["x"]
    with pytest.raises(ValueError, match=r"record 1.*key"):
        BatchEngine(ordering=Ordering.BY_KEY).run(event, counting)
    assert counting.ids == []
