"""The same worlds step by step: hypothesis sends, waits, freezes and looks at any time."""

import logging
from typing import Any

import pytest
from fates import ENDLESS, FAILING, Fate
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from invariants import LAWS, broken_laws, it_comes_to_an_end
from worlds import GOOD, Observed, Sent, World

from asyncbatch import EventSource

pytestmark = pytest.mark.filterwarnings("ignore")  # a killed process leaves coroutines unawaited

ALWAYS = [law for law in LAWS if law is not it_comes_to_an_end]


def fate(kinds: Any) -> st.SearchStrategy[Fate]:
    return st.builds(
        Fate,
        st.sampled_from([kind.__name__ for kind in kinds]),
        st.sampled_from([0.1, 0.3]),
        st.integers(0, 2),
    )


class Source(RuleBasedStateMachine):
    """An event source with a function behind it, whose laws hold after every step."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        self.number = 0

    @initialize(
        source=st.sampled_from(EventSource),
        batch_size=st.sampled_from([1, 3, 10]),
        limits=st.lists(st.integers(1, 4), min_size=1, max_size=3),
        duplicates=st.sampled_from([0.0, 0.2]),
        crashes=st.sampled_from([0.0, 0.3]),
        seed=st.integers(0, 1 << 16),
    )
    def begin(
        self, *, source: Any, batch_size: int, limits: Any, duplicates: float, crashes: float, seed: int
    ) -> None:
        mapping = {
            "batch_size": batch_size,
            "duplicate_rate": duplicates,
            "crash_rate": crashes,
            "seed": seed,
            "function_timeout": 2.0,
        }
        if source in {EventSource.SQS, EventSource.SQS_FIFO}:
            mapping["max_receive_count"] = None
        engine = {"ordering": None, "raise_on_failure": "never"}
        self.observed = Observed(World(source, (), mapping, engine, tuple(limits)))
        self.lived = self.observed.lived

    @rule(
        key=st.sampled_from(["k0", "k1", "k2"]),
        partition=st.integers(0, 0),
        after=st.sampled_from([0.0, 1.0, 40.0]),
        bad=st.lists(fate(FAILING + ENDLESS), max_size=2),
        work=fate(GOOD),
    )
    def send(self, key: str, partition: int, after: float, bad: Any, work: Fate) -> None:
        self.number += 1
        # Nothing overtakes what was sent before it: the order of sending is the order of the lane.
        self.latest = max(getattr(self, "latest", 0.0), self.lived.mapping.now + after)
        delay = self.latest - self.lived.mapping.now
        self.observed.send(Sent(f"r{self.number}", key, partition, delay, tuple(bad), work))

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 31.0, 600.0]))
    def wait(self, seconds: float) -> None:
        self.lived.mapping.run(until=self.lived.mapping.now + seconds)

    @invariant()
    def laws_hold(self) -> None:
        if hasattr(self, "lived"):
            assert [text for law in ALWAYS for text in law(self.lived)] == []

    def teardown(self) -> None:
        try:
            if hasattr(self, "lived"):
                with self.lived.mapping as mapping:
                    mapping.run(max_invocations=5000)
                assert broken_laws(self.lived) == []
        finally:
            logging.disable(logging.NOTSET)


TestSource = Source.TestCase
TestSource.settings = settings(stateful_step_count=12)
