"""Tumbling windows of a stream's mapping: the state that goes from one invocation of a window to the next.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast, final

from asyncbatch.testing._events import EPOCH_MS, Event
from asyncbatch.testing._verdicts import Verdict, failed_batch

_MAX_STATE: Final = 1024 * 1024
"""Bytes of state per shard."""


@final
@dataclass(slots=True)
class TumblingWindow:
    """One window of a shard.

    Attributes:
        begin: Its beginning, in seconds of the simulation.
        length: Its length in seconds.
        state: What the last reply passed on.
        cut_short: Whether it has to end early, its state being too large.
    """

    begin: float
    length: float
    state: Any
    cut_short: bool = False

    @property
    def end(self) -> float:
        return self.begin + self.length

    def event(self, records: list[dict[str, Any]], shard: str, arn: str, *, final: bool) -> Event:
        """The event of an invocation in this window.

        Args:
            records: Its records; none for the final one.
            shard: The shard's identifier.
            arn: The stream's ARN.
            final: Whether it is the window's last.
        """
        return {
            "Records": records,
            "window": {"start": _iso(self.begin), "end": _iso(self.end)},
            "state": self.state,
            "shardId": shard,
            "eventSourceARN": arn,
            "isFinalInvokeForWindow": final,
            "isWindowTerminatedEarly": final and self.cut_short,
        }

    def take_state(self, reply: str) -> None:
        """Keep what a reply passes on."""
        answer = json.loads(reply)
        if isinstance(answer, dict):
            self.state = cast("dict[str, Any]", answer).get("state")
            self.cut_short = len(json.dumps(self.state)) > _MAX_STATE


def judge_state(size: int, reply: str) -> Verdict | None:
    """A reply within a window without a state is a failed invocation."""
    try:
        answer: Any = json.loads(reply)
    except ValueError:
        return None  # of which the usual rules tell
    if isinstance(answer, dict) and "state" in answer:
        return None
    return failed_batch(size, "the reply has no state, which a tumbling window needs")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(EPOCH_MS / 1000 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
