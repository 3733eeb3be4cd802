"""Damaged events through the engine and the drop-in: an error before a handler runs, or nothing is lost."""

import pytest
from cases import Case
from damage import KINDS
from hypothesis import given
from hypothesis import strategies as st
from oracle import complaints, engine_rows, is_through_facade
from runs import run_case
from strategies import cases, good_cases

from asyncbatch import InvalidEventError

# A handler whose coroutine is thrown away with its loop is the case's, not the package's.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
def test_a_damaged_event_loses_nothing(kind: str, data) -> None:
    case = data.draw(cases(kind))
    assert complaints(run_case(case)) == []


@given(case=good_cases())
def test_a_good_event_is_never_refused(case: Case) -> None:
    seen = run_case(case)
    assert complaints(seen) == []
    if not is_through_facade(seen) and engine_rows(seen)[1] is not None:
        assert not isinstance(seen.error, InvalidEventError)
