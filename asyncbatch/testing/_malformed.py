"""Malformed events on demand: what no event source should send, and what a batch function has to make of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast, final

from asyncbatch._events import read_event
from asyncbatch._sources import EventSource, Redelivery, rules_of
from asyncbatch.testing._context import LambdaContext
from asyncbatch.testing._events import Event
from asyncbatch.testing._faults import Expected, faults_of
from asyncbatch.testing._samples import sample_event

_LEAST = 2  # records: a good one beside the one at fault


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedEvent:
    """A malformed or borderline event, and what a batch function has to make of it.

    Attributes:
        name: What is wrong, in a few words.
        source: The event source.
        event: The event.
        expected: ``"refused"``: an error before any record is handled, because a record could not be reported
            on, or not be kept in order. ``"retried"``: an error, whatever was handled, because no reply would be
            safe. Or the positions of the records that cannot be handled, and must be delivered again; none of
            them where a reply must name nothing.
    """

    name: str
    source: EventSource
    event: Any = field(repr=False)
    expected: Expected

    def __str__(self) -> str:
        """The name: pytest's ``ids=str`` shows it."""
        return self.name

    def check(self, function: Callable[[Any, Any], Any], context: Any = None) -> None:
        """Call a Lambda function with a copy of the event, as Lambda would, and check what comes of it.

        An error is right where one is expected, and where records must be delivered again: it has the whole batch
        delivered again. That nothing was handled before an event was refused, the handler itself has to tell; see
        `HandlerSpy`.

        Args:
            function: Your Lambda function, a plain one of ``(event, context)``.
            context: What it gets as Lambda's context; None for a `LambdaContext`.

        Raises:
            AssertionError: the reply would lose a record, or names what it must not; or a good record was refused.
        """
        try:
            reply = function(copy.deepcopy(self.event), LambdaContext() if context is None else context)
        except Exception as error:
            if self.expected != ():
                return
            message = f"{self.name}: every record can be handled, but {type(error).__name__} was raised"
            raise AssertionError(message) from error
        is_error = isinstance(self.expected, str)
        problem = "an error was expected" if is_error else _problem(self, reply)
        if problem:
            raise AssertionError(f"{self.name}: {problem}; the reply was {reply!r:.500}")


def malformed_events(
    source: EventSource, event: Event | None = None, *, seed: int = 0
) -> list[MalformedEvent]:
    """Damage a good event in every way that has cost records somewhere, one way at a time.

    Identifiers that are missing, empty, null, of a wrong type, or there twice; records that are none; containers
    of a wrong type; mixed event sources; a FIFO record without its group; payloads that cannot be decoded;
    positions that do not ascend. A batch function, of this package or not, is tested with all of them like this::

        @pytest.mark.parametrize("malformed", malformed_events(EventSource.SQS), ids=str)
        def test_malformed_events_lose_nothing(malformed: MalformedEvent) -> None:
            malformed.check(lambda_handler)

    What is expected follows from how AWS reads a reply: a record that it does not name is done, and a name that is
    null, empty or not in the batch fails the whole batch
    (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html and its siblings for streams). So
    what cannot be named must not run. A function that is told its event source need not refuse events that merely
    leave it out.

    Args:
        source: The event source.
        event: A good event of it with two records or more. Your function must be able to handle each, and must
            look into its payload as JSON: that is how it notices those that are broken. The second record is the
            one at fault; where order counts, let another one of its group or partition stand behind it. None for
            six orders as `sample_event` has them.
        seed: What the sample's identifiers are drawn from.

    Returns:
        The malformed events, each an event of its own, in the same order every time.

    Raises:
        ValueError: the event has fewer than two records, or is of another event source.
    """
    source = EventSource(source)  # its value, "sqs-fifo", does as well
    good = sample_event(source, 6, keys=2, seed=seed) if event is None else event
    batch = read_event(good, source)
    if len(batch.raws) < _LEAST:
        message = f"event: two records or more are needed, but it has {len(batch.raws)}"
        raise ValueError(message)
    return [
        MalformedEvent(
            name=fault.name, source=source, event=fault.change(copy.deepcopy(good)), expected=fault.expected
        )
        for fault in faults_of(source)
    ]


# --- what is wrong with a reply -----------------------------------------------------------------------


def _problem(malformed: MalformedEvent, reply: Any) -> str | None:
    """What is wrong with a reply to an event that can be handled, but for some of its records."""
    try:
        named: list[Any] = [entry["itemIdentifier"] for entry in reply["batchItemFailures"]]
    except (TypeError, KeyError):
        return "it is no partial batch response"
    if not malformed.expected:
        return "nothing is wrong with these records, but some are named" if named else None
    batch = read_event(malformed.event, malformed.source)
    identifiers: list[Any] = list(map(batch.identifier, range(len(batch.raws))))
    if any(each not in identifiers for each in named):
        return "it names what is no record of the event, which fails the whole batch"
    if any(named.count(each) > 1 for each in named):
        return "it names a record more than once"
    for position in _to_name(malformed):
        if not _is_delivered_again(malformed.source, identifiers, position, named):
            return f"record {position} would be lost"
    return None


def _to_name(malformed: MalformedEvent) -> Iterator[int]:
    """The positions that have to be delivered again: those at fault and, in an order, what comes behind them."""
    broken: set[Hashable] = set()
    units = read_event(malformed.event, malformed.source).lane_keys(rules_of(malformed.source).unit)
    for position, unit in enumerate(units):
        if position in cast("tuple[int, ...]", malformed.expected):
            broken.add(unit)
        if unit in broken:
            yield position


def _is_delivered_again(source: EventSource, identifiers: list[Any], position: int, named: list[Any]) -> bool:
    if rules_of(source).redelivery is Redelivery.FROM_LOWEST:
        return any(identifiers.index(each) <= position for each in named)
    return identifiers[position] in named
