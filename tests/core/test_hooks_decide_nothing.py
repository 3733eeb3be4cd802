"""What a hook or a limit raises changes no outcome and no reply, and fills no log."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch import BatchEngine, Failed, FailureReason, Succeeded, batch_handler
from asyncbatch._contained import Contained
from asyncbatch.hooks import BatchEnded, BatchStarted, HookEvent, LimitChanged, RecordEnded, RecordStarted
from asyncbatch.limits import AIMDLimit, Verdict
from asyncbatch.testing import run_virtual, sqs_event

KINDS = [BatchStarted, RecordStarted, RecordEnded, LimitChanged, BatchEnded]


class HostileError(Exception):
    """Answers nothing."""

    def __str__(self) -> str:
        raise SystemExit

    def __bool__(self) -> bool:
        raise ValueError

    def __getattribute__(self, name: str) -> Any:
        raise ValueError


ERRORS: list[Callable[[], BaseException]] = [
    lambda: RuntimeError("the hook's own trouble"),
    SystemExit,
    GeneratorExit,
    asyncio.CancelledError,
    lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), SystemExit()]),
    lambda: RuntimeError("half a character: \ud83d"),
    HostileError,
]
IDS = [
    "RuntimeError",
    "SystemExit",
    "GeneratorExit",
    "CancelledError",
    "a group",
    "half a character",
    "hostile",
]


class Restless:
    """A limit that moves at every record."""

    current = 3

    def observe(self, verdict: Verdict, latency: float, in_flight: int) -> None:
        self.current = 7 - self.current

    def is_drop(self, error: BaseException) -> bool:
        return False


async def fail_on_bad(record: Any) -> None:
    await asyncio.sleep(0.001 if record.text == "waits" else 0)
    if record.text == "bad":
        raise ValueError(record.text)


def run(engine: BatchEngine, event: dict[str, Any], how: str) -> list[str]:
    """The kinds of the outcomes; `process` runs in a loop of the caller's, the others on one of ours."""
    if how == "process":
        report = run_virtual(engine.process(event, fail_on_bad))
    else:
        report = engine.run(event, fail_on_bad)
    return [type(each).__name__ for each in report.outcomes]


