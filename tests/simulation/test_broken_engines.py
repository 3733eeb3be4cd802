"""A test of the tests: for each law an engine that is broken on purpose, and the worlds that show it."""

import asyncio
import gc
import json
import logging
from collections.abc import Callable
from typing import Any

import invariants
import pytest
from defects import mutated
from worlds import World, lives, our_function

from asyncbatch import _invocation, _lanes
from asyncbatch._report import BatchReport
from asyncbatch._scheduler import Run
from asyncbatch.testing._events import Event

pytestmark = pytest.mark.filterwarnings("ignore")  # broken code leaves coroutines unawaited

SEEDS = 1500
"""Worlds that a defect has at most to show itself in; most do in the first few."""

IN_THE_ENGINE: dict[str, tuple[Any, str, str, Any]] = {
    "success before the handler": (
        Run._attempt,
        "result = await self._handler(record)",
        "self._ledger.succeeded[position] = 1; result = await self._handler(record)",
        invariants.nothing_is_taken_as_done_that_was_not_done,
    ),
    "only started records are reported": (
        BatchReport._named,
        "if not self._succeeded[position]:",
        "if not self._succeeded[position] and self._ledger.started[position] is not None:",
        invariants.nothing_is_taken_as_done_that_was_not_done,
    ),
    "a coroutine is taken for a result": (
        Run._attempt,
        "(result is None or self._is_plain(position, result))",
        "True",
        invariants.nothing_is_taken_as_done_that_was_not_done,
    ),
    "a checkpoint beyond the failure": (
        BatchReport._named,
        "yield self._succeeded.index(0)",
        "yield self._succeeded.rindex(0)",
        invariants.nothing_is_taken_as_done_that_was_not_done,
    ),
    "a lane per record": (
        _lanes._positions_by_key,
        "lanes.get(key_of_record)",
        "lanes.get(key_of_record := position)",
        invariants.order_within_a_lane,
    ),
    "only the failed of a group are reported": (
        BatchReport._named,
        "if unit in halted:",
        "if not self._succeeded[position]:",
        invariants.nothing_is_acknowledged_after_a_failure_in_its_lane,
    ),
    "a loop with a straggler is kept": (
        _invocation._tidy_up,
        "kept.spoiled or bool(run.stragglers) or not kept.tidy(known, grace)",
        "kept.spoiled",
        invariants.nothing_runs_on_after_its_invocation,
    ),
    "no deadline": (
        Run.start,
        "self._call_at(self._stop_at, ",
        "self._call_at(self._stop_at + 50.0, ",
        invariants.the_reply_is_on_time,
    ),
    "waits for stragglers": (
        Run._settled_within,
        "timer = self._loop.call_at(end, self._settled)",
        "timer = self._loop.call_at(end + 60.0, self._settled)",
        invariants.the_reply_is_on_time,
    ),
    "a name per failed copy": (
        BatchReport.failures.fget,
        "for position in named.values()]",
        "for position in self._named(rules)]",
        invariants.names_are_of_this_batch_once_each,
    ),
}


def _names_everything(function: Any) -> Any:
    def names_everything(event: Event, context: Any) -> Any:
        function(event, context)
        ids = [raw.get("messageId") for raw in event["Records"]]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in ids]}

    return names_everything


def _raises_what_it_should_report(function: Any) -> Any:
    def raises(event: Event, context: Any) -> Any:
        reply = function(event, context)
        if reply["batchItemFailures"]:
            raise LookupError
        return reply

    return raises


def _names_another_batchs_records(function: Any) -> Any:
    known: list[Any] = []

    def remembers(event: Event, context: Any) -> Any:
        reply = json.loads(json.dumps(function(event, context)))
        known.extend(reply["batchItemFailures"])
        return {**reply, "batchItemFailures": list(known)}

    return remembers


AROUND_IT: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "everything is named, every time": (_names_everything, invariants.nothing_gets_lost),
    "it raises where it should report": (
        _raises_what_it_should_report,
        invariants.the_function_raises_only_where_that_is_asked_for,
    ),
    "names of another batch": (_names_another_batchs_records, invariants.names_are_of_this_batch_once_each),
}


def worlds_that_break(law: Any, make: Any = our_function) -> Any:
    for seed in range(SEEDS):
        lived = lives(seed, make)
        if any(law(lived)):
            yield seed


@pytest.mark.parametrize("defect", IN_THE_ENGINE)
def test_a_defect_in_the_engine_is_noticed(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, text, instead, law = IN_THE_ENGINE[defect]
    monkeypatch.setattr(function, "__code__", mutated(function, text, instead))
    assert any(True for _ in worlds_that_break(law)), f"{SEEDS} worlds, and {law.__name__} holds"


@pytest.mark.parametrize("defect", AROUND_IT)
def test_a_defect_around_the_engine_is_noticed(defect: str) -> None:
    around, law = AROUND_IT[defect]

    def make(world: World, handler: Any) -> Any:
        return around(our_function(world, handler))

    assert any(True for _ in worlds_that_break(law, make)), f"{SEEDS} worlds, and {law.__name__} holds"


def test_a_mapping_that_stops_is_noticed() -> None:
    """The end that every world has to come to: a record that is never delivered again."""
    lived = lives(0)
    lived.mapping.records[0].state = type(lived.mapping.records[0].state).WAITING
    assert list(invariants.it_comes_to_an_end(lived))


def gather(world: World, handler: Any) -> Any:
    """What is written first: everything at once, and exceptions are failures."""

    def function(event: Any, context: Any) -> Any:
        from asyncbatch._events import read_event

        batch = read_event(event, None)

        async def one(position: int) -> Any:
            try:
                await handler(batch.rules.record_type(batch.raws[position]))
            except Exception:
                return {"itemIdentifier": batch.identifier(position)}

        async def main() -> Any:
            failed = await asyncio.gather(*map(one, range(len(batch.raws))))
            return {"batchItemFailures": [each for each in failed if each], "state": event.get("state")}

        return asyncio.run(main())

    return function


def test_an_engine_as_it_is_usually_written_breaks_most_laws() -> None:
    broken: set[str] = set()
    for seed in range(300):
        lived = lives(seed, gather)
        broken |= {law.__name__ for law in invariants.LAWS if any(law(lived))}
    logging.disable(logging.CRITICAL)
    gc.collect()  # asyncio logs what such an engine leaves behind
    logging.disable(logging.NOTSET)
    assert broken >= {
        "nothing_is_taken_as_done_that_was_not_done",
        "order_within_a_lane",
        "nothing_is_acknowledged_after_a_failure_in_its_lane",
        "the_reply_is_on_time",
    }


def test_every_law_has_a_defect_that_breaks_it() -> None:
    laws = {law for *_, law in IN_THE_ENGINE.values()} | {law for _, law in AROUND_IT.values()}
    assert laws | {invariants.it_comes_to_an_end} == set(invariants.LAWS)
