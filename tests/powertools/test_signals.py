"""Exceptions that signal handlers raise, as timeouts by alarm do: they come anywhere, and nothing hangs."""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Iterator

from libraries import event_of, handler_of, reply

from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response

EVENT = event_of("SQS", ["a", "b"])
HANDLER = handler_of(str)


class AlarmError(Exception):
    """Raised wherever the main thread is."""


@contextlib.contextmanager
def alarms() -> Iterator[list[bool]]:
    """While the list is not empty, an error is raised in this thread again and again."""
    armed: list[bool] = []

    def ring(*_):
        if armed:
            armed.clear()
            raise AlarmError

    def keep_ringing(thread):
        draw = random.Random(11)
        while not over.wait(draw.uniform(0.00002, 0.0004)):
            signal.pthread_kill(thread, signal.SIGUSR2)

    over = threading.Event()
    before = signal.signal(signal.SIGUSR2, ring)
    ringing = threading.Thread(target=keep_ringing, args=[threading.get_ident()])
    ringing.start()
    try:
        yield armed
    finally:
        armed.clear()
        over.set()
        ringing.join()
        signal.signal(signal.SIGUSR2, before)


def call_until_one_rings(armed, processor):
    armed.append(True)
    while armed:
        processor(EVENT["Records"], HANDLER)


def test_after_an_alarm_the_processor_can_be_called():
    """It is taken under a lock, which an alarm must not leave held: the next call would wait for ever."""
    processor = BatchProcessor(EventType.SQS)
    rung = 0
    with alarms() as armed:
        end = time.monotonic() + 20
        while rung < 150 and time.monotonic() < end:
            try:
                call_until_one_rings(armed, processor)
            except AlarmError:
                rung += 1
    assert rung == 150
    answers = []

    def call():
        answers.append(process_partial_response(EVENT, HANDLER, processor))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert answers == [reply()]
