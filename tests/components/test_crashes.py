"""A function under AWS's runtime client, killed at any moment, loses nothing and keeps the order of groups."""

import random

from cloud import FUNCTIONS
from crashes import Consumer

from asyncbatch.testing import RuntimeProcess

GROUPS = "abcdefgh"


def live_through(cloud, journal, handler, *, messages, kills, seed):
    """Send messages of several groups, a few of which fail at first, and consume them under kills."""
    rng = random.Random(seed)
    lanes = {group: [] for group in GROUPS}
    queue = cloud.queue(visibility_timeout=600, fifo=True)
    sent = []
    for _ in range(messages):
        group = rng.choice(GROUPS)
        lanes[group].append(f"{group}-{len(lanes[group])}")
        sent.append(({"name": lanes[group][-1], "fails": int(rng.random() < 0.05)}, group))
    cloud.send(queue, sent)
    with RuntimeProcess(handler, path=FUNCTIONS, environment={"JOURNAL": str(journal.path)}) as process:
        consumer = Consumer(cloud, queue, process, journal)
        consumer.drain(rng, kills=kills)
    assert cloud.messages(queue) == []
    return consumer, lanes


def test_kills_lose_nothing_and_keep_the_order_of_groups(cloud, journal):
    consumer, lanes = live_through(cloud, journal, "noting.queue", messages=1000, kills=20, seed=1)
    assert consumer.kills == 20
    assert consumer.acknowledged_undone == set()
    assert journal.missing(name for names in lanes.values() for name in names) == set()
    assert journal.out_of_order(lanes) == []
    assert journal.names("done").total() > 1000  # some kills came when a part of the batch was done


def test_a_function_that_acknowledges_everything_is_seen_to_lose_messages(cloud, journal):
    consumer, lanes = live_through(cloud, journal, "noting.careless", messages=100, kills=1, seed=1)
    lost = journal.missing(name for names in lanes.values() for name in names)
    assert consumer.acknowledged_undone == lost != set()


def test_a_function_without_order_is_seen_to_break_it(cloud, journal):
    consumer, lanes = live_through(cloud, journal, "noting.unordered", messages=100, kills=1, seed=1)
    assert consumer.acknowledged_undone == set()
    assert journal.out_of_order(lanes) != []
