"""What a mapping outside of this project makes of replies, where it follows AWS."""

import contextlib
import json

import pytest
from cloud import Cloud
from replies import REPLIES, lambda_handler
from verdicts import SIZE, deleted_for

from asyncbatch.testing import SqsMapping

ALL = set(range(SIZE))

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
DELETED = {
    "no ids": ALL,
    "an empty object": ALL,
    "null": ALL,
    # AWS deletes all here, too. ministack 1.5.33 takes the null for a list, and what comes of that error
    # is that nothing is deleted.
    "null for the list": set(),
    "every other id": {1, 3},
    "all ids": set(),
    "an exception": set(),
}


@pytest.fixture(scope="module")
def function(clients):
    with contextlib.ExitStack() as exits:
        yield Cloud(clients, exits).function("replies.lambda_handler")


def test_every_reply_has_a_verdict():
    assert DELETED.keys() == REPLIES.keys()


@pytest.mark.parametrize("reply", DELETED)
def test_what_a_mapping_deletes(cloud, function, reply):
    assert deleted_for(cloud, function, reply) == DELETED[reply]


@pytest.mark.parametrize(("reply", "deleted"), [("all ids", ALL), ("an exception", set())])
def test_what_a_mapping_deletes_that_does_not_read_replies(cloud, function, reply, deleted):
    assert deleted_for(cloud, function, reply, partial=False) == deleted


def deleted_in_simulation(reply, *, partial):
    with SqsMapping(lambda_handler, report_batch_item_failures=partial, seed=None) as mapping:
        for position in range(SIZE):
            mapping.send({"reply": reply, "position": position})
        mapping.run(until=1)
    (invocation,) = mapping.invocations
    order = [json.loads(record.label)["position"] for record in invocation.records]
    done = {json.loads(label)["position"] for label in mapping.done}
    return {place for place, position in enumerate(order) if position in done}  # by place in the batch


@pytest.mark.parametrize("reply", DELETED)
def test_the_simulated_mapping_agrees_where_this_one_follows_aws(reply):
    expected = ALL if reply == "null for the list" else DELETED[reply]
    assert deleted_in_simulation(reply, partial=True) == expected


@pytest.mark.parametrize(("reply", "deleted"), [("all ids", ALL), ("an exception", set())])
def test_the_simulated_mapping_agrees_where_replies_are_not_read(reply, deleted):
    assert deleted_in_simulation(reply, partial=False) == deleted
