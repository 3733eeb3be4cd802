"""Limits that event loops in several threads share learn what some order of the records' ends teaches."""

import math
import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import pytest

import asyncbatch.limits
from asyncbatch.limits import AdaptiveLimit, AIMDLimit, Gradient2Limit, RateLimit, Verdict

LIMITS = str(Path(asyncbatch.limits.__file__).parent)


def state(limit):
    """Everything that an object holds, with what its parts hold."""
    return {
        name: state(value) if hasattr(value, "__dict__") and not callable(value) else value
        for name, value in vars(limit).items()
    }


def run_with_another_in_between(first, second, at):
    """Run a function, and another one in a thread of its own when the first has come to a line.

    Args:
        first: The function.
        second: The other one. The first goes on when it has ended, or has to wait for the first.
        at: How many lines of the limits' code the first runs before.

    Returns:
        Whether the first function has so many lines, and what the functions returned.
    """
    others = []
    results = []
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if not frame.f_code.co_filename.startswith(LIMITS):
            return None
        if event == "line":
            lines += 1
            if lines == at:
                others.append(Thread(target=lambda: results.append(second())))
                others[0].start()
                others[0].join(0.005)
        return trace

    def traced():
        sys.settrace(trace)
        try:
            results.append(first())
        finally:
            sys.settrace(None)

    thread = Thread(target=traced)
    thread.start()
    thread.join()
    for other in others:
        other.join()
    return bool(others), Counter(results)


def settling(kind):
    """A limit that waits for one more record of those that were in flight when it fell."""
    limit = kind(10)
    limit.observe(Verdict.DROPPED, 0.01, 2)
    assert limit._settling == 1 or kind is AdaptiveLimit
    limit._settling = 1
    return limit


def before_the_end_of_a_window():
    limit = AdaptiveLimit()
    for index in range(limit._wanted - 1):
        limit.observe(Verdict.SUCCESS, 0.01 + index / 10_000, 4)
    return limit


def before_the_end_of_an_idle_window():
    limit = AdaptiveLimit(10)
    for index in range(limit._wanted - 1):
        limit.observe(Verdict.SUCCESS, 0.01 + index / 10_000, 1)
    return limit


def success(limit, in_flight=4):
    return lambda: limit.observe(Verdict.SUCCESS, 0.01, in_flight)


def drop(limit):
    return lambda: limit.observe(Verdict.DROPPED, 0.01, 4)


@pytest.mark.parametrize(
    ("made", "first", "second"),
    [
        (lambda: settling(AIMDLimit), success, success),
        (lambda: settling(AIMDLimit), drop, success),
        (lambda: settling(Gradient2Limit), success, success),
        (lambda: settling(AdaptiveLimit), success, success),
        (lambda: AIMDLimit(4), success, drop),
        (lambda: Gradient2Limit(4), success, drop),
        (before_the_end_of_a_window, success, success),
        (before_the_end_of_a_window, success, drop),
        (before_the_end_of_a_window, drop, success),
        (before_the_end_of_an_idle_window, lambda limit: success(limit, 1), lambda limit: success(limit, 1)),
        (lambda: RateLimit(10), lambda limit: lambda: limit.take(1.0), lambda limit: lambda: limit.take(1.0)),
        (lambda: RateLimit(10), lambda limit: lambda: limit.take(1.0), lambda limit: limit.give_back),
    ],
    ids=[
        "AIMD settling",
        "AIMD settling, a drop",
        "Gradient2 settling",
        "Adaptive settling",
        "AIMD",
        "Gradient2",
        "a window ends",
        "a window ends, then a drop",
        "a drop, then a window ends",
        "an idle window ends",
        "a rate",
        "a rate, given back",
    ],
)
def test_two_threads_teach_it_what_one_after_the_other_would(made, first, second):
    """At whatever line of the one thread's call the other thread comes with its own."""
    orders = []
    for before, after in [(first, second), (second, first)]:
        limit = made()
        results = Counter([before(limit)(), after(limit)()])
        orders.append((results, state(limit)))
    at = 1
    while True:
        limit = made()
        came, results = run_with_another_in_between(first(limit), second(limit), at)
        if not came:
            break
        assert (results, state(limit)) in orders, f"the other thread came at line {at} of the call"
        at += 1
    assert at > 3


@pytest.mark.parametrize("kind", [AIMDLimit, Gradient2Limit, AdaptiveLimit])
def test_threads_may_share_it(kind):
    """Three threads whose turns are as short as the interpreter can make them."""
    limit = kind()

    def work():
        for number in range(10_000):
            verdict = Verdict.DROPPED if number % 1_000 == 999 else Verdict.SUCCESS
            limit.observe(verdict, 0.01, limit.current)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            for done in [pool.submit(work) for _ in range(3)]:
                done.result()
    finally:
        sys.setswitchinterval(switch)
    assert limit.minimum <= limit.current <= limit.maximum
    assert 0 <= limit._settling <= limit.maximum
    if isinstance(limit, AdaptiveLimit):
        assert limit._base == pytest.approx(math.log(0.01))
        assert limit._spread == pytest.approx(0, abs=1e-6)
    before = limit.current = limit.minimum + 1
    limit._exact = float(before)
    for _ in range(2_000):
        limit.observe(Verdict.SUCCESS, 0.01, limit.current)
    assert limit.current > before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_that_forks_while_another_thread_teaches_a_limit_can_teach_it_too():
    limit = AIMDLimit()
    over = False

    def work():
        while not over:
            limit.observe(Verdict.SUCCESS, 0.01, limit.current)

    thread = Thread(target=work)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if not child:
                limit.observe(Verdict.SUCCESS, 0.01, limit.current)
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        over = True
        thread.join()
