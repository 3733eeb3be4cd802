"""Batch handlers with an HTTP client that stays open over the invocations."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

import asyncbatch
from asyncbatch import SqsRecord, batch_handler


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    print("opened")
    async with aiohttp.ClientSession(os.environ["BACKEND"]) as session:
        yield session
    print("closed")


@batch_handler(lifespan=client)
async def lambda_handler(record: SqsRecord, state: aiohttp.ClientSession) -> None:
    await post(state, record.body)


sessions: list[aiohttp.ClientSession] = []


@batch_handler
async def without_lifespan(record: SqsRecord) -> None:
    if not sessions:
        sessions.append(aiohttp.ClientSession(os.environ["BACKEND"]))
    await post(sessions[0], record.body)


async def post(session: aiohttp.ClientSession, body: str) -> None:
    # A POST: aiohttp repeats a GET by itself when a kept connection turns out to be closed.
    async with session.post("/orders", data=body) as response:
        response.raise_for_status()
        await response.read()  # only a response that was read gives its connection back


def on_sigterm(number: int, frame: object) -> None:
    asyncbatch.shutdown()


signal.signal(signal.SIGTERM, on_sigterm)
