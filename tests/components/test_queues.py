"""From a queue through its mapping and AWS's runtime client to a handler, and back: what failed comes again.

The simulated queue is held against the real one: the same messages and function have the same history there.
"""

import json

import noting
from journal import in_turns, wait_until
from simulated import dead_letters


def test_only_what_failed_comes_again_and_what_never_succeeds_goes_to_the_dead_letter_queue(
    cloud, journal, simulation
):
    fails = {f"m-{number}": 1 if number % 4 == 0 else 0 for number in range(24)} | {"m-13": 99}
    dead = cloud.queue(visibility_timeout=60)
    redrive = {"deadLetterTargetArn": dead.arn, "maxReceiveCount": 2}
    queue = cloud.queue(visibility_timeout=3, redrive=redrive)
    function = cloud.function("noting.queue", environments=2, JOURNAL=str(journal.path))
    cloud.connect(queue.arn, function, partial=True, BatchSize=10)

    messages = [({"name": name, "fails": fails[name]}, None) for name in fails]
    cloud.send(queue, messages)

    wait_until(lambda: not cloud.messages(queue), "the queue is empty")
    assert journal.names("done") == dict.fromkeys(fails.keys() - {"m-13"}, 1)
    assert journal.names("began") == {name: min(2, 1 + fails[name]) for name in fails}
    assert [json.loads(each.body)["name"] for each in cloud.messages(dead)] == ["m-13"]

    simulated = simulation.queue(noting.queue, messages, visibility_timeout=3, max_receive_count=2)
    assert dead_letters(simulated) == ["m-13"]
    for what in ("began", "done"):
        assert simulation.journal.names(what) == journal.names(what)


def test_a_fifo_group_waits_for_its_failed_message_and_no_other_group_does(cloud, journal, simulation):
    lanes = {group: [f"{group}-{number}" for number in range(5)] for group in "abc"}
    fails = {"a-1": 2, "b-0": 1}
    queue = cloud.queue(visibility_timeout=1, fifo=True)
    function = cloud.function("noting.queue", JOURNAL=str(journal.path))
    # All are sent before there is a mapping, so that batches mix groups. ministack's mapping has one invocation
    # at a time for a whole FIFO queue; AWS has one per group.
    names = in_turns(lanes)
    messages = [({"name": name, "fails": fails.get(name, 0)}, name[0]) for name in names]
    cloud.send(queue, messages)

    cloud.connect(queue.arn, function, partial=True)

    wait_until(lambda: not cloud.messages(queue), "the queue is empty")
    assert journal.missing(names) == set()
    assert journal.out_of_order(lanes) == []
    began = journal.names("began")
    assert {name: began[name] for name in fails} == {"a-1": 3, "b-0": 2}
    done = [note.name for note in journal.read() if note.what == "done"]
    assert done.index("c-2") < done.index("b-0")

    simulation.queue(noting.queue, messages, visibility_timeout=3).assert_all_done()
    assert simulation.journal.out_of_order(lanes) == []
    for what in ("began", "done"):
        assert simulation.journal.names(what) == journal.names(what)


def test_a_function_that_raises_gets_the_whole_batch_again(cloud, journal, simulation):
    names = ["m-0", "m-1", "m-2", "m-3"]
    queue = cloud.queue(visibility_timeout=1)
    function = cloud.function("noting.whole_queue", JOURNAL=str(journal.path))
    # All are sent before there is a mapping, so that they come in one batch.
    messages = [({"name": name, "fails": int(name == "m-2")}, None) for name in names]
    cloud.send(queue, messages)

    cloud.connect(queue.arn, function)  # a reply would not be read

    wait_until(lambda: not cloud.messages(queue), "the queue is empty")
    assert journal.began_together("m-2") == [set(names), set(names)]
    assert journal.names("done") == {"m-0": 2, "m-1": 2, "m-2": 1, "m-3": 2}

    simulation.queue(noting.whole_queue, messages, report_batch_item_failures=False).assert_all_done()
    assert simulation.journal.began_together("m-2") == [set(names), set(names)]
    assert simulation.journal.names("done") == journal.names("done")
