"""What a mapping outside of this project makes of replies, where it follows AWS."""

import contextlib

import pytest
from cloud import Cloud
from replies import REPLIES
from verdicts import SIZE, deleted_for

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
