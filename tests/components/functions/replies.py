"""A plain function that replies what its messages ask for: what becomes of them is the mapping's verdict."""

import json


def refuse(ids):
    raise RuntimeError("told to fail")


def name(ids):
    return {"batchItemFailures": [{"itemIdentifier": each} for each in ids]}


REPLIES = {
    "no ids": lambda ids: name([]),
    "an empty object": lambda ids: {},
    "null": lambda ids: None,
    "null for the list": lambda ids: {"batchItemFailures": None},
    "every other id": lambda ids: name(ids[::2]),
    "all ids": name,
    "an exception": refuse,
}


def lambda_handler(event, context):
    """Reply as the first message says; all messages of a batch say the same."""
    if not event["Records"]:
        return None
    reply = REPLIES[json.loads(event["Records"][0]["body"])["reply"]]
    return reply([record["messageId"] for record in event["Records"]])
