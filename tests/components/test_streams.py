"""From a stream through its mapping and AWS's runtime client to a handler, and back: the batch comes again.

ministack's mapping (1.5.33) departs from AWS here. It does not read `batchItemFailures` of a stream: whatever the
reply names, it moves on, and what a checkpoint would bring again would be lost. When the function raises, the same
batch comes again a second later, for ever: there is no retry limit, no bisect, no parallelization factor. So these
functions say `raise_on_failure="any"`, and the tests ask for no more than this server does.
"""

import json

from journal import in_turns, wait_until


def test_a_kinesis_batch_comes_again_until_all_of_it_is_done_and_partition_keys_stay_in_order(cloud, journal):
    lanes = {key: [f"{key}-{number}" for number in range(6)] for key in "abcdef"}
    fails = {"b-2": 1, "e-3": 2}  # in different batches of one shard: the tries of each are its own
    stream, arn = cloud.stream(shards=2)
    entries = [
        {"Data": json.dumps({"name": name, "fails": fails.get(name, 0)}).encode(), "PartitionKey": name[0]}
        for name in in_turns(lanes)
    ]
    cloud.clients.kinesis.put_records(StreamName=stream, Records=entries)
    function = cloud.function("noting.kinesis", JOURNAL=str(journal.path))

    cloud.connect(arn, function, StartingPosition="TRIM_HORIZON", BatchSize=12)

    _check(journal, lanes, fails)


def test_a_dynamodb_batch_comes_again_until_all_of_it_is_done_and_items_stay_in_order(cloud, journal):
    lanes = {key: [f"{key}-{number}" for number in range(6)] for key in "abcd"}
    fails = {"b-2": 1, "c-3": 1}  # in different batches
    table, arn = cloud.table("id")
    for name in in_turns(lanes):
        item = {"id": {"S": name[0]}, "name": {"S": name}, "fails": {"N": str(fails.get(name, 0))}}
        cloud.clients.dynamodb.put_item(TableName=table, Item=item)
    function = cloud.function("noting.dynamodb", JOURNAL=str(journal.path))

    cloud.connect(arn, function, StartingPosition="TRIM_HORIZON", BatchSize=12)

    _check(journal, lanes, fails)


def _check(journal, lanes, fails):
    names = {name for lane in lanes.values() for name in lane}
    wait_until(lambda: not journal.missing(names), "every record is done")
    assert journal.out_of_order(lanes) == []
    for name, times in fails.items():
        batches = journal.began_together(name)
        assert len(batches) == times + 1
        assert len(batches[0]) > 1
        assert batches[0] <= batches[-1]  # what had succeeded came again, with what failed
