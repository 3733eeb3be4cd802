"""Studies on simulated backends, in virtual time."""

from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch import BatchHandler, EventSource, batch_handler
from asyncbatch.testing import SimulatedBackend, sample_event
from asyncbatch.tuning import Plan, Study, tune

EVENT = sample_event(EventSource.SQS, 100)


def calling(backend: SimulatedBackend, **options: Any) -> BatchHandler[Any]:
    """A handler that calls a backend."""

    @batch_handler(**options)
    async def handler(record: object) -> None:
        await backend.call()

    return handler


StudyOf = Callable[..., Study]


@pytest.fixture(scope="session")
def study() -> Study:
    """A study of a handler whose backend has 5 servers and refuses the 16th call."""
    backend = SimulatedBackend(servers=5, queue_limit=10, seed=3)
    return tune(calling(backend), EVENT, Plan(rounds=3), virtual_time=True)
