"""An invocation without records beside the least that a kept loop can do."""

import asyncio
from collections.abc import Iterator
from functools import partial

from benchmarks.batches import context
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import asyncbatch_default_call, check_reply
from benchmarks.figures import Figure
from benchmarks.handlers import never_waits
from benchmarks.intervals import quotients
from benchmarks.rounds import interleave

TARGET = 2.0


def cases(effort: Effort) -> Iterator[Case]:
    yield Case("no records", partial(_measure, effort))


def _measure(effort: Effort) -> Iterator[Figure]:
    call = asyncbatch_default_call(never_waits())
    lambda_context = context()
    check_reply("asyncbatch", call({"Records": []}, lambda_context))
    loop = asyncio.new_event_loop()

    async def two_turns() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    samples = interleave(
        {
            "asyncbatch": lambda: call({"Records": []}, lambda_context),
            "bare": lambda: loop.run_until_complete(two_turns()),
        },
        rounds=effort.rounds,
    )
    loop.close()
    yield Figure(
        case="no records",
        subject="asyncbatch / bare loop",
        samples=quotients(samples["asyncbatch"], samples["bare"]),
        base="the bare loop",
        target=TARGET,
        absolute=min(samples["asyncbatch"]) * 1e6,
    )


SECTION = Section(
    title="An invocation without records, ratio to a bare run_until_complete with two loop turns",
    text="The floor of an invocation: two turns of the loop are what a thaw after a freeze needs.",
    cases=cases,
)
