"""The pytest plugin: its fixtures, the seed that replays a failure, what it costs a suite that does not use it."""

import re

import pytest

SIMPLE = """
    import asyncio
    from asyncbatch import batch_handler
    from asyncbatch.testing import HandlerSpy, fail, scripted, succeed

    spy = HandlerSpy(scripted({"b": [fail()]}, otherwise=succeed(after=0.1)))
    function = batch_handler(raise_on_failure="never")(spy)
"""


@pytest.fixture(autouse=True)
def _plain_suites(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml(
        '[tool.pytest]\nasyncio_mode = "auto"\nasyncio_default_fixture_loop_scope = "function"'
    )


def test_every_mapping_has_a_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SIMPLE
        + """
    def test_all(sqs_mapping, sqs_fifo_mapping, kinesis_mapping, dynamodb_mapping, kafka_mapping):
        queue = sqs_mapping(function, batch_size=2)
        queue.send("a", "b")
        fifo = sqs_fifo_mapping(function)
        fifo.send("a", "b", group="g")
        stream = kinesis_mapping(function, shards=2)
        stream.send("a", "b", key="k")
        table = dynamodb_mapping(function)
        table.put({"id": "a"})
        topic = kafka_mapping(function)
        topic.send("a", "b", key="k")
        for mapping in (queue, fifo, stream, table, topic):
            mapping.run()
            mapping.assert_all_done()

    async def test_in_an_async_test_too(sqs_mapping):
        mapping = sqs_mapping(function)
        mapping.send("c")
        mapping.run().assert_all_done()
    """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


def test_the_clock_and_the_context(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SIMPLE
        + """
    from asyncbatch.testing import sqs_event

    def test_together(virtual_clock, lambda_context):
        asyncio.run(asyncio.sleep(20))
        assert lambda_context.get_remaining_time_in_millis() == 10_000
        assert function.run(sqs_event(["a"]), lambda_context).all_succeeded
        assert virtual_clock.time() == 20.1

    def test_the_context_alone_is_in_real_time(lambda_context):
        assert 29_000 < lambda_context.get_remaining_time_in_millis() <= 30_000
    """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)


FAILS = (
    SIMPLE
    + """
    def test_fails(sqs_mapping, asyncbatch_seed):
        mapping = sqs_mapping(function)
        mapping.send(*"abcdefgh")
        mapping.run()
        print("order", *spy.order[:8])
        assert not mapping.done
    """
)


def test_a_failure_shows_its_seed_and_what_happened_and_replays(pytester: pytest.Pytester) -> None:
    path = pytester.makepyfile(FAILS)
    text = pytester.runpytest_inprocess().stdout.str()
    told = re.search(r"(\d+): replay with `pytest '(\S+)' --asyncbatch-seed=(\d+)`", text)
    assert told is not None
    seed, node, again = told.groups()
    assert (node, again) == (f"{path.name}::test_fails", seed)
    assert "asyncbatch <SqsMapping at" in text
    assert "0.000 s  invocation 1 in environment 1: " in text
    replay = pytester.runpytest_inprocess(f"--asyncbatch-seed={seed}", node).stdout.str()
    assert f"{seed}: replay with" in replay
    order = re.search("order .*", text)
    assert order is not None
    assert order[0] in replay


def test_seeds_differ_from_run_to_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(asyncbatch_seed):\n    assert asyncbatch_seed is None")
    seeds = {
        re.findall(r"--asyncbatch-seed=(\d+)", pytester.runpytest_inprocess().stdout.str())[0]
        for _ in range(2)
    }
    assert len(seeds) == 2


def test_a_passing_test_says_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(asyncbatch_seed):\n    pass")
    assert "asyncbatch seed" not in pytester.runpytest_inprocess("-rA").stdout.str()


def test_a_suite_that_uses_none_of_it_loads_none_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    import sys

    def test_nothing_is_loaded():
        assert "pytest_asyncbatch" in sys.modules
        assert not [name for name in sys.modules if name == "asyncbatch" or name.startswith("asyncbatch.")]
    """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_it_is_named_in_the_help(pytester: pytest.Pytester) -> None:
    assert "--asyncbatch-seed=N" in pytester.runpytest_inprocess("--help").stdout.str()


def test_environments_end_with_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SIMPLE
        + """
    import threading

    def test_one(sqs_mapping):
        mapping = sqs_mapping(function)
        mapping.send("a")
        mapping.run()
        assert [thread for thread in threading.enumerate() if thread.name.startswith("environment")]

    def test_two():
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("environment")]
    """
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=2)
