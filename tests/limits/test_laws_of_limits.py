"""What holds for every limit, whatever it is told."""

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asyncbatch import InvalidOptionError
from asyncbatch.limits import AdaptiveLimit, AIMDLimit, FixedLimit, Gradient2Limit, RateLimit, Verdict

MOVING = [AIMDLimit, Gradient2Limit, AdaptiveLimit]

latencies = st.one_of(
    st.floats(1e-9, 1e4),
    st.just(0.0),
    st.floats(0.001, 0.1),
)
ends = st.tuples(st.sampled_from(Verdict), latencies, st.integers(1, 2_000))
bounds = st.tuples(st.integers(1, 30), st.integers(0, 200)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def told(limit, history):
    for verdict, latency, in_flight in history:
        limit.observe(verdict, latency, in_flight)
    return limit


@pytest.mark.parametrize("kind", MOVING)
@given(bounds=bounds, history=st.lists(ends, max_size=300))
def test_a_limit_never_leaves_its_bounds(kind, bounds, history):
    low, high = bounds
    limit = kind(minimum=low, maximum=high)
    for end in history:
        told(limit, [end])
        assert type(limit.current) is int
        assert low <= limit.current <= high


@pytest.mark.parametrize("kind", MOVING)
@given(history=st.lists(ends, max_size=200), seed=st.integers(0, 1_000))
def test_a_limit_never_stalls(kind, history, seed):
    """After anything that has happened, calls that all go well and find the limit used raise it."""
    limit = told(kind(maximum=50), history)
    rng = random.Random(seed)
    lowest, highest = limit.current, limit.current
    for _ in range(5_000):
        limit.observe(Verdict.SUCCESS, 0.01 * rng.uniform(0.9, 1.1), limit.current)
        highest = max(highest, limit.current)
    assert highest == 50, f"from {lowest} to {highest}"


@pytest.mark.parametrize("kind", MOVING)
@given(history=st.lists(ends, max_size=200))
def test_nothing_but_drops_leads_to_the_minimum(kind, history):
    limit = told(kind(maximum=40), history)
    for _ in range(3_000):
        limit.observe(Verdict.DROPPED, 0.01, limit.current)
    assert limit.current == 1


@pytest.mark.parametrize("kind", MOVING)
@given(history=st.lists(ends, max_size=200), latency=latencies)
def test_a_drop_never_raises_a_limit_and_an_application_error_never_moves_it(kind, history, latency):
    limit = told(kind(), history)
    before = limit.current
    limit.observe(Verdict.IGNORED, latency, before)
    assert limit.current == before
    limit.observe(Verdict.DROPPED, latency, before)
    assert limit.current <= before


@pytest.mark.parametrize("kind", MOVING)
@given(history=st.lists(ends, max_size=100), latency=st.floats(0.01, 0.1), times=st.floats(1, 100))
def test_a_longer_latency_never_gives_a_higher_limit(kind, history, latency, times):
    """The same history, then one window of equal latencies: shorter in one life, longer in the other.

    A probe is another thing, and so are latencies below the usual 10 ms: they say that there was a queue.
    """
    limits = []
    for each in (latency, latency * times):
        limit = told(kind(), [*history, *steady(600)])
        assume(getattr(limit, "_resume", None) is None)
        for _ in range(until_it_looks(limit)):
            limit.observe(Verdict.SUCCESS, each, limit.current)
        limits.append(limit.current)
    assert limits[1] <= limits[0]


def steady(number):
    return [(Verdict.SUCCESS, 0.01, 30)] * number


def until_it_looks(limit):
    """How many samples the limit takes before it moves for them."""
    return (
        1 if not isinstance(limit, AdaptiveLimit) else limit._settling + limit._wanted - len(limit._latencies)
    )


@pytest.mark.parametrize("kind", MOVING)
def test_few_in_flight_are_no_reason_to_raise_a_limit(kind):
    limit = told(kind(initial=20), [(Verdict.SUCCESS, 0.01, 5)] * 2_000)
    assert limit.current <= 20


def test_aimd_rises_by_one_over_a_flight_and_falls_once_for_one():
    limit = AIMDLimit(initial=10)
    told(limit, [(Verdict.SUCCESS, 0.01, 10)] * 11)
    assert limit.current == 11
    told(limit, [(Verdict.DROPPED, 0.01, 11)] * 11)
    assert limit.current == 10
    told(limit, [(Verdict.DROPPED, 0.01, 10)])
    assert limit.current == 9


def test_a_success_that_takes_too_long_is_a_drop_to_aimd():
    limit = told(AIMDLimit(initial=10, slow=1.0), [(Verdict.SUCCESS, 1.5, 10)])
    assert limit.current == 9


def test_gradient2_follows_netflix_arithmetic():
    """By hand: a fifth of four in the queue while latency stays the same; half at most when it soars."""
    limit = Gradient2Limit(initial=20)
    limit.observe(Verdict.SUCCESS, 0.01, 20)
    assert limit._exact == pytest.approx(20 * 0.8 + (20 + 4) * 0.2)
    told(limit, [(Verdict.SUCCESS, 0.01, 20)] * 20)
    before = limit._exact
    limit.observe(Verdict.SUCCESS, 1.0, 20)
    assert limit._exact == pytest.approx(before * 0.8 + (before * 0.5 + 4) * 0.2)


def test_gradient2_falls_after_drops():
    limit = told(Gradient2Limit(initial=20), [(Verdict.DROPPED, 0.01, 20)])
    assert limit.current == 18


def test_a_fixed_limit_stays():
    limit = told(FixedLimit(7), [(Verdict.DROPPED, 1.0, 7)] * 100)
    assert limit.current == 7
    assert not limit.is_drop(TimeoutError())
    assert repr(limit) == "FixedLimit(7)"


@pytest.mark.parametrize("kind", MOVING)
def test_a_limit_shows_where_it_stands(kind):
    assert repr(kind(initial=9, minimum=2, maximum=30)) == f"<{kind.__name__} 9, 2 to 30>"


@pytest.mark.parametrize("kind", MOVING)
def test_the_usual_first_limit_keeps_within_bounds(kind):
    assert kind(minimum=30, maximum=40).current == 30
    assert kind(maximum=2).current == 2


WRONG = {
    "a limit of 0": (lambda: FixedLimit(0), "limit: must be a whole number from 1 to 1,000,000, but is 0."),
    "a text": (lambda: FixedLimit("9"), "limit: must be a whole number from 1 to 1,000,000, but is '9'."),
    "a boolean": (
        lambda: AIMDLimit(initial=True),
        "initial: must be a whole number from 1 to 1,000,000, but is True.",
    ),
    "above the maximum": (
        lambda: AdaptiveLimit(initial=9, maximum=8),
        "initial: must be from 1 to 8, but is 9.",
    ),
    "bounds in no order": (
        lambda: AdaptiveLimit(minimum=9, maximum=8),
        "minimum: is 9, above the maximum of 8.",
    ),
    "a minimum of 0": (
        lambda: Gradient2Limit(minimum=0),
        "minimum: must be a whole number from 1 to 1,000,000, but is 0.",
    ),
    "a maximum of None": (
        lambda: AIMDLimit(maximum=None),
        "maximum: must be a whole number from 1 to 1,000,000, but is None.",
    ),
    "a backoff of 1": (lambda: AIMDLimit(backoff=1), "backoff: must be a number between 0 and 1, but is 1."),
    "slow in no time": (lambda: AIMDLimit(slow=0), "slow: must be a number above 0, but is 0."),
    "a tolerance of 1": (
        lambda: AdaptiveLimit(tolerance=1.0),
        "tolerance: must be a number above 1, but is 1.0.",
    ),
    "no smoothing": (
        lambda: Gradient2Limit(smoothing=0),
        "smoothing: must be a number from above 0 to 1, but is 0.",
    ),
    "not a number": (lambda: RateLimit(math.nan), "per_second: must be a number above 1e-09, but is nan."),
    "a class for drops": (
        lambda: AIMDLimit(drops=TimeoutError),
        (
            "drops: must be a plain function of an exception, but is <class 'TimeoutError'>. "
            "Write drops=lambda error: isinstance(error, Throttled)."
        ),
    ),
    "an endless rate": (lambda: RateLimit(math.inf), "per_second: must be a number above 1e-09, but is inf."),
    "a rate that floats cannot count": (
        lambda: RateLimit(1e-310),
        "per_second: must be a number above 1e-09, but is 1e-310.",
    ),
    "a limit beyond bounds": (
        lambda: FixedLimit(10**5_000),
        "limit: must be a whole number from 1 to 1,000,000, but is a very long number.",
    ),
    "no burst": (
        lambda: RateLimit(5, burst=0),
        "burst: must be a whole number from 1 to 1,000,000, but is 0.",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case):
    make, text = WRONG[case]
    with pytest.raises(InvalidOptionError) as caught:
        make()
    assert str(caught.value) == text
