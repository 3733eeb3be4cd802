"""Events of every source, and what can be done to the tree of one: deterministic, from a random generator."""

import base64
import contextlib
import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

Path = tuple[str | int, ...]

CANARY = "CANARYcanary"
"""In every payload, and in nothing else: a text of ours that shows it shows a record's content."""
ENCODED = [
    base64.b64encode(b"x" * shift + CANARY.encode()).decode()[shift + bool(shift) : -4] for shift in range(3)
]
"""How it looks in base64, which depends on what stands before it."""
SECRET = json.dumps({"a": CANARY})
_CONTENT: tuple[Path, ...] = (
    ("body",),
    ("Body",),
    ("messageAttributes",),
    ("MessageAttributes",),
    ("kinesis", "data"),
    ("dynamodb", "Keys"),
    ("dynamodb", "NewImage"),
    ("dynamodb", "OldImage"),
    ("key",),
    ("value",),
    ("headers",),
)

# --- good events --------------------------------------------------------------------------------------


def _messages(size: int, rng: random.Random) -> dict[str, Any]:
    """What receive_message returns."""
    spelled = {"messageId": "MessageId", "receiptHandle": "ReceiptHandle", "body": "Body"}
    records = _fifo(size, rng)["Records"]
    return {
        "Messages": [
            {
                **{new: record[old] for old, new in spelled.items()},
                "Attributes": record["attributes"],
                "MessageAttributes": {"a": {"StringValue": CANARY, "DataType": "String"}},
            }
            for record in records
        ]
    }


def _sqs(size: int, rng: random.Random) -> dict[str, Any]:
    event = sqs_event([SECRET] * size)
    for record in event["Records"]:
        record["messageAttributes"] = {"a": {"stringValue": CANARY, "dataType": "String"}}
    return event


def _fifo(size: int, rng: random.Random) -> dict[str, Any]:
    return sqs_fifo_event([SECRET] * size, groups=rng.choices("gh", k=size))


def _kinesis(size: int, rng: random.Random) -> dict[str, Any]:
    return kinesis_event([SECRET] * size, keys=rng.choices("gh", k=size))


def _dynamodb(size: int, rng: random.Random) -> dict[str, Any]:
    return dynamodb_event([{"id": CANARY + rng.choice("gh"), "a": CANARY, "n": 1} for _ in range(size)])


def _kafka(size: int, rng: random.Random) -> dict[str, Any]:
    partitions = rng.choices([0, 1], k=size)
    keys = [rng.choice([None, CANARY]) for _ in range(size)]
    return kafka_event([SECRET] * size, partitions=partitions, keys=keys, topic="t")


def _window(size: int, rng: random.Random) -> dict[str, Any]:
    return {
        **_kinesis(size, rng),
        "window": {"start": "2026-09-21T13:30:00Z", "end": "2026-09-21T13:35:00Z"},
        "state": {"sum": 1},
        "isFinalInvokeForWindow": rng.choice([True, False]),
        "isWindowTerminatedEarly": False,
    }


KINDS: dict[str, Callable[[int, random.Random], dict[str, Any]]] = {
    "sqs": _sqs,
    "sqs-fifo": _fifo,
    "kinesis": _kinesis,
    "dynamodb": _dynamodb,
    "kafka": _kafka,
    "window": _window,
    "messages": _messages,
}


def good_event(kind: str, size: int, rng: random.Random) -> dict[str, Any]:
    """A good event, short: nothing reads the long values, and a corpus is read by people."""
    event = KINDS[kind](size, rng)
    for path, value in list(nodes(event)):
        if isinstance(value, str) and len(value) > 60:
            put(event, path, value[-40:])
    return plain(event)


def plain(event: Any) -> Any:
    """A copy of what JSON keeps of an event, in which no two records are one object."""
    return json.loads(json.dumps(event))


# --- the tree -----------------------------------------------------------------------------------------


