"""Measured latencies: every way to write them, and the handler made of them."""

import pytest

from asyncbatch import EventSource
from asyncbatch.testing import sample_event
from asyncbatch.tuning import LatenciesError, Plan, Reason, read_latencies, simulated_handler, tune

EVENT = sample_event(EventSource.SQS, 50)


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        ("0.1\n0.25\n\n 3e-2 \n", {1: [0.1, 0.25, 0.03]}),
        ("[0.1, 2]", {1: [0.1, 2.0]}),
        ('{"1": [0.1], "16": [0.3, 0.4]}', {1: [0.1], 16: [0.3, 0.4]}),
    ],
    ids=["lines", "list", "by limit"],
)
def test_they_are_read(text, measured):
    assert read_latencies(text) == measured


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "There are no numbers"),
        ("[]", "There are no numbers"),
        ('{"1": []}', "There are no numbers"),
        ("0.1\nfast\n", r"'fast' \(line 2\) is no number of seconds"),
        ("-1", "is no number of seconds"),
        ("[0.1, true]", r"True \(the list, item 1\)"),
        ("[NaN]", "is no number of seconds"),
        ("[0.1", "It is not JSON"),
        ('{"many": [1]}', "'many' is no number of records in flight"),
        ('{"0": [1]}', "'0' is no number of records in flight"),
        ('{"1": 0.5}', "'1' must be a list of numbers"),
    ],
)
def test_what_is_none_is_named_with_its_place(text, problem):
    with pytest.raises(LatenciesError, match=problem) as caught:
        read_latencies(text)
    assert "Latencies are seconds" in str(caught.value)


def study_of(measured, **plan):
    return tune(simulated_handler(measured, seed=1), EVENT, Plan(rounds=2, **plan), virtual_time=True)


def test_latencies_that_rise_have_their_knee_where_they_rise():
    measured = {1: [0.1], 8: [0.1], 16: [0.2], 32: [0.4]}  # 80 records per second, however many in flight
    study = study_of(measured)
    assert study.recommendation.reason is Reason.KNEE
    assert study.recommendation.limit == pytest.approx(8, rel=0.2)
    assert study.best.throughput == pytest.approx(80, rel=0.1)


def test_beyond_what_was_measured_no_throughput_is_made_up():
    study = study_of({1: [0.1], 10: [0.1], 20: [0.2]}, limits=(10, 20, 100))
    rates = {point.limit: point.throughput for point in study.points}
    assert rates[20] == pytest.approx(100, rel=0.05)
    assert rates[100] == pytest.approx(100, rel=0.1)


def test_between_two_numbers_in_flight_it_is_something_between():
    study = study_of({1: [0.1], 21: [0.3]}, limits=(1, 11, 21))
    means = {point.limit: float(point.latencies.mean()) for point in study.points}
    assert means[11] == pytest.approx(0.2, rel=0.15)


def test_latencies_of_one_alone_say_what_a_batch_needs():
    study = study_of({1: [0.1] * 99 + [1.0]}, batch_size=100)
    made = study.recommendation
    assert made.reason is Reason.BATCH
    # 10.9 s of work; the slowest record takes 1 s where there is a slow one, in 63 of 100 batches, and else 0.1 s.
    assert made.limit == pytest.approx(10.9 / 0.67, rel=0.15)
