"""A function that is invoked for hours: it does what each order says, and tells what it holds."""

import asyncio
import gc
import json
import os

from asyncbatch import SqsRecord, batch_handler

left: list[object] = []


@batch_handler(concurrency=8, record_timeout=0.02, grace=0.01)
async def lambda_handler(record: SqsRecord) -> None:
    match record.json()["do"]:
        case "work":
            await asyncio.sleep(0)
        case "raise":
            raise ValueError("x" * 10_000)
        case "cancel":
            raise asyncio.CancelledError
        case "hang":
            await asyncio.get_running_loop().create_future()
        case "leave":
            left[:] = [asyncio.create_task(asyncio.sleep(60))]
        case "break":
            async for _ in numbers():
                break
        case "measure":
            gc.collect()
            tasks = len(asyncio.all_tasks())
            os.write(1, f"{json.dumps({'tasks': tasks, 'objects': len(gc.get_objects())})}\n".encode())


async def numbers():
    try:
        for number in range(3):
            yield number
    finally:
        await asyncio.sleep(0)
