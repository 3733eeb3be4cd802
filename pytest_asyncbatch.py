"""The pytest plugin of asyncbatch: fixtures over `asyncbatch.testing`.

It stands beside the package and loads nothing of it before a fixture is used, so that suites which use none pay
nothing. `asyncbatch_seed` says how a failure is replayed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from asyncbatch.testing import (
        DynamoDBMapping,
        EventSourceMapping,
        KafkaMapping,
        KinesisMapping,
        LambdaContext,
        SqsFifoMapping,
        SqsMapping,
        VirtualClock,
    )

    M = TypeVar("M", bound=EventSourceMapping)

_seed = pytest.StashKey[int]()
_made = pytest.StashKey["Mappings"]()

_OPTION = "--asyncbatch-seed"
_SHOWN = 60  # lines of a journal under a failed test


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that replays a seed."""
    group = parser.getgroup("asyncbatch")
    group.addoption(
        _OPTION,
        type=int,
        metavar="N",
        help="seed of asyncbatch's simulations; without it every test draws another one, and a failure shows it",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the seed of a test that failed, and what its mappings did."""
    report = yield
    if report.failed and _seed in item.stash:
        seed = item.stash[_seed]
        report.sections.append(
            ("asyncbatch seed", f"{seed}: replay with `pytest {item.nodeid!r} {_OPTION}={seed}`")
        )
        if call.when == "call" and _made in item.stash:
            for mapping in item.stash[_made].made:
                report.sections.append((f"asyncbatch {mapping!r}", "\n".join(mapping.journal[-_SHOWN:])))
    return report


@pytest.fixture
def asyncbatch_seed(request: pytest.FixtureRequest) -> int:
    """What the simulations of this test are drawn from: ``--asyncbatch-seed``, or another number every time."""
    given: int | None = request.config.getoption(_OPTION)
    seed = secrets.randbelow(1 << 32) if given is None else given
    request.node.stash[_seed] = seed
    return seed


@pytest.fixture
def virtual_clock(asyncbatch_seed: int) -> Iterator[VirtualClock]:
    """A `VirtualClock`: every event loop that the test makes lives on it."""
    from asyncbatch.testing import VirtualClock  # noqa: PLC0415 - only where it is used

    with VirtualClock(seed=asyncbatch_seed) as clock:
        yield clock


@pytest.fixture
def lambda_context(request: pytest.FixtureRequest) -> LambdaContext:
    """A `LambdaContext` with 30 seconds left, on the virtual clock where the test uses that."""
    from asyncbatch.testing import LambdaContext  # noqa: PLC0415 - only where it is used

    if "virtual_clock" in request.fixturenames:
        clock: VirtualClock = request.getfixturevalue("virtual_clock")
        return LambdaContext(30.0, clock=clock.time)
    return LambdaContext(30.0)


class Mappings:
    """Makes the mappings of one test, with its seed, and closes them behind it."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.made: list[EventSourceMapping] = []

    def of(self, kind: Callable[..., M]) -> Callable[..., M]:
        """The function that makes mappings of a kind."""

        def make(function: Callable[[Any, Any], Any], **options: Any) -> M:
            mapping = kind(function, **{"seed": self._seed, **options})
            self.made.append(mapping)
            return mapping

        return make


@pytest.fixture
def _mappings(request: pytest.FixtureRequest, asyncbatch_seed: int) -> Iterator[Mappings]:
    mappings = request.node.stash[_made] = Mappings(asyncbatch_seed)
    yield mappings
    for mapping in mappings.made:
        mapping.close()


@pytest.fixture
def sqs_mapping(_mappings: Mappings) -> Callable[..., SqsMapping]:
    """Makes a `SqsMapping` around a Lambda function, with this test's seed; its options by name."""
    from asyncbatch.testing import SqsMapping  # noqa: PLC0415 - only where it is used

    return _mappings.of(SqsMapping)


@pytest.fixture
def sqs_fifo_mapping(_mappings: Mappings) -> Callable[..., SqsFifoMapping]:
    """Makes a `SqsFifoMapping` around a Lambda function, with this test's seed; its options by name."""
    from asyncbatch.testing import SqsFifoMapping  # noqa: PLC0415 - only where it is used

    return _mappings.of(SqsFifoMapping)


@pytest.fixture
def kinesis_mapping(_mappings: Mappings) -> Callable[..., KinesisMapping]:
    """Makes a `KinesisMapping` around a Lambda function, with this test's seed; its options by name."""
    from asyncbatch.testing import KinesisMapping  # noqa: PLC0415 - only where it is used

    return _mappings.of(KinesisMapping)


@pytest.fixture
def dynamodb_mapping(_mappings: Mappings) -> Callable[..., DynamoDBMapping]:
    """Makes a `DynamoDBMapping` around a Lambda function, with this test's seed; its options by name."""
    from asyncbatch.testing import DynamoDBMapping  # noqa: PLC0415 - only where it is used

    return _mappings.of(DynamoDBMapping)


@pytest.fixture
def kafka_mapping(_mappings: Mappings) -> Callable[..., KafkaMapping]:
    """Makes a `KafkaMapping` around a Lambda function, with this test's seed; its options by name."""
    from asyncbatch.testing import KafkaMapping  # noqa: PLC0415 - only where it is used

    return _mappings.of(KafkaMapping)
