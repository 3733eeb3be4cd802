"""Lanes: which record may start next, and what a record that did not succeed holds back.

A lane is a queue of batch positions that are handled one after another. Plain synchronous code; the
scheduler asks `take` whenever it has room, and tells `settle` how a record ended.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise
from operator import length_hint
from typing import Any, Final, Protocol, final

from asyncbatch._errors import InvalidOptionError
from asyncbatch._events import Batch
from asyncbatch._ledger import FailureReason, Ledger, SkipReason
from asyncbatch._records import Record
from asyncbatch._sources import FailureScope, Ordering, Redelivery, SourceRules
from asyncbatch._undone import undone_work

KeyFunction = Callable[[Record[Any]], Hashable]


class Lanes(Protocol):
    """Who may start: positions that no unfinished record of their lane stands before."""

    queue: bool
    """Whether records wait for others of their lane, so that a success must be told as well."""

    @property
    def singles(self) -> Iterator[int] | None:
        """The positions that were not taken, where every record is a lane of its own; None elsewhere.

        To take one from here is what `take` does, without the call: 1 % of a record that never waits.
        """
        ...

    @property
    def left(self) -> int:
        """How many were neither taken nor held back; with none, nothing will start, however records end."""
        ...

    def take(self) -> int | None:
        """The position to start next; None while nothing may start."""
        ...

    def allows(self, position: int) -> bool:
        """Whether a position that was taken may still be started, after what has failed meanwhile."""
        ...

    def settle(self, position: int, succeeded: bool) -> None:  # noqa: FBT001 - once per record
        """Note that a record ended: the rest of its lane moves up, or is held back."""
        ...


@final
class SingleLanes:
    """Every record is a lane of its own, so they start in batch position.

    Args:
        ledger: Where records that are held back are noted.
        scope: What a failure holds back.
    """

    __slots__ = ("_cut", "_ledger", "_scope", "queue", "singles")

    def __init__(self, ledger: Ledger, scope: FailureScope) -> None:
        self.queue = False
        self._ledger = ledger
        self._scope = scope
        self._cut = len(ledger.succeeded)
        self.singles: Final[Iterator[int]] = iter(range(self._cut))

    def take(self) -> int | None:
        """The next position."""
        return next(self.singles, None)

    @property
    def left(self) -> int:
        """How many were neither taken nor held back."""
        return length_hint(self.singles)

    def allows(self, position: int) -> bool:
        """Whether nothing before it halts the batch."""
        return position < self._cut

    def settle(self, position: int, succeeded: bool) -> None:  # noqa: FBT001 - once per record
        """All that was not started stands behind a failed record, because positions ascend."""
        if not succeeded and self._scope is FailureScope.BATCH:
            self._cut = min(self._cut, position)
            for later in self.singles:
                self._ledger.skip(later, SkipReason.BATCH_HALTED)


class _QueuedLanes:
    """What lanes with queues in them have in common: who comes next in a lane, and what is held back.

    The mutable state:

    - ``_next``: for every position the next one of its lane; -1 at a lane's end;
    - ``_left``: how many positions were neither taken nor held back;
    - ``_cut``: in `FailureScope.BATCH`, the lowest position that did not succeed.

    Args:
        lanes: Positions by lane, ascending.
        ledger: Where records that are held back are noted.
        scope: What a failure holds back.
    """

    __slots__ = ("_cut", "_ledger", "_left", "_next", "_scope", "queue", "singles")

    def __init__(self, lanes: Iterable[list[int]], ledger: Ledger, scope: FailureScope) -> None:
        self.queue = True
        self.singles: Final = None
        self._ledger = ledger
        self._scope = scope
        self._cut = len(ledger.succeeded)
        self._left = 0
        self._next = [-1] * self._cut
        for lane in lanes:
            self._left += len(lane)
            for position, follower in pairwise(lane):
                self._next[position] = follower

    def allows(self, position: int) -> bool:
        """Whether nothing before it halts the batch."""
        return position < self._cut

    @property
    def left(self) -> int:
        """How many were neither taken nor held back."""
        return self._left

    def settle(self, position: int, succeeded: bool) -> None:  # noqa: FBT001 - once per record
        """Let the lane go on, or hold back what the failure scope says."""
        follower = self._next[position]
        if succeeded or self._scope is FailureScope.RECORD:
            if follower >= 0:
                self._readmit(position, follower)
            return
        self._hold_back(follower, SkipReason.LANE_HALTED)
        if self._scope is FailureScope.BATCH and position < self._cut:
            last, self._cut = self._cut, position
            self._halt_after(position, last)

    @abstractmethod
    def _readmit(self, position: int, follower: int) -> None:
        """Let the follower of a position be taken: nothing unfinished stands before it in its lane."""

    def _halt_after(self, cut: int, last: int) -> None:
        """Hold back what waits behind a position of the batch; lanes of `FailureScope.BATCH` do.

        Args:
            cut: The lowest position that did not succeed.
            last: The one before; what stands behind that has been held back.
        """

    def _hold_back(self, position: int, reason: SkipReason) -> None:
        """Hold back a position and what follows it in its lane."""
        while position >= 0:
            self._ledger.skip(position, reason)
            self._left -= 1
            position = self._next[position]


@final
class PositionLanes(_QueuedLanes):
    """The lane goes first whose next record stands first in the batch.

    More mutable state:

    - ``_frontier``: positions from here on were not looked at yet;
    - ``_waits``: 1 for a position that may not start: it waits for its predecessor, or is held back;
    - ``_ready``: positions behind the frontier that need wait no more, a heap.
    """

    __slots__ = ("_frontier", "_ready", "_waits")

    def __init__(self, lanes: Iterable[list[int]], ledger: Ledger, scope: FailureScope) -> None:
        lanes = list(lanes)
        super().__init__(lanes, ledger, scope)
        self._frontier = 0
        self._waits = bytearray(b"\1") * self._cut
        for lane in lanes:
            self._waits[lane[0]] = 0
        self._ready: list[int] = []

    def take(self) -> int | None:
        """The lowest position that may start."""
        if self._ready:
            self._left -= 1
            return heappop(self._ready)
        position, waits, cut = self._frontier, self._waits, self._cut
        while position < cut and waits[position]:
            position += 1
        if position >= cut:
            self._frontier = position
            return None
        self._frontier = position + 1
        self._left -= 1
        return position

    def _readmit(self, position: int, follower: int) -> None:  # noqa: ARG002 - the base class's
        if follower > self._cut:
            self._hold_back(follower, SkipReason.BATCH_HALTED)
        elif follower < self._frontier:
            heappush(self._ready, follower)
        else:
            self._waits[follower] = 0

    def _halt_after(self, cut: int, last: int) -> None:
        """What waits for a record in flight is held back when that one ends; the rest is now."""
        for position in self._ready:
            if position > cut:
                self._hold_back(position, SkipReason.BATCH_HALTED)
        self._ready = [position for position in self._ready if position < cut]
        heapify(self._ready)
        for position in range(max(self._frontier, cut + 1), last):
            if not self._waits[position]:
                self._waits[position] = 1
                self._hold_back(position, SkipReason.BATCH_HALTED)


@final
class LongestLanes(_QueuedLanes):
    """The lane goes first that has the most left, so that the makespan meets its lower bound.

    More mutable state:

    - ``_waiting``: the positions that may start, by the number of records that their lanes have left, negative:
      the longest sorts first;
    - ``_lengths``: the numbers for which there are any, a heap: few, where lanes are many.

    Never changed: ``_rest``, that number for every position when its turn comes.
    """

    __slots__ = ("_lengths", "_rest", "_waiting")

    def __init__(self, lanes: Iterable[list[int]], ledger: Ledger, scope: FailureScope) -> None:
        lanes = list(lanes)
        super().__init__(lanes, ledger, scope)
        self._rest = [0] * self._cut
        self._waiting: defaultdict[int, deque[int]] = defaultdict(deque)
        for lane in lanes:
            self._waiting[-len(lane)].append(lane[0])
            for rest, position in enumerate(lane, -len(lane)):
                self._rest[position] = rest
        self._lengths = list(self._waiting)
        heapify(self._lengths)

    def take(self) -> int | None:
        """The next position of the longest lane."""
        lengths = self._lengths
        if not lengths:
            return None
        positions = self._waiting[lengths[0]]
        position = positions.popleft()
        if not positions:
            heappop(lengths)
        self._left -= 1
        return position

    def settle(self, position: int, succeeded: bool) -> None:  # noqa: FBT001 - the protocol's
        """Let the lane go on, or hold back what the failure scope says."""
        if not succeeded:
            super().settle(position, succeeded)
        elif (follower := self._next[position]) >= 0:
            self._readmit(position, follower)

    def _readmit(self, position: int, follower: int) -> None:  # noqa: ARG002 - the base class's
        rest = self._rest[follower]
        positions = self._waiting[rest]
        if not positions:
            heappush(self._lengths, rest)
        positions.append(follower)


# --- records -> lanes ---------------------------------------------------------------------------------


def refuse_illegal(
    ordering: Ordering | KeyFunction | None, scope: FailureScope | None, rules: SourceRules | None
) -> None:
    """Refuse an ordering and a failure scope that break a rule together, or that the event source cannot have.

    Args:
        ordering: The option; None for the event source's default.
        scope: The option; None for the event source's default.
        rules: The event source, where it is known.

    Raises:
        InvalidOptionError: with the reason.
    """
    if ordering is not None and not isinstance(ordering, Ordering):
        _refuse_key_function(ordering)
    if ordering is None and rules is not None:
        ordering = rules.ordering
    if scope is FailureScope.RECORD and ordering is not None and ordering is not Ordering.UNORDERED:
        raise InvalidOptionError(
            "failure_scope",
            "RECORD would start a record although an earlier one of its lane did not succeed",
            "Use LANE or BATCH, or ordering=Ordering.UNORDERED where order does not matter.",
        )
    if ordering is Ordering.BY_KEY and rules is not None and rules.keys is None:
        raise InvalidOptionError(
            "ordering",
            f"BY_KEY needs a key, and records of {rules.source.value} have none",
            "Give a function from the record to its key instead.",
        )


def _refuse_key_function(ordering: object) -> None:
    if not callable(ordering):
        raise InvalidOptionError(
            "ordering",
            f"must be an Ordering or a function from a record to its key, but is {type(ordering).__name__}",
        )
    if (
        inspect.iscoroutinefunction(ordering)
        or inspect.isgeneratorfunction(ordering)
        or inspect.isasyncgenfunction(ordering)
    ):
        raise InvalidOptionError(
            "ordering",
            "a key function must be a plain function: keys are needed before anything runs",
        )


def build_lanes(
    batch: Batch,
    rules: SourceRules,
    ledger: Ledger,
    ordering: Ordering | KeyFunction,
    scope: FailureScope,
) -> tuple[Lanes, Sequence[Hashable] | None]:
    """Sort a batch's records into lanes.

    Args:
        batch: The records.
        rules: Their event source.
        ledger: Where records are noted that may not start at all.
        ordering: What a lane is.
        scope: What a failure holds back.

    Returns:
        The lanes, and the lane key of every record; None for the keys where every record is its own lane.
    """
    size = len(batch.raws)
    if ordering is Ordering.UNORDERED and batch.distinct == size:
        return SingleLanes(ledger, scope), None
    if isinstance(ordering, Ordering):
        keys = batch.lane_keys(ordering)
    else:
        keys = _keys_by_function(batch, rules, ledger, ordering, scope)
    lanes = _positions_by_key(keys, ledger)
    if len(lanes) == size:
        return SingleLanes(ledger, scope), keys
    # Where only a contiguous prefix counts (of the batch, or of a unit that lanes cut across), the first in
    # position goes first, so that every run moves the checkpoint, also one that is cut short. Elsewhere the
    # longest lane does: the makespan meets its lower bound.
    lanes_are_units = rules.redelivery is Redelivery.UNIT_SUFFIX and ordering is rules.ordering
    only_prefix_counts = not (rules.redelivery is Redelivery.NAMED or lanes_are_units)
    if scope is FailureScope.BATCH or only_prefix_counts:
        return PositionLanes(lanes.values(), ledger, scope), keys
    return LongestLanes(lanes.values(), ledger, scope), keys


def _positions_by_key(keys: Iterable[Hashable], ledger: Ledger) -> dict[Hashable, list[int]]:
    """The positions of each lane, without those that were refused."""
    lanes: dict[Hashable, list[int]] = {}
    refused = ledger.failures or ledger.skips
    for position, key_of_record in enumerate(keys):
        if refused and (position in ledger.failures or position in ledger.skips):
            continue
        lane = lanes.get(key_of_record)
        if lane is None:
            lanes[key_of_record] = [position]
        else:
            lane.append(position)
    return lanes


@final
class Halts:
    """What failures hold back where records run one after another, in batch position: no lane has to wait there.

    Args:
        batch: The records.
        rules: Their event source, in its own ordering and failure scope.
        ledger: Where records that are held back are noted.
    """

    __slots__ = ("_halted", "_keys", "_ledger", "_scope")

    def __init__(self, batch: Batch, rules: SourceRules, ledger: Ledger) -> None:
        self._ledger = ledger
        self._scope = rules.scope
        self._keys = None if rules.scope is FailureScope.RECORD else batch.lane_keys(rules.ordering)
        self._halted: set[Hashable] = set()

    def note(self, position: int) -> None:
        """Note that a record did not succeed."""
        if self._keys is not None:
            self._halted.add(self._keys[position])

    def holds(self, position: int) -> bool:
        """Whether a record may not start, because of one before it; the ledger then says why."""
        if self._keys is None or not self._halted:
            return False
        if self._keys[position] in self._halted:
            self._ledger.skip(position, SkipReason.LANE_HALTED)
        elif self._scope is FailureScope.BATCH:
            self._ledger.skip(position, SkipReason.BATCH_HALTED)
        return position in self._ledger.skips


def _keys_by_function(
    batch: Batch,
    rules: SourceRules,
    ledger: Ledger,
    function: KeyFunction,
    scope: FailureScope,
) -> list[Hashable]:
    """Ask the user's function.

    A record that it refuses fails unrun, and holds back what the source orders after it.
    """
    keys: list[Hashable] = []
    first_copies: dict[Hashable, Hashable] = {}
    halted_own: set[Hashable] = set()
    halted: set[Hashable] = set()
    refused = False
    # Where the event source orders nothing, no record that is refused holds back another.
    own_keys = None if rules.ordering is Ordering.UNORDERED else batch.lane_keys(rules.ordering)
    for position, raw in enumerate(batch.raws):
        try:
            key = _plain_key(function(rules.record_type(raw)))
        except BaseException as error:  # noqa: BLE001 - whatever it raises is this record's trouble alone
            ledger.fail(position, FailureReason.RAISED, error)
            ledger.raise_interrupt()  # nothing was started yet
            key = object()  # a lane that no other record is in
            refused = True
            if own_keys is not None:
                halted_own.add(own_keys[position])
        key = first_copies.setdefault(batch.names[position], key)  # copies share a lane
        keys.append(key)
        if position in ledger.failures:
            halted.add(key)
        elif not refused:
            continue
        elif scope is FailureScope.BATCH:
            ledger.skip(position, SkipReason.BATCH_HALTED)
        elif key in halted or (own_keys is not None and own_keys[position] in halted_own):
            ledger.skip(position, SkipReason.LANE_HALTED)
            halted.add(key)
    return keys


def _plain_key(key: Hashable) -> Hashable:
    hash(key)
    problem = undone_work(key)
    if problem is not None:
        message = f"the key function returned {problem}"
        raise TypeError(message)
    return key
