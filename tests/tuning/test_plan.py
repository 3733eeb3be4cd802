"""Which limits are run, and how many records each."""

import numpy as np
import pytest

from asyncbatch import InvalidOptionError
from asyncbatch.tuning import Plan
from asyncbatch.tuning._plan import chosen_limits, goes_on
from asyncbatch.tuning._run import Run, Tally


def looked_at(limit, throughput, *, latency=0.1, in_flight=None, drops=0, succeeded=100):
    return Run(
        limit=limit,
        throughput=throughput,
        latencies=np.full(succeeded, latency),
        in_flight=limit if in_flight is None else in_flight,
        peak=limit,
        duration=1.0,
        tail=0.1,
        tally=Tally(succeeded=succeeded, drops=drops),
        began=0.0,
        first_error=None,
    )


class TestGoesOn:
    def test_while_throughput_grows(self):
        assert goes_on([looked_at(1, 10), looked_at(2, 20), looked_at(4, 39)], 1000)

    def test_not_once_it_does_not(self):
        runs = [looked_at(8, 80), looked_at(16, 160), looked_at(32, 165)]
        assert not goes_on(runs, 1000)

    def test_past_one_step_that_gives_nothing_among_few_records(self):
        runs = [looked_at(1, 10), looked_at(2, 10)]
        assert goes_on(runs, 1000)
        assert not goes_on([*runs, looked_at(4, 10)], 1000)

    def test_not_beyond_the_highest(self):
        assert not goes_on([looked_at(1, 10), looked_at(2, 20)], 2)

    def test_not_into_drops(self):
        assert not goes_on([looked_at(8, 80), looked_at(16, 160, drops=20)], 1000)

    def test_not_where_slots_stay_empty(self):
        runs = [looked_at(8, 80), looked_at(16, 160), looked_at(32, 320, in_flight=10)]
        assert not goes_on(runs, 1000)


class TestChosen:
    def test_around_the_crossing_of_the_asymptotes(self):
        runs = [looked_at(1, 10), looked_at(16, 160), looked_at(32, 200, latency=0.16)]
        assert chosen_limits(runs, 1000) == (1, 12, 16, 18, 20, 23, 27, 32, 34)

    def test_none_beyond_the_highest(self):
        assert max(chosen_limits([looked_at(1, 10), looked_at(8, 80)], 8)) == 8

    def test_what_was_refused_tells_nothing_of_the_knee(self):
        refused = looked_at(16, 900, latency=0.1, drops=50)
        assert chosen_limits([looked_at(4, 40), refused], 1000) == (2, 3, 4, 5, 7, 16)

    def test_where_nothing_succeeded_there_is_nothing_to_guess(self):
        assert chosen_limits([looked_at(1, 0, succeeded=0)], 1000) == (1,)


def test_runs_grow_with_the_limit_and_are_never_short():
    sizes = {limit: Plan().size(limit) for limit in (1, 5, 20, 100, 1000)}
    assert sizes == {1: 60, 5: 200, 20: 600, 100: 800, 1000: 8000}
    assert Plan(records=33).size(1000) == 33


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"limits": ()}, "limits: must be whole numbers from 1 on"),
        ({"limits": (4, 0)}, "limits: must be whole numbers from 1 on"),
        ({"records": 1}, "records: must be at least 2"),
        ({"rounds": 0}, "rounds: must be at least 1"),
        ({"warm_up": -1}, "warm_up: must be at least 0"),
        ({"batch_size": 0}, "batch_size: must be at least 1"),
        ({"time_budget": 0.0}, "time_budget: must be above 0 s"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_plan_that_cannot_be_run_is_refused(options, problem):
    with pytest.raises(InvalidOptionError, match=problem):
        Plan(**options)
