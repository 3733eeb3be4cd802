"""Whole worlds on a virtual clock: source, mapping, Lambda environments, function. No law is ever broken."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invariants import broken_laws
from worlds import draw, live, lives

from asyncbatch import EventSource

pytestmark = pytest.mark.filterwarnings("ignore")  # a killed process leaves coroutines unawaited


@pytest.mark.timeout(600)
def test_twenty_thousand_worlds_break_no_law(soak: "subprocess.Popen[str]") -> None:
    told, _ = soak.communicate(timeout=590)
    assert soak.returncode == 0, told
    assert told.splitlines()[-1].startswith("20000 worlds lived in")


@given(st.randoms(use_true_random=False))
def test_no_law_is_broken_whatever_is_drawn(rng) -> None:
    lived = live(draw(rng))
    assert not broken_laws(lived), lived.world


def test_worlds_replay() -> None:
    for seed in range(60):
        first, second = (lives(seed) for _ in range(2))
        assert first.mapping.journal == second.mapping.journal
        assert [(each.label, each.started, each.done_well) for each in first.tries] == [
            (each.label, each.started, each.done_well) for each in second.tries
        ]


def test_worlds_hold_what_they_are_for() -> None:
    """Every event source, crashes, lost replies, retries, dead letters, several environments."""
    lived = [lives(seed) for seed in range(400)]
    journals = "\n".join(str(each.mapping) for each in lived)
    assert {each.world.source for each in lived} == set(EventSource)
    for what in (
        "its process crashed",
        "its reply got lost on the way",
        "the function raised FailedBatchError",
        "to the dead-letter queue",
        "to the failure destination",
        "split: ",
        "the reply names",
        "environment 2",
        "the window from",
    ):
        assert what in journals, what
    assert any(each.world.facade for each in lived)
    assert sum(len(each.mapping.invocations) for each in lived) > 1000
