"""The laws, checked on what was seen of a run.

Nothing here asks the engine how it works: the batch, the options and AWS's rules are enough.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import inf

from fates import ENDS_AT_SECOND_CANCEL, GOOD_KINDS, STUBBORN
from histories import GRACE, STREAMS, Seen, raw_records

from asyncbatch import (
    EventSource,
    Failed,
    FailureReason,
    FailureScope,
    Ordering,
    Skipped,
    SkipReason,
    Succeeded,
)

EPSILON = 1e-6


def broken_laws(seen: Seen) -> list[str]:
    """The laws that a run broke, each with what was seen; none for a run as it should be."""
    if seen.error is not None:
        return [f"returns a report: {type(seen.error).__name__}: {seen.error}"]
    found: list[str] = []
    for law in LAWS:
        name = law.__name__.replace("_", " ")
        found += [f"{name}: {what}" for what in law(seen)]
    return found


def one_outcome_per_record_in_input_order(seen: Seen) -> Iterator[str]:
    positions = [outcome.position for outcome in seen.outcomes]
    if positions != list(range(seen.case.size)):
        yield f"positions {positions} for {seen.case.size} records"
    raws = raw_records(seen.case.event())
    for outcome in seen.outcomes:
        if outcome.record.raw != raws[outcome.position]:
            yield f"the outcome at {outcome.position} is of another record"


def in_flight_is_never_above_the_limit(seen: Seen) -> Iterator[str]:
    if seen.case.moves:
        yield from _starts_above_a_moving_limit(seen)
        return
    in_flight: set[int] = set()
    for time, what, position in seen.log:
        (in_flight.add if what == "start" else in_flight.discard)(position)
        if len(in_flight) > seen.case.limit:
            yield f"{sorted(in_flight)} at {time}"


def _starts_above_a_moving_limit(seen: Seen) -> Iterator[str]:
    """In flight follows a falling limit as records end: until it is below, nothing starts."""
    limit, in_flight = seen.case.limit, 0
    for what, value in seen.followed:
        if what == "limit":
            limit = value
        elif what == "ended":
            in_flight -= 1
        else:
            in_flight += 1
            if in_flight > limit:
                yield f"{value} was started as number {in_flight} of {limit}"


def the_rate_is_kept(seen: Seen) -> Iterator[str]:
    """Over any time no more records start than the rate gives, and what 10 ms may make up for."""
    rate = seen.case.rate
    if rate is None:
        return
    times = sorted(seen.started.values())
    for at, begin in enumerate(times):
        for number, end in enumerate(times[at + 1 :], start=1):
            if number > (end - begin + 0.01) * rate + EPSILON:
                yield f"{number + 1} started from {begin} to {end}"


def the_return_waits_for_nothing_but_records(seen: Seen) -> Iterator[str]:
    """When all that started has ended, and nothing more will start, the run is over (but for leftovers' grace)."""
    last = max(seen.ended.values(), default=0.0)
    early = seen.took < seen.case.seal_after - EPSILON
    if early and seen.started.keys() == seen.ended.keys() and seen.took > last + GRACE + EPSILON:
        yield f"the last record ended at {last}, the return was at {seen.took}"


def the_limit_is_reached(seen: Seen) -> Iterator[str]:
    """Whenever time passes, either the limit is reached or nothing may start."""
    if seen.case.rate is not None:
        return
    started: set[int] = set()
    ended: set[int] = set()
    moments = [*seen.log, (seen.took, "return", -1)]
    for number, ((time, what, position), (then, _, _)) in enumerate(pairwise(moments), start=1):
        (started if what == "start" else ended).add(position)
        if then - time < EPSILON or time > seen.case.seal_after - EPSILON:
            continue
        if len(started - ended) < seen.limit_at(number):
            idle = _startable(seen, started, ended)
            if idle:
                yield f"at {time} {sorted(idle)} could have started; in flight {sorted(started - ended)}"


def _startable(seen: Seen, started: set[int], ended: set[int]) -> set[int]:
    case, scope = seen.case, seen.case.effective_scope
    bad = {position for position in ended if not _succeeded(seen, position)} | case.refused
    lanes: dict[object, list[int]] = {}
    for position in range(case.size):
        if position not in case.held_from_the_start:
            lanes.setdefault(case.lane(position), []).append(position)
    found: set[int] = set()
    for lane in lanes.values():
        before = [position for position in lane if position in started]
        rest = lane[len(before) :]
        if not rest or set(before) - ended:
            continue
        if scope is not FailureScope.RECORD and set(before) & bad:
            continue
        if scope is FailureScope.BATCH and any(position < rest[0] for position in bad):
            continue
        found.add(rest[0])
    return found


def order_within_a_lane(seen: Seen) -> Iterator[str]:
    case = seen.case
    started: dict[object, list[int]] = {}
    in_flight: dict[object, int] = {}
    for _, what, position in seen.log:
        lane = case.lane(position)
        if what == "end":
            in_flight.pop(lane, None)
            continue
        if lane in in_flight:
            yield f"{position} started while {in_flight[lane]} of its lane was in flight"
        in_flight[lane] = position
        started.setdefault(lane, []).append(position)
    for lane, positions in started.items():
        whole = [position for position in range(case.size) if case.lane(position) == lane]
        if positions != whole[: len(positions)]:
            yield f"the lane {whole} was started as {positions}"


def a_failure_holds_back_what_its_scope_says(seen: Seen) -> Iterator[str]:
    case, scope = seen.case, seen.case.effective_scope
    bad: dict[int, float] = dict.fromkeys(case.refused, -1.0)
    for time, what, position in seen.log:
        if what == "end" and not _succeeded(seen, position):
            bad[position] = time
        if what == "end":
            continue
        if position in case.held_from_the_start:
            yield f"{position} started behind a record that the key function refused"
        # A task that is not started eagerly is in flight before its handler's first step.
        since = time if case.eager else time - EPSILON
        known = {each for each, end in bad.items() if end <= since}
        if scope is FailureScope.BATCH and any(each < position for each in known):
            yield f"{position} started after {sorted(bad)} had not succeeded"
        if scope is FailureScope.LANE and any(case.lane(each) == case.lane(position) for each in bad):
            yield f"{position} started after {sorted(bad)} of its lane"


def success_is_earned_and_kept(seen: Seen) -> Iterator[str]:
    """A record succeeded exactly if its handler did its work, in time, before the seal."""
    case = seen.case
    timeout = case.record_timeout or inf
    for outcome in seen.outcomes:
        position = outcome.position
        done = seen.done_well.get(position)
        slack = _time_to_spare(seen, position)
        if isinstance(outcome, Succeeded):
            if done is None or slack < -EPSILON:
                yield f"{position} succeeded: done at {done}, {slack} s to spare"
            if position not in seen.ended:
                yield f"{position} succeeded before its handler ended"
        elif done is not None and slack > EPSILON:
            yield f"{position} did its work with {slack} s to spare, but: {outcome}"
        if done is not None and done - seen.started[position] > timeout + EPSILON:
            yield f"{position} was let work beyond its timeout"


def _time_to_spare(seen: Seen, position: int) -> float:
    """Seconds between the end of a record's work and whatever would have made it too late."""
    done = seen.done_well.get(position)
    if done is None:
        return -inf
    timeout = seen.case.record_timeout or inf
    return min(seen.started[position] + timeout, seen.case.seal_after) - done


def one_records_trouble_is_its_own(seen: Seen) -> Iterator[str]:
    """A record that would go well is failed by nothing but the clock, and skipped for a reason that is there."""
    not_succeeded = [o.position for o in seen.outcomes if not isinstance(o, Succeeded)]
    for outcome in seen.outcomes:
        if isinstance(outcome, Failed):
            yield from _failed_for_nothing(seen, outcome)
        elif isinstance(outcome, Skipped):
            yield from _skipped_for_nothing(seen, outcome, not_succeeded)


def _failed_for_nothing(seen: Seen, outcome: Failed) -> Iterator[str]:
    case, position = seen.case, outcome.position
    if position not in seen.started:
        if position not in case.refused:
            yield f"{position} failed without a start"
        return
    end = seen.ended.get(position, inf)
    if outcome.reason is FailureReason.TIMED_OUT:
        if end - seen.started[position] < (case.record_timeout or inf) - EPSILON:
            yield f"{position} timed out after {end - seen.started[position]} s"
    elif outcome.reason is FailureReason.DEADLINE:
        if end < case.seal_after - EPSILON:
            yield f"{position} failed by the deadline although it ended before"
    elif case.fates[position].kind in GOOD_KINDS:
        yield f"{position} would have gone well, but: {outcome.reason} {outcome.message}"


def _skipped_for_nothing(seen: Seen, outcome: Skipped, bad: list[int]) -> Iterator[str]:
    case, position = seen.case, outcome.position
    if position in seen.started:
        yield f"{position} was skipped although it was started"
    before = [each for each in bad if each < position]
    kin = [each for each in before if case.lane(each) == case.lane(position)]
    kin += [each for each in before if position in case.held_from_the_start]
    if outcome.reason is SkipReason.LANE_HALTED and not kin:
        yield f"{position} was held back, but nothing failed before it in its lane"
    if outcome.reason is SkipReason.BATCH_HALTED and not before:
        yield f"{position} was held back, but nothing failed before it"
    in_time = seen.took < case.seal_after - EPSILON and case.rate is None  # or it was due after the deadline
    if outcome.reason is SkipReason.DEADLINE and in_time:
        yield f"{position} was skipped by the deadline at {seen.took}"
    if outcome.reason is SkipReason.STOPPED:
        yield f"{position} was skipped by a stop that nobody asked for"


def a_timed_out_record_is_cancelled_until_it_ends(seen: Seen) -> Iterator[str]:
    if seen.case.record_timeout is None:
        return
    for position, end in seen.ended.items():
        kind = seen.case.fates[position].kind
        allowed = GRACE if kind in ENDS_AT_SECOND_CANCEL else inf if kind in STUBBORN else 0.0
        if end - seen.started[position] > seen.case.record_timeout + allowed + EPSILON:
            yield f"{position} ({kind}) ended after {end - seen.started[position]} s"


def the_reply_is_on_time(seen: Seen) -> Iterator[str]:
    case = seen.case
    if seen.took > case.seal_after + GRACE + EPSILON:
        yield f"sealed at {case.seal_after}, returned at {seen.took}"
    if case.deadline is not None and seen.took > max(case.deadline, GRACE) + EPSILON:
        yield f"deadline {case.deadline}, returned at {seen.took}"


def nothing_runs_after_the_return(seen: Seen) -> Iterator[str]:
    names = {_hashable(name) for name in seen.report.still_running}
    named = {o.position for o in seen.outcomes if _hashable(o.id) in names}
    if seen.case.in_own_loop:
        if seen.left_on_loop:
            yield f"tasks of {seen.left_on_loop} are on the loop"
        allowed: set[int] = set()
    else:
        left = {position for position in seen.left_on_loop if position is not None}
        if not left <= named:
            yield f"{sorted(left - named)} run on without being named in still_running"
        leaving = {"ok_leaves_a_task"}  # in the caller's loop such tasks are the caller's
        allowed = named | {p for p, fate in enumerate(seen.case.fates) if fate.kind in leaving}
    if seen.ghosts - allowed:
        yield f"{sorted(seen.ghosts - allowed)} ran after the return"
    obedient = {p for p in named if seen.case.fates[p].kind not in STUBBORN}
    copies = {p for p in obedient if seen.case.copy_of.count(seen.case.copy_of[p]) > 1}
    if obedient - copies:
        yield f"{sorted(obedient)} would have ended after two cancellations"
    if not seen.next_batch_succeeded:
        yield "the next batch on the loop was harmed"


def contexts_are_isolated(seen: Seen) -> Iterator[str]:
    if seen.strange_contexts:
        yield f"{sorted(seen.strange_contexts)} saw another's context variable"


def names_in_the_reply_are_of_this_event_once_each(seen: Seen) -> Iterator[str]:
    if seen.reply is None:
        if seen.case.source not in STREAMS | {EventSource.KAFKA}:
            yield "a queue's batch cannot be out of order"
        elif seen.case.copy_of == tuple(range(seen.case.size)):
            yield "the batch is in order, yet has no checkpoint"
        return
    named = [_hashable(name) for name in seen.reply]
    if len(set(named)) != len(named):
        yield "a name stands there twice"
    if not set(named) <= {_hashable(outcome.id) for outcome in seen.outcomes}:
        yield "a name is of no record of this event"


def only_earned_successes_are_taken_as_done(seen: Seen) -> Iterator[str]:
    for reading, done in _taken_as_done(seen):
        for position in sorted(done):
            if position not in seen.done_well or not _succeeded(seen, position):
                yield f"{position} ({reading})"


def nothing_is_taken_as_done_after_a_failure_in_its_lane(seen: Seen) -> Iterator[str]:
    case = seen.case
    ordered = case.effective_ordering is not Ordering.UNORDERED
    for reading, done in _taken_as_done(seen):
        for position in sorted(done):
            for earlier in range(position):
                kin = case.unit(earlier) == case.unit(position) or (
                    ordered and case.lane(earlier) == case.lane(position)
                )
                if kin and not _succeeded(seen, earlier):
                    yield f"{position} after {earlier} ({reading})"


def _taken_as_done(seen: Seen) -> Iterator[tuple[str, set[int]]]:
    """The positions that AWS takes as done after this reply, under every reading of its rules."""
    everything = set(range(seen.case.size))
    if seen.reply is None:
        return
    named = {_hashable(name) for name in seen.reply}
    where = {o.position for o in seen.outcomes if _hashable(o.id) in named}
    if seen.case.source in STREAMS:
        yield "all below the lowest name", {p for p in everything if p < min(where, default=1 << 30)}
        return
    yield "all that are not named", everything - where
    if seen.case.source is EventSource.KAFKA:
        lowest = dict.fromkeys(seen.case.partitions, 1 << 30)
        for position in where:
            partition = seen.case.partitions[position]
            lowest[partition] = min(lowest[partition], position)
        yield (
            "all below the lowest name of the partition",
            {p for p in everything if p < lowest[seen.case.partitions[p]]},
        )


def a_stream_batch_moves_its_checkpoint(seen: Seen) -> Iterator[str]:
    """If anything ran, its first record did: it moved the checkpoint, or is what did not succeed."""
    if seen.case.source in STREAMS and seen.started and isinstance(seen.outcomes[0], Skipped):
        yield f"{sorted(seen.started)} ran, and the checkpoint stays at the first record"


def the_loops_callbacks_do_not_raise(seen: Seen) -> Iterator[str]:
    yield from seen.in_callbacks


LAWS = (
    one_outcome_per_record_in_input_order,
    in_flight_is_never_above_the_limit,
    the_rate_is_kept,
    the_return_waits_for_nothing_but_records,
    the_limit_is_reached,
    order_within_a_lane,
    a_failure_holds_back_what_its_scope_says,
    success_is_earned_and_kept,
    one_records_trouble_is_its_own,
    a_timed_out_record_is_cancelled_until_it_ends,
    the_reply_is_on_time,
    nothing_runs_after_the_return,
    contexts_are_isolated,
    names_in_the_reply_are_of_this_event_once_each,
    only_earned_successes_are_taken_as_done,
    nothing_is_taken_as_done_after_a_failure_in_its_lane,
    a_stream_batch_moves_its_checkpoint,
    the_loops_callbacks_do_not_raise,
)


def _succeeded(seen: Seen, position: int) -> bool:
    return isinstance(seen.outcomes[position], Succeeded)


def _hashable(name: object) -> object:
    return tuple(sorted(name.items())) if isinstance(name, dict) else name
