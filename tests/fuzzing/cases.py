"""A case: an event, the way it goes through the package, and what becomes of its records. All of it is JSON."""

import dataclasses
import json
import random
from typing import Any, Self

from damage import KINDS, damaged, good_event

ENGINE = ("run", "function", "process")
FACADE = ("sync", "async", "fifo", "fifo async", "groups", "groups async", "halting", "halting async")
MESSAGES = ("messages", "messages of a FIFO queue")
EVENT_TYPES = ("SQS", "KinesisDataStreams", "DynamoDBStreams", "Kafka")
SOURCES = ("sqs", "sqs-fifo", "kinesis", "dynamodb", "kafka")
FATES = (
    *(
        "ok",
        "ok",
        "ok",
        "waits",
        "reads all",
        "reads text",
        "reads json",
        "reads payload",
        "raises",
        "raises",
    ),
    *("is cancelled", "exits", "ends a generator", "has its own base", "is a group", "cannot be shown"),
    *(
        "is of half a character",
        "is of many words",
        "gives a coroutine",
        "gives a generator",
        "gives a future",
    ),
    *("cancels itself", "cancels itself and waits", "hangs", "swallows"),
)
CHOICES: dict[str, tuple[Any, ...]] = {
    "entry": (*ENGINE, *ENGINE, *ENGINE, *FACADE, *MESSAGES),
    "source": (None, None, *SOURCES),
    "event_type": EVENT_TYPES,
    "ordering": (None, None, None, "unordered", "by-key", "sequential", "by function"),
    "scope": (None, None, None, "record", "lane", "batch"),
    "model": (None, None, "order", "anything"),
    "raise_on_failure": ("never", "never", "never", None, "entire_batch", "any"),
    "concurrency": (100, 1, 2),
    "seconds": (None, None, 1.5),
    "timeout": (None, None, 0.5),
}
"""What each of a case's words may be; what is there twice is drawn more often."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    event: Any
    fates: list[str]
    entry: str = "run"
    source: str | None = None
    event_type: str = "SQS"
    ordering: str | None = None
    scope: str | None = None
    model: str | None = None
    raise_on_failure: str | None = "never"
    concurrency: int = 100
    seconds: float | None = None
    timeout: float | None = None

    @classmethod
    def read(cls, text: str | bytes) -> Self | None:
        """The case that a text holds; None if it holds none."""
        try:
            found = json.loads(text)
            case = cls(**found)
            words_fit = all(getattr(case, name) in words for name, words in CHOICES.items())
            fates_fit = bool(case.fates) and all(fate in FATES for fate in case.fates)
        except (ValueError, TypeError, RecursionError):
            return None
        return case if words_fit and fates_fit and type(case.fates) is list else None

    def text(self) -> str:
        """The case as JSON, short: what is as usual is left out."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        words = {name: value for name, value in vars(self).items() if value != usual[name]}
        return json.dumps(words, separators=(",", ":"))


_EVENT_TYPE_OF = {"kinesis": 1, "window": 1, "dynamodb": 2, "kafka": 3}


def fresh_case(rng: random.Random, kind: str | None = None, *, undamaged: bool = False) -> Case:
    """A case of any kind."""
    kind = kind or rng.choice(sorted(KINDS))
    event = good_event(kind, rng.choice([0, 1, 2, 2, 3, 3, 4, 6]), rng)
    if not undamaged:
        event = damaged(event, rng, rng.choice([0, 1, 1, 1, 2, 3]))
    words = {name: rng.choice(options) for name, options in CHOICES.items()}
    if rng.random() < 0.5:  # without options, of which many do not fit together
        words = {"entry": words["entry"]}
    if kind == "messages":
        words["entry"] = rng.choice(MESSAGES)
    elif words["entry"] in MESSAGES:
        words["entry"] = "run"
    if rng.random() < 0.9:  # words that do not fit the event end early
        words["source"] = None if kind in {"window", "messages"} else rng.choice([None, kind])
        words["event_type"] = EVENT_TYPES[_EVENT_TYPE_OF.get(kind, 0)]
    return Case(event=event, fates=rng.choices(FATES, k=rng.choice([1, 2, 3, 4])), **words)


def changed_case(case: Case, rng: random.Random) -> Case:
    """A case that differs a little: in its event mostly."""
    if rng.random() < 0.7:
        return dataclasses.replace(case, event=damaged(case.event, rng, rng.choice([1, 1, 2])))
    if rng.random() < 0.5:
        fates = [*case.fates, rng.choice(FATES)][-4:]
        rng.shuffle(fates)
        return dataclasses.replace(case, fates=fates)
    name = rng.choice(sorted(CHOICES))
    return dataclasses.replace(case, **{name: rng.choice(CHOICES[name])})