def nodes(value: Any, start: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place below the root and what is there."""
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for step, each in inner:
        yield (*start, step), each
        yield from nodes(each, (*start, step))


def at(event: Any, path: Path) -> Any:
    for step in path:
        event = event[step]
    return event


def put(event: Any, path: Path, value: Any) -> None:
    at(event, path[:-1])[path[-1]] = value


# --- damage -------------------------------------------------------------------------------------------

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 5, 2**63, 10**4000, -(10**4000), 1.0, 1.5, 1e308),
    *(float("nan"), float("inf"), "", " ", "x", "0", "007", "999", "1000", "9" * 5000, "-1", "٣", "1_0"),
    *("\x00", "\ud800", "\udfff", "é", "\U0001f600", "a\nb", "%s {0} %(x)d", "[" * 2000, "e3$$0=", "e30="),
    *("aws:sqs", "aws:kinesis", "aws:dynamodb", "aws:kafka", "SelfManagedKafka", "aws:sns", "aws:x"),
    *("arn:aws:sqs:eu-west-1:123456789012:q", "arn:aws:sqs:eu-west-1:123456789012:q.fifo", ".fifo"),
    *([], {}, [None], ["x"], [[]], {"x": 1}, {"S": "x"}, {"N": "1"}, {"N": CANARY}, {"B": CANARY + "!"}),
    *({"M": {"x": {"S": CANARY}}}, {CANARY: CANARY}, {"id": {}}, {"id": {"S": []}}, {"id": {"S": None}}),
    *({"S": CANARY, "N": "1"}, {"SS": [CANARY]}, {"NS": [CANARY]}, {"L": CANARY}, {"NULL": CANARY}),
    *(
        "x" * 3000,
        "y" * 30_000,
        CANARY,
        ENCODED[0],
        ENCODED[0] + "!",
        '{"a": ' + CANARY,
        '{"a": 1, "a": "' + CANARY + '"}',
    ),
]
_SECRETS = [value for value in ODD if CANARY in json.dumps(value)]
NAMES = [
    *("Records", "records", "eventSource", "EventSource", "eventSourceARN", "eventSourceArn", "messageId"),
    *("attributes", "MessageGroupId", "kinesis", "sequenceNumber", "partitionKey", "dynamodb", "Keys"),
    *("SequenceNumber", "topic", "partition", "offset", "key", "isFinalInvokeForWindow", "state", "Sns", ""),
]


def damaged(event: Any, rng: random.Random, times: int = 1) -> Any:
    """A copy of an event with this many things done to its tree; some come to nothing."""
    for _ in range(times):
        with contextlib.suppress(RecursionError):  # nested too deep to be damaged further
            event = _clean(plain(rng.choice(_WAYS)(plain(event), rng)))
    return event


def _place(event: Any, rng: random.Random) -> Path:
    """Any place, those that a check looks at more often; the root where there is no other."""
    places = [path for path, _ in nodes(event)]
    looked_at = [path for path in places if path[-1] in NAMES]
    return rng.choice(looked_at if looked_at and rng.random() < 0.6 else places) if places else ()


def _set(event: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    put(event, path, value)
    return event


def _delete(event: Any, rng: random.Random) -> Any:
    path = _place(event, rng)
    if path:
        del at(event, path[:-1])[path[-1]]
    return event


def _replace(event: Any, rng: random.Random) -> Any:
    path = _place(event, rng) if rng.random() < 0.97 else ()
    return _set(event, path, copy.deepcopy(rng.choice(ODD)))


def _spoil(event: Any, rng: random.Random) -> Any:
    """Something odd in a payload, or in place of one, with the canary in it."""
    places = [path for path, _ in nodes(event) if _is_content(path)]
    path = rng.choice(places) if places else ()
    parent = at(event, path[:-1]) if path else None
    if isinstance(parent, dict) and _is_content(path[:-1]) and rng.random() < 0.5:
        parent[CANARY] = parent.pop(path[-1])
        return event
    return _set(event, path, copy.deepcopy(rng.choice(_SECRETS))) if places else event


def _blank(event: Any, rng: random.Random) -> Any:
    """Nothing, in its many forms, where a check looks."""
    places = [path for path, _ in nodes(event) if path[-1] in NAMES]
    blanks = [None, "", 0, False, [], {}, " ", "x", 5]
    return _set(event, rng.choice(places), rng.choice(blanks)) if places else event


def _duplicate(event: Any, rng: random.Random) -> Any:
    path = _place(event, rng)
    if not path:
        return event
    parent, value = at(event, path[:-1]), copy.deepcopy(at(event, path))
    if isinstance(parent, list):
        parent.insert(rng.randint(0, len(parent)), value)
    else:
        parent[rng.choice(NAMES)] = value
    return event


def _retarget(event: Any, rng: random.Random) -> Any:
    """What is at one place also stands at another."""
    value = copy.deepcopy(at(event, _place(event, rng)))
    return _set(event, _place(event, rng), value)


def _swap(event: Any, rng: random.Random) -> Any:
    one, other = _place(event, rng), _place(event, rng)
    if one[: len(other)] == other or other[: len(one)] == one:
        return event  # one is inside the other
    values = at(event, one), at(event, other)
    put(event, one, values[1])
    put(event, other, values[0])
    return event


def _twin(event: Any, rng: random.Random) -> Any:
    """The same field of two records has one value: an identifier that is there twice, for one."""
    path = _place(event, rng)
    steps = [place for place, step in enumerate(path) if isinstance(step, int)]
    if not steps:
        return event
    step = rng.choice(steps)
    siblings = len(at(event, path[:step]))
    other = (*path[:step], rng.randrange(siblings), *path[step + 1 :])
    try:
        put(event, other, copy.deepcopy(at(event, path)))
    except (LookupError, TypeError):
        return event  # the sibling is of another shape
    return event


def _rename(event: Any, rng: random.Random) -> Any:
    path = _place(event, rng)
    parent = at(event, path[:-1]) if path else None
    if isinstance(parent, dict):
        parent[rng.choice([*NAMES, path[-1].swapcase()])] = parent.pop(path[-1])
    return event


def _retype(event: Any, rng: random.Random) -> Any:
    """The same content in another type."""
    path = _place(event, rng)
    value = at(event, path)
    options: list[Any] = [[value], {"x": value}, {"S": value}]
    match value:
        case dict():
            options += [list(value), list(value.values()), json.dumps(value)[:2000]]
        case list():
            options += [dict(zip(map(str, range(len(value))), value, strict=True)), None, str(len(value))]
        case str():
            options += [list(value)[:50], value + "0", value[:-1], value.upper(), [*map(ord, value)][:50]]
            options += [int(value)] if value.isascii() and value.isdigit() and len(value) < 4000 else []
        case bool() | None:
            options += [str(value)]
        case int() if abs(value) < 10**100:
            options += [str(value), float(value), value + 1, -value, bool(value)]
    return _set(event, path, rng.choice(options))


def _nest(event: Any, rng: random.Random) -> Any:
    path = _place(event, rng)
    value = at(event, path)
    for _ in range(rng.choice([2, 20, 150])):
        value = rng.choice([[value], {"x": value}])
    return _set(event, path, value)


def _shuffle(event: Any, rng: random.Random) -> Any:
    """Records in another order: sequence numbers that do not ascend."""
    lists = [value for _, value in nodes(event) if isinstance(value, list) and len(value) > 1]
    if lists:
        rng.shuffle(rng.choice(lists))
    return event


_WAYS = [
    *(
        _delete,
        _replace,
        _replace,
        _blank,
        _blank,
        _spoil,
        _duplicate,
        _retarget,
        _swap,
        _twin,
        _rename,
        _retype,
    ),
    *(_nest, _shuffle),
]


# --- content ------------------------------------------------------------------------------------------


def _clean(event: Any) -> Any:
    """Take the canary out of what is no payload: identifiers and names of sources may be shown."""
    return _cleaned(event, ())


def _cleaned(value: Any, path: Path) -> Any:
    if _is_content(path):
        return value
    match value:
        case dict():
            return {_silent(name): _cleaned(each, (*path, name)) for name, each in value.items()}
        case list():
            return [_cleaned(each, (*path, step)) for step, each in enumerate(value)]
        case str():
            return _silent(value)
    return value


def _is_content(path: Path) -> bool:
    match path:
        case (("Records" | "Messages"), int(), *inner) | ("records", str(), int(), *inner):
            return tuple(inner[:1]) in _CONTENT or tuple(inner[:2]) in _CONTENT
    return False


def _silent(text: str) -> str:
    for word in (CANARY, *ENCODED, CANARY.upper(), CANARY.swapcase()):
        text = text.replace(word, "moved")
    return text