class StrictHandler(logging.Handler):
    """Raises as the handler of Lambda's runtime does: at text that UTF-8 cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record).encode().decode())


@pytest.fixture
def strict_log() -> Any:
    handler, logger = StrictHandler(), logging.getLogger("asyncbatch")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize("how", ["run", "process", "guarded"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", ERRORS, ids=IDS)
def test_what_a_hook_raises_is_logged_and_decides_nothing(
    kind: type, error: Callable[[], BaseException], how: str, strict_log: StrictHandler
) -> None:
    told: list[type] = []

    def broken(event: HookEvent) -> None:
        if type(event) is kind:
            raise error()

    engine = BatchEngine(
        hooks=[broken, lambda event: told.append(type(event))],
        concurrency=Restless(),
        guard_blocking=how == "guarded",
    )
    outcomes = run(engine, sqs_event(["good", "bad", "waits", "good"]), how)
    assert outcomes == ["Succeeded", "Failed", "Succeeded", "Succeeded"]
    assert kind in told  # the next hook hears it all the same
    about = [line for line in strict_log.lines if f"raised on {kind.__name__}: " in line]
    assert len(about) == 1
    assert "broken" in about[0]
    assert len(about[0]) < 3_000


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_in_lambda_is_one_of_them(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")

    def hook(event: HookEvent) -> None:
        if type(event) is kind:
            raise KeyboardInterrupt

    handler = batch_handler(hooks=[hook], concurrency=Restless())(fail_on_bad)
    event = sqs_event(["good", "bad", "waits"])
    assert handler(event) == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}


@pytest.mark.parametrize("how", ["run", "process", "guarded"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupt_elsewhere_ends_the_run_and_is_raised_when_all_hooks_have_heard(
    kind: type, how: str
) -> None:
    told: list[type] = []

    def hook(event: HookEvent) -> None:
        if type(event) is kind:
            raise KeyboardInterrupt

    engine = BatchEngine(
        hooks=[hook, lambda event: told.append(type(event))],
        concurrency=Restless(),
        guard_blocking=how == "guarded",
    )
    with pytest.raises(KeyboardInterrupt):
        run(engine, sqs_event(["waits"] * 50), how)
    assert told[-1] is kind or kind not in {BatchStarted, BatchEnded}
    assert kind in told
    assert told.count(RecordStarted) <= (50 if kind is BatchEnded else 7)


@pytest.mark.parametrize("how", ["run", "process"])
def test_ten_thousand_exceptions_of_a_hook_make_two_lines(how: str, strict_log: StrictHandler) -> None:
    def hook(event: HookEvent) -> None:
        raise RuntimeError("x" * 100_000)

    def another(event: HookEvent) -> None:
        if isinstance(event, RecordEnded):
            raise asyncio.CancelledError

    outcomes = run(BatchEngine(hooks=[hook, another, hook]), sqs_event(["good"] * 10_000), how)
    assert outcomes == ["Succeeded"] * 10_000
    *first, rest = strict_log.lines
    assert [line.partition(" ")[0] for line in first] == ["hooks[0]", "hooks[2]", "hooks[1]"]
    assert max(map(len, first)) < 3_000
    assert "hook) raised 20,001 more, hooks[2]" in rest
    assert "another) raised 9,999 more" in rest


def test_a_new_run_logs_the_first_again(strict_log: StrictHandler) -> None:
    def hook(event: HookEvent) -> None:
        if isinstance(event, BatchStarted):
            raise SystemExit

    engine = BatchEngine(hooks=[hook])
    for _ in range(2):
        run(engine, sqs_event(["good"]), "run")
    assert len(strict_log.lines) == 2


class Nameless:
    """A hook whose name cannot be had."""

    def __call__(self, event: HookEvent) -> None:
        raise RuntimeError

    def __getattr__(self, name: str) -> Any:
        raise SystemExit if name == "__qualname__" else AttributeError


def test_a_hook_without_a_name_is_named_by_its_class(strict_log: StrictHandler) -> None:
    assert run(BatchEngine(hooks=[Nameless()]), sqs_event(["good"]), "run") == ["Succeeded"]
    assert strict_log.lines[0].startswith("hooks[0] (Nameless) raised on BatchStarted: RuntimeError")


# --- limits -----------------------------------------------------------------------------------------------


class Broken:
    """A limit of which one part raises from its second use on."""

    def __init__(self, part: str, error: Callable[[], BaseException]) -> None:
        self.part = part
        self.error = error
        self.reads = 0

    def _use(self, part: str) -> None:
        if part == self.part:
            raise self.error()

    @property
    def current(self) -> int:
        self.reads += 1
        if self.reads > 2:  # the engine's making is the first, the beginning of a batch the second
            self._use("current")
        return 2

    def observe(self, verdict: Verdict, latency: float, in_flight: int) -> None:
        self._use("observe")

    def is_drop(self, error: BaseException) -> bool:
        self._use("is_drop")
        return True


@pytest.mark.parametrize("how", ["run", "process", "guarded"])
@pytest.mark.parametrize("part", ["current", "observe", "is_drop"])
@pytest.mark.parametrize("error", ERRORS, ids=IDS)
def test_what_a_limit_raises_is_logged_and_decides_nothing(
    part: str, error: Callable[[], BaseException], how: str, strict_log: StrictHandler
) -> None:
    engine = BatchEngine(concurrency=Broken(part, error), guard_blocking=how == "guarded")
    outcomes = run(engine, sqs_event(["waits", "bad", "bad", "waits", "good"] * 10), how)
    assert outcomes == ["Succeeded", "Failed", "Failed", "Succeeded", "Succeeded"] * 10
    about = [line for line in strict_log.lines if line.startswith("Broken")]
    assert len(about) == 1
    assert strict_log.lines[-1].startswith("only the first exception of each was logged: Broken")


@pytest.mark.parametrize("part", ["current", "observe", "is_drop"])
def test_an_interrupt_from_a_limit(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    event = sqs_event(["waits", "bad"])
    with pytest.raises(KeyboardInterrupt):
        run(BatchEngine(concurrency=Broken(part, KeyboardInterrupt)), event, "run")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    engine = BatchEngine(concurrency=Broken(part, KeyboardInterrupt))
    assert run(engine, event, "run") == ["Succeeded", "Failed"]


@pytest.mark.parametrize("error", [*ERRORS, KeyboardInterrupt], ids=[*IDS, "KeyboardInterrupt"])
def test_a_limit_that_cannot_be_read_when_a_batch_begins_counts_as_the_usual_one(
    error: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch, strict_log: StrictHandler
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    told: list[HookEvent] = []
    limit = Broken("current", error)
    engine = BatchEngine(concurrency=limit, hooks=[told.append])
    limit.reads = 5
    assert run(engine, sqs_event(["waits", "bad"]), "run") == ["Succeeded", "Failed"]
    assert isinstance(told[0], BatchStarted)
    assert told[0].limit == 100
    assert strict_log.lines[0].startswith("Broken raised, and the limit is 100: ")


def test_an_interrupt_while_it_is_read_then_ends_the_run() -> None:
    limit = Broken("current", KeyboardInterrupt)
    engine = BatchEngine(concurrency=limit)
    limit.reads = 5
    with pytest.raises(KeyboardInterrupt):
        run(engine, sqs_event(["waits"]), "run")


def test_a_decorated_function_counts_what_its_limit_raises_too(strict_log: StrictHandler) -> None:
    """Its usual reply needs no report."""
    handler = batch_handler(concurrency=Broken("observe", RuntimeError))(fail_on_bad)
    assert handler(sqs_event(["waits"] * 5)) == {"batchItemFailures": []}
    assert strict_log.lines[-1] == "only the first exception of each was logged: Broken raised 4 more"


def test_a_limit_that_raises_nothing_writes_nothing(strict_log: StrictHandler) -> None:
    handler = batch_handler(concurrency=AIMDLimit(), hooks=[lambda event: None])(fail_on_bad)
    assert handler(sqs_event(["waits"] * 5)) == {"batchItemFailures": []}
    assert strict_log.lines == []


def test_what_was_counted_is_told_once(strict_log: StrictHandler) -> None:
    contained = Contained()
    for _ in range(3):
        assert contained.takes("somebody", " on something", ValueError("mine"))
    contained.tell_the_rest()
    contained.tell_the_rest()
    assert strict_log.lines == [
        "somebody raised on something: ValueError: mine",
        "only the first exception of each was logged: somebody raised 2 more",
    ]


def test_outcomes_are_as_without_hooks() -> None:
    def hook(event: HookEvent) -> None:
        raise SystemExit

    report = BatchEngine(hooks=[hook]).run(sqs_event(["good", "bad"]), fail_on_bad)
    good, bad = report.outcomes
    assert isinstance(good, Succeeded)
    assert isinstance(bad, Failed)
    assert bad.reason is FailureReason.RAISED
    assert bad.message == "ValueError: bad"
