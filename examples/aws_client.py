"""An aiobotocore client, opened once and kept over warm starts, shared by all records.

The lifespan is entered before the first record of the first invocation, and what it yields is given
to the handler as `state`. It needs the environment variable TABLE_NAME, and
`pip install "asyncbatch[aws]"`.
"""

# aiobotocore ships no types.
# pyright: basic
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from asyncbatch import SqsRecord, batch_handler

CONCURRENCY = 50


@asynccontextmanager
async def dynamodb() -> AsyncGenerator[Any]:
    """Open a client with a connection for each record in flight."""
    config = AioConfig(max_pool_connections=CONCURRENCY)
    async with get_session().create_client("dynamodb", config=config) as client:
        yield client


@batch_handler(concurrency=CONCURRENCY, lifespan=dynamodb)
async def lambda_handler(record: SqsRecord, state: Any) -> None:
    """Store one order; writing it twice is harmless, as a redelivery needs it to be."""
    order = record.json()
    await state.put_item(
        TableName=os.environ["TABLE_NAME"],
        Item={
            "order": {"S": order["order"]},
            "customer": {"S": order["customer"]},
            "amount": {"N": str(order["amount"])},
        },
    )
