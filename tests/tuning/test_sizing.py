"""Batch sizes and timeouts, within what AWS allows."""

import numpy as np
import pytest

from asyncbatch import EventSource
from asyncbatch.tuning import LimitFigures
from asyncbatch.tuning._run import Run, Tally
from asyncbatch.tuning._sizing import bytes_per_record, size_batch


def figures(limit=20, *, throughput=2000.0, tail=0.025, latency=0.01, records=600):
    run = Run(
        limit=limit,
        throughput=throughput,
        latencies=np.full(records, latency),
        in_flight=limit,
        peak=limit,
        duration=records / throughput + tail,
        tail=tail,
        tally=Tally(succeeded=records),
        began=0.0,
        first_error=None,
    )
    return LimitFigures(limit=limit, runs=[run])


def test_a_batch_is_large_enough_for_its_tail_to_cost_a_tenth_at_most():
    sizing = size_batch(figures(), EventSource.SQS, 500)
    assert sizing.batch_size == 500  # nine times the tail is 0.225 s, in which 450 records get through
    assert sizing.duration == pytest.approx(0.275)
    assert sizing.efficiency > 0.9
    assert sizing.notes == ()


def test_without_a_tail_a_batch_is_no_smaller_than_the_limit():
    assert size_batch(figures(tail=0.0), EventSource.SQS, 500).batch_size == 20
    assert size_batch(figures(limit=64, tail=0.0), EventSource.SQS, 500).batch_size == 100


def test_the_visibility_timeout_is_six_times_the_functions_and_the_window():
    sizing = size_batch(figures(throughput=10.0, tail=1.0), EventSource.SQS, 500)
    assert sizing.batch_size == 100
    assert sizing.function_timeout == 45  # three times 11 s, and two for the margin
    assert sizing.batching_window == 1
    assert sizing.visibility_timeout == 6 * 45 + 1


def test_small_batches_need_no_window():
    sizing = size_batch(figures(limit=1, tail=0.0), EventSource.SQS, 500)
    assert (sizing.batch_size, sizing.batching_window) == (10, None)
    assert sizing.visibility_timeout == 6 * sizing.function_timeout


def test_a_fifo_queue_has_ten_at_most_and_says_what_that_costs():
    sizing = size_batch(figures(limit=4), EventSource.SQS_FIFO, 500)
    assert (sizing.batch_size, sizing.batching_window) == (10, None)
    assert "10 is the event source's maximum" in sizing.notes[0]
    assert "take 83% of its time" in sizing.notes[1]


@pytest.mark.parametrize("source", [EventSource.KINESIS, EventSource.DYNAMODB, EventSource.KAFKA])
def test_streams_have_no_visibility_timeout(source):
    sizing = size_batch(figures(), source, 500)
    assert (sizing.visibility_timeout, sizing.batching_window) == (None, None)


def test_large_records_are_held_down_by_the_payload():
    sizing = size_batch(figures(), EventSource.SQS, 100_000)
    assert sizing.batch_size == 50  # 62 fit into 6 MB
    assert "6 MB" in sizing.notes[0]


@pytest.mark.parametrize(
    ("source", "size", "timeout", "longest"),
    [(EventSource.KINESIS, 200, 900, 900), (EventSource.KAFKA, 100, 600, 840)],
    ids=["Kinesis", "Kafka"],
)
def test_slow_handlers_are_held_down_by_the_longest_timeout(source, size, timeout, longest):
    sizing = size_batch(figures(limit=200, throughput=1.0, tail=80.0, latency=60), source, 500)
    assert sizing.batch_size == size
    assert sizing.function_timeout == timeout
    assert f"a function runs for {longest} s at most" in sizing.notes[0]


def test_a_batch_size_that_is_set_is_kept_and_judged():
    sizing = size_batch(figures(), EventSource.SQS, 500, batch_size=10)
    assert sizing.batch_size == 10
    assert sizing.notes == ("A batch of 10 never has more than 10 records in flight.",)
    assert sizing.duration >= 0.01


def test_a_record_takes_its_share_of_the_event():
    assert bytes_per_record({"Records": [{"body": "x" * 100}] * 4}, 4) == pytest.approx(116, abs=5)
