"""How many records may be in flight, or start in a second, where a fixed number is not what is wanted.

Give one to ``concurrency``; the object keeps what it has learnt over warm invocations, and engines that share it
share that. Each of two runs at the same time may have as many in flight as the limit says, and each of Lambda's
environments has a limit of its own. For a quota in calls per second there is `RateLimit`, the engine's
``rate_limit``: a limit would have to find it out by refusals.

| limit | for |
|---|---|
| a whole number, `FixedLimit` | a number that was measured: ``asyncbatch tune`` |
| `AdaptiveLimit` | the recommended one: finds the knee of whatever the handler calls, and stays there |
| `AIMDLimit` | what refuses when there is too much of it, and tells nothing before |
| `Gradient2Limit` | those who know it from Netflix's concurrency-limits |
"""

from asyncbatch.limits._adaptive import AdaptiveLimit
from asyncbatch.limits._aimd import AIMDLimit
from asyncbatch.limits._drops import is_overload
from asyncbatch.limits._gradient2 import Gradient2Limit
from asyncbatch.limits._limit import FixedLimit, Limit, Verdict
from asyncbatch.limits._rate import RateLimit

__all__ = [
    "AIMDLimit",
    "AdaptiveLimit",
    "FixedLimit",
    "Gradient2Limit",
    "Limit",
    "RateLimit",
    "Verdict",
    "is_overload",
]
