"""An invocation without records beside the least that a kept loop can do."""

import asyncio
from collections.abc import Iterator

from benchmarks.batches import context, never_waits
from benchmarks.effort import Effort
from benchmarks.figures import Figure
from benchmarks.rounds import interleave, ratio
from benchmarks.subjects import asyncbatch_default_call

SECTION = "An invocation without records, ratio to a bare run_until_complete and the thaw tick"
TARGET = 2.0


def measure(effort: Effort) -> Iterator[Figure]:
    """Measure the floor of an invocation."""
    call = asyncbatch_default_call(never_waits(), 0)
    lambda_context = context()
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
        section=SECTION,
        case="no records",
        subject="asyncbatch",
        value=ratio(samples, "asyncbatch", "bare"),
        target=TARGET,
        absolute=min(samples["asyncbatch"]) * 1e6,
    )
