"""Batches of any size from one event: valid, new, and with the lanes of the event."""

from collections import Counter

import pytest

from asyncbatch import BatchEngine, EventSource, InvalidEventError, Ordering
from asyncbatch._events import read_event
from asyncbatch.testing import kinesis_event, sample_event, sqs_fifo_event
from asyncbatch.tuning._batches import Batches, LaneShape

SOURCES = list(EventSource)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.value)
class TestMade:
    def test_a_batch_has_the_size_asked_for_and_no_identifier_twice(self, source):
        batches = Batches(sample_event(source, 7), BatchEngine(), seed=1)
        names = []
        for size in (1, 7, 20):
            batch = read_event(batches.make(size))
            assert batch.rules.source is source
            assert len(batch.raws) == size
            names += batch.names
        assert len(set(names)) == 28

    def test_payloads_and_keys_stay_as_they_are(self, source):
        event = sample_event(source, 5, keys=3)
        engine = BatchEngine()
        before = read_event(event)
        after = read_event(Batches(event, engine).make(10))
        assert _bodies(after) == Counter({body: 2 * n for body, n in _bodies(before).items()})

    def test_the_engine_processes_it_and_streams_find_it_in_order(self, source):
        seen = []

        async def handler(record):
            seen.append(record.id)
            if len(seen) == 30:
                raise ValueError("the last one fails")

        batches = Batches(sample_event(source, 4), BatchEngine())
        report = BatchEngine(concurrency=1).run(batches.make(30), handler)
        assert report.counts.succeeded == 29
        assert report.failures  # a stream out of order would raise here


def _bodies(batch):
    return Counter(repr(batch.rules.record_type(raw).data) for raw in batch.raws)


def test_each_batch_goes_on_where_the_one_before_ended():
    event = sample_event(EventSource.SQS, 5)
    bodies = [record["body"] for record in event["Records"]]
    batches = Batches(event, BatchEngine())
    made = [record["body"] for size in (3, 4) for record in batches.make(size)["Records"]]
    assert made == (bodies * 2)[:7]


def test_the_same_seed_makes_the_same_identifiers_and_none_makes_others():
    event = sample_event(EventSource.SQS, 3)
    one, same, other, another = (
        Batches(event, BatchEngine(), seed=seed).make(3)["Records"] for seed in (4, 4, None, None)
    )
    assert one == same
    assert other != another


@pytest.mark.parametrize(
    "event", [{"Records": []}, {"records": {}, "eventSource": "aws:kafka"}], ids=["SQS", "Kafka"]
)
def test_an_event_without_records_is_refused(event):
    with pytest.raises(InvalidEventError, match="no records to repeat"):
        Batches(event, BatchEngine())


class TestLanes:
    def test_of_a_fifo_queue_they_are_its_groups(self):
        event = sqs_fifo_event([1, 2, 3, 4], groups=["a", "a", "a", "b"])
        batches = Batches(event, BatchEngine())
        shape = batches.lanes(batches.make(8))
        assert shape == LaneShape(records=8, lanes=2, longest=6)
        assert shape.bound == pytest.approx(8 / 6)
        assert shape.skew == pytest.approx(1.5)

    def test_of_a_standard_queue_each_record_has_its_own(self):
        batches = Batches(sample_event(EventSource.SQS, 3), BatchEngine())
        assert batches.lanes(batches.make(50)) == LaneShape(records=50, lanes=50, longest=1)

    def test_the_ordering_of_the_engine_counts(self):
        event = kinesis_event([1, 2, 3], keys=["a", "b", "c"])
        batches = Batches(event, BatchEngine(ordering=Ordering.SEQUENTIAL))
        assert batches.lanes(batches.make(9)).lanes == 1

    @pytest.mark.parametrize(
        ("source", "halts"),
        [(EventSource.SQS, False), (EventSource.SQS_FIFO, True), (EventSource.KINESIS, True)],
        ids=["SQS", "FIFO", "Kinesis"],
    )
    def test_a_failure_holds_back_others_where_there_is_an_order(self, source, halts):
        assert Batches(sample_event(source, 3), BatchEngine()).halts is halts
