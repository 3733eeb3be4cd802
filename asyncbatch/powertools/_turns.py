"""Turns: one use of a processor each, and what became of its records.

A processor is made once and used for every batch, and users read its lists after a batch. Somebody may use it
while it is in use: a handler that processes a nested batch, or another thread. That use gets a copy with state of
its own, so that neither loses a failure of the other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from threading import get_ident
from typing import Any, Final, final

from asyncbatch._events import Batch
from asyncbatch._ledger import Ledger, SkipReason
from asyncbatch._records import ItemIdentifier
from asyncbatch._report import BatchReport
from asyncbatch._sources import Redelivery, SourceRules, is_object
from asyncbatch.powertools._sources import MALFORMED, batch_of, hashable, is_usable, read_each
from asyncbatch.powertools.exceptions import UnreportableRecordError
from asyncbatch.powertools.types import PartialItemFailures

_USUAL: Final = 3  # the length of an entry


@final
class Turn:
    """One use of a processor: from its call until its ``with`` block is left.

    Args:
        context: The Lambda context of this call, which tells the deadline; None for no deadline.

    Attributes:
        thread: Who called.
        entered: The ``with`` block was entered.
        over: It was left.
        broken: It was left by an exception.
        recorded: A record has succeeded by the word of an overridden method, which may keep no list of it.
        refusal: Why the last run could not even begin; None if it could.
        outdated: It was left, but the processor's response does not tell of all that has become of its records.
        running: How many runs are under way.
        stop_at: When a run of one record after another starts no more, on the monotonic clock; None for never.
        margin: Seconds from then until Lambda's deadline.
        tallies: What became of the records, one for each call of ``process`` or ``async_process``.
    """

    entered = False
    over = False
    broken = False
    refusal: BaseException | None = None
    outdated = False
    recorded = False
    running = 0
    stop_at: float | None = None
    margin: float = 0.0

    def __init__(self, context: object) -> None:
        self.context = context
        self.thread = get_ident()
        self.tallies: list[Tally] = []

    @property
    def goes_on(self) -> bool:
        """Whether whoever wants to use the processor now has to take a copy."""
        if self.running:
            return True
        if self.over:
            return False
        if self.entered:
            return True
        return not self.tallies and self.thread != get_ident()

    @property
    def all_succeeded(self) -> bool:
        """Whether every record of every run succeeded."""
        for tally in self.tallies:  # noqa: SIM110 - a generator would cost a microsecond
            if not tally.all_succeeded:
                return False
        return True

    @property
    def none_succeeded(self) -> bool:
        """Whether there were records, and not one succeeded."""
        return bool(self.tallies) and not any(1 in tally.succeeded for tally in self.tallies)

    @property
    def is_sealed(self) -> bool:
        """Whether its runs have been sealed: what their records still come to counts for nothing."""
        return bool(self.tallies) and all(tally.is_sealed for tally in self.tallies)

    def unnoted(self, noted: int) -> bool:
        """Whether more records did not succeed than the number that the processor has noted."""
        return sum(tally.succeeded.count(0) for tally in self.tallies) > noted

    def identifiers_read(self) -> dict[int, ItemIdentifier]:
        """How a reply names the records; see `Tally.identifiers_read`."""
        return {key: identifier for tally in self.tallies for key, identifier in tally.identifiers_read()}

    def entries(self, collected: Sequence[PartialItemFailures]) -> list[PartialItemFailures]:
        """The reply's entries: the records that did not succeed, in batch position, each once.

        Args:
            collected: What the processor's collector found. It can name more records, and never makes them fewer.

        Raises:
            UnreportableRecordError: a record that did not succeed cannot be named.
            SequenceOrderError: the records of a stream that halts on failures are out of order.
        """
        identifiers = [entry["itemIdentifier"] for entry in collected]
        found = {hashable(identifier): identifier for identifier in identifiers if is_usable(identifier)}
        entries: dict[Hashable, ItemIdentifier] = {}
        accounted: set[Hashable] = set()
        for tally in self.tallies:
            unsuccessful = tally.unsuccessful(len(found))
            accounted |= unsuccessful.keys()
            # Mostly each is named; the names of those that succeeded are then not even read.
            named = tally.rules.redelivery is Redelivery.NAMED
            entries |= unsuccessful if named else tally.failures()
        more = {name: identifier for name, identifier in found.items() if name not in accounted}
        if more or len(self.tallies) > 1:
            entries = self._in_order(entries | more)
        return [{"itemIdentifier": identifier} for identifier in entries.values()]

    def _in_order(self, entries: dict[Hashable, ItemIdentifier]) -> dict[Hashable, ItemIdentifier]:
        places: dict[Hashable, int] = {}
        for tally in self.tallies:
            for position in range(len(tally.records)):
                places.setdefault(hashable(tally.batch.identifier(position)), len(places))
        return {
            name: entries[name] for name in sorted(entries, key=lambda each: places.get(each, len(places)))
        }


@final
class Tally:
    """What became of the records of one run: each starts as not succeeded.

    Args:
        rules: How the records' event source is told of failures.
        records: The raw records; a list that nobody else has.

    Attributes:
        names: The records' names as they were read; odd ones not made hashable yet.
        keys: What orders the records, as it was read; empty where nothing does.
        marks: 1 for every record that has succeeded so far, for a run that writes no more than that into a ledger.
    """

    __slots__ = ("_batch", "_ledger", "_messages", "keys", "marks", "names", "records", "rules")

    def __init__(self, rules: SourceRules, records: Sequence[Any]) -> None:
        self.rules = rules
        self.records = records
        # Handlers may change the records: what is decided later is told from what is read here.
        self.keys: Sequence[Hashable] = ()
        try:
            self.names = rules.names(records)
            if rules.keys is not None:
                self.keys = rules.keys(records)
        except MALFORMED:
            self.names, self.keys = read_each(rules, records)
        self.marks = [0] * len(records)
        self._messages: dict[int, Any] | None = None
        self._ledger: Ledger | None = None
        self._batch: Batch | None = None

    @property
    def batch(self) -> Batch:
        """The records, named where they can be."""
        if self._batch is None:
            self._batch = batch_of(self.rules, self.records, self.names, self.keys)
        return self._batch

    @property
    def ledger(self) -> Ledger:
        """The outcomes; made when somebody asks, because most batches succeed."""
        if self._ledger is None:
            self._ledger = Ledger(len(self.records))
            self._ledger.succeeded = self.marks
        return self._ledger

    @ledger.setter
    def ledger(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def is_sealed(self) -> bool:
        """Whether what its records still come to counts for nothing."""
        return self._ledger is not None and self._ledger.result is not None

    @property
    def all_succeeded(self) -> bool:
        """Whether every record succeeded."""
        return 0 not in (self.marks if self._ledger is None else self.succeeded)

    @property
    def succeeded(self) -> bytes:
        """1 for every record that succeeded."""
        return self.ledger.seal(SkipReason.DEADLINE)

    def keys_by_record(self) -> dict[int, Hashable]:
        """What orders the records, by the `id` of each raw record."""
        return dict(
            zip(map(id, self.records), self.keys, strict=False)
        )  # there are none where nothing orders them

    def note(self, position: int, entry: Any) -> None:
        """Keep what stands for a record that failed: the last item of its entry, as `failure_handler` makes it."""
        if issubclass(type(entry), tuple) and len(entry) == _USUAL:
            if self._messages is None:
                self._messages = {}
            self._messages[position] = entry[-1]

    def identifiers_read(self) -> Iterator[tuple[int, ItemIdentifier]]:
        """How a reply names the records that can be named, as it was read.

        Yields:
            The `id` of a raw record, or of what stands for one that failed, and its identifier.
        """
        identifier: Any
        for position, raw in enumerate(self.records):
            identifier = self.batch.identifier(position)
            if identifier is not None:
                yield id(raw), identifier
                if self._messages and position in self._messages:
                    yield id(self._messages[position]), identifier

    def unsuccessful(self, found: int) -> dict[Hashable, ItemIdentifier]:
        """The identifiers of the records that did not succeed, each once.

        Args:
            found: How many names a collector has found. If those are enough for all of these records, it knows
                names for them that the records do not tell.

        Raises:
            UnreportableRecordError: one of them has no name that a reply could use.
        """
        positions = [position for position, succeeded in enumerate(self.succeeded) if not succeeded]
        identifiers = list(map(self.batch.identifier, positions))
        if found < len(positions) and not all(identifiers):
            position = positions[next(index for index, each in enumerate(identifiers) if not each)]
            raise UnreportableRecordError(position, _problem(self.rules, self.records[position]))
        return {hashable(identifier): identifier for identifier in identifiers if identifier}

    def failures(self) -> dict[Hashable, ItemIdentifier]:
        """The identifiers that the reply has to name, by the rules of an event source that names not all."""
        report = BatchReport(self.batch, self.ledger, lane_keys=None, raise_on_failure="never", duration=0.0)
        return {hashable(identifier): identifier for identifier in report.failures if identifier}


def _problem(rules: SourceRules, raw: Any) -> str:
    if not is_object(raw):
        return f"it must be an object, but is {type(raw).__name__}"
    return " ".join(rules.problem(raw) or ("its identifier", "is unusable")).removeprefix(".")
