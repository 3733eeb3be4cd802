"""A function written for Powertools, with its import changed: clients live on the loop of its import."""

import asyncio
import json
import os

import aiohttp

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    async_process_partial_response,
    process_partial_response,
)

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)


async def connect() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(os.environ["BACKEND"])


session = loop.run_until_complete(connect()) if "BACKEND" in os.environ else None
lock = asyncio.Lock()
processor = AsyncBatchProcessor(EventType.SQS)
in_order = BatchProcessor(EventType.SQS)


async def record_handler(record):
    order = record.body
    if order == "raise":
        raise ValueError(order)
    if order == "cancel":
        raise asyncio.CancelledError
    if order == "slow":
        await asyncio.sleep(60)
    if order == "straggle":
        while True:
            try:
                await asyncio.sleep(0.01)
                print(json.dumps({"straggles": True}))
            except asyncio.CancelledError:
                pass
    async with lock:
        await asyncio.sleep(0)
    print(json.dumps({"adopted": asyncio.get_running_loop() is loop}))


def lambda_handler(event, context):
    return async_process_partial_response(event, record_handler, processor, context)


def sync_handler(event, context):
    return process_partial_response(event, record_handler, in_order, context)


async def post(record):
    async with session.post("/orders", data=record.body) as response:
        response.raise_for_status()
        await response.read()


def client_handler(event, context):
    return async_process_partial_response(event, post, processor, context)
