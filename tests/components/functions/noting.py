"""Functions that note what they begin and what they have done, in a file that outlives their process."""

import asyncio
import json
import os
import random
from pathlib import Path

from asyncbatch import DynamoDBRecord, KinesisRecord, Ordering, SqsRecord, batch_handler


def note(what, name, context):
    """Append a line, in one write: two processes do not mix theirs, and a kill leaves none or all of it."""
    line = json.dumps({"what": what, "name": name, "invocation": context.aws_request_id})
    file = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def noted_tries(name):
    """How often a record was begun, here or in an earlier process: stream records carry no such count."""
    lines = Path(os.environ["JOURNAL"]).read_text().splitlines()
    return [(line["what"], line["name"]) for line in map(json.loads, lines)].count(("began", name))


async def work(name, context, *, fails):
    """Take a moment, so that records overlap where they may; then fail, if so told."""
    note("began", name, context)
    await asyncio.sleep(random.uniform(0.0005, 0.004))
    if fails:
        raise RuntimeError("told to fail")
    note("done", name, context)


@batch_handler
async def queue(record: SqsRecord, lambda_context) -> None:
    order = record.json()
    received = int(record.raw["attributes"]["ApproximateReceiveCount"])
    await work(order["name"], lambda_context, fails=received <= order["fails"])


@batch_handler(raise_on_failure="any")
async def kinesis(record: KinesisRecord, lambda_context) -> None:
    order = record.json()
    await work(order["name"], lambda_context, fails=noted_tries(order["name"]) < order["fails"])


@batch_handler(raise_on_failure="any")
async def dynamodb(record: DynamoDBRecord, lambda_context) -> None:
    item = record.new_image
    await work(item["name"], lambda_context, fails=noted_tries(item["name"]) < item["fails"])


whole_queue = batch_handler(queue.handler, raise_on_failure="any")

# Two mistakes, to see that the tests see them.
unordered = batch_handler(queue.handler, ordering=Ordering.UNORDERED)


def careless(event, context):
    queue(event, context)
    return {}  # acknowledges everything
