"""The oracle: a clear error before any handler ran, or every record that did not succeed in the reply.

It reads the event by rules of its own, written from AWS's documentation, and uses nothing of the package but its
public errors: what the package's code takes for true is the question.
"""

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple

from cases import ENGINE, MESSAGES
from damage import CANARY, ENCODED
from runs import OwnError, Seen, name_in

from asyncbatch import AsyncBatchError, FailedBatchError, InvalidEventError, SequenceOrderError
from asyncbatch.powertools.exceptions import BatchProcessingError

LONGEST = 24 * 1024
"""Of any message or summary of the engine."""
FACADES_LONGEST = 2 * 1024 * 1024
"""Of the facade's, which hold tracebacks as the peer's do."""

Text = str


class Row(NamedTuple):
    """What has to be known of a record.

    Attributes:
        name: Which object it is.
        identifier: How a reply names it; None if nothing does.
        unit: Where order counts: its message group, its topic-partition, its shard. None where none does.
        number: Its place in that, as a number; None if it has none.
    """

    name: Hashable
    identifier: Any
    unit: Hashable
    number: int | None = None


# --- reading an event -------------------------------------------------------------------------------------


def part(value: Any, *path: str) -> Any:
    """What is at a path of objects; None if there is nothing."""
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def number_in(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,1000}", text) else None


def read_sqs(raw: Any) -> Row | None:
    name = part(raw, "messageId")
    return Row(name_in(raw), name, None) if is_text(name) else None


def read_fifo(raw: Any) -> Row | None:
    name, group = part(raw, "messageId"), part(raw, "attributes", "MessageGroupId")
    return Row(name_in(raw), name, group) if is_text(name) and is_text(group) else None


def read_kinesis(raw: Any) -> Row | None:
    name, key = part(raw, "kinesis", "sequenceNumber"), part(raw, "kinesis", "partitionKey")
    good = is_text(name) and isinstance(key, str)
    return Row(name_in(raw), name, "the shard", number_in(name)) if good else None


def read_dynamodb(raw: Any) -> Row | None:
    name, keys = part(raw, "dynamodb", "SequenceNumber"), part(raw, "dynamodb", "Keys")
    good = is_text(name) and isinstance(keys, dict) and keys and all(map(is_typed, keys.values()))
    return Row(name_in(raw), name, "the shard", number_in(name)) if good else None


def is_typed(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and not isinstance(next(iter(value.values())), list | dict)


def read_kafka(raw: Any) -> Row | None:
    topic, partition, offset = part(raw, "topic"), part(raw, "partition"), part(raw, "offset")
    good = is_text(topic) and is_whole(partition) and is_whole(offset)
    if not good or partition < 0 or not isinstance(part(raw, "key"), str | None):
        return None
    name = {"partition": f"{topic}-{partition}", "offset": offset}
    return Row(name_in(raw), name, (topic, partition), offset)


READERS = {
    "sqs": read_sqs,
    "sqs-fifo": read_fifo,
    "kinesis": read_kinesis,
    "dynamodb": read_dynamodb,
    "kafka": read_kafka,
}
TAGS = {"aws:sqs": "sqs", "aws:kinesis": "kinesis", "aws:dynamodb": "dynamodb"}
QUEUES = ("sqs", "sqs-fifo")
KAFKA_TAGS = ("aws:kafka", "SelfManagedKafka")


def source_of(raw: Any, named: str | None) -> str | None:
    """The event source that a record shows, where it agrees with the one that the user named."""
    if not isinstance(raw, dict) or isinstance(raw.get("eventSourceARN"), list | dict):
        return None
    tag, arn = raw.get("eventSource"), raw.get("eventSourceARN")
    shown = TAGS.get(tag) if isinstance(tag, str) else None
    is_queue = shown == "sqs" or (tag is None and named in QUEUES)
    if is_queue and is_text(arn):
        shown = "sqs-fifo" if arn.endswith(".fifo") else "sqs"
    elif is_queue or (tag is None and named is not None):
        shown = named if named in QUEUES or not is_queue else None  # nothing in it tells another
    return shown if named in {None, shown} else None


def engine_rows(seen: Seen) -> tuple[str | None, list[Row] | None]:
    """The event's source and its rows; None for the rows if it may not run."""
    case, event = seen.case, seen.event
    if case.entry in MESSAGES:
        return message_rows(seen)
    if not isinstance(event, dict):
        return None, None
    tag = event.get("eventSource")
    if case.source == "kafka" or (isinstance(tag, str) and tag in KAFKA_TAGS):
        return "kafka", kafka_rows(seen)
    if "isFinalInvokeForWindow" in event and event.get("Records") in (None, []):
        return case.source, []
    return record_rows(event.get("Records"), case.source)


def record_rows(records: Any, named: str | None) -> tuple[str | None, list[Row] | None]:
    if not isinstance(records, list):
        return None, None
    if not records:
        return named, []
    sources = {source_of(raw, named) for raw in records}
    source = sources.pop()
    return (None, None) if sources or source is None else (source, whole(list(map(READERS[source], records))))


def kafka_rows(seen: Seen) -> list[Row] | None:
    logs, tag = seen.event.get("records"), seen.event.get("eventSource")
    agrees = seen.case.source in {None, "kafka"} and (tag is None or tag in KAFKA_TAGS)
    if not agrees or not isinstance(logs, dict) or not all(isinstance(log, list) for log in logs.values()):
        return None
    return whole([read_kafka(raw) for log in logs.values() for raw in log])


def message_rows(seen: Seen) -> tuple[str | None, list[Row] | None]:
    source = "sqs-fifo" if "FIFO" in seen.case.entry else "sqs"
    if seen.case.source not in {None, source}:
        return source, None if seen.raws or seen.case.source == "kafka" else []
    rows = []
    for raw in seen.raws:
        name, group = part(raw, "MessageId"), part(raw, "Attributes", "MessageGroupId")
        good = is_text(name) and (is_text(group) or source == "sqs") and has_attributes(raw)
        rows.append(Row(name_in(raw), name, group if source == "sqs-fifo" else None) if good else None)
    return source, whole(rows)


def has_attributes(message: dict[str, Any]) -> bool:
    attributes = message.get("MessageAttributes") or {}
    each_is_one = isinstance(attributes, dict) and all(isinstance(each, dict) for each in attributes.values())
    return each_is_one and all(isinstance(each.get("BinaryValue", ""), str) for each in attributes.values())


def whole(rows: list[Row | None]) -> list[Row] | None:
    return None if None in rows else rows


# --- what a reply acknowledges ----------------------------------------------------------------------------


def typed(identifier: Any) -> Text:
    """An identifier as JSON tells it from others: 1 is not true there."""
    return json.dumps(identifier, sort_keys=True)


def acknowledged(source: str | None, rows: list[Row], named: list[Text]) -> Iterator[Row]:
    """The records that AWS takes as done, by every reading of its documentation."""
    if source in {"kinesis", "dynamodb"} and named:
        places = [at for at, row in enumerate(rows) if typed(row.identifier) in named]
        lowest = min(places)
        yield from rows[:lowest]
        number = rows[lowest].number
        if number is not None:
            yield from (row for row in rows if row.number is not None and row.number < number)
    else:
        yield from (row for row in rows if typed(row.identifier) not in named)


def out_of_order(rows: list[Row]) -> bool:
    last: dict[Hashable, int] = {}
    for row in rows:
        if row.number is None:
            continue
        if row.number < last.get(row.unit, row.number):
            return True
        last[row.unit] = row.number
    return False


# --- complaints -------------------------------------------------------------------------------------------


def complaints(seen: Seen) -> list[Text]:
    """Everything that is wrong with what was seen of a case; empty if nothing is."""
    found = facade_complaints(seen) if is_through_facade(seen) else engine_complaints(seen)
    return [*found, *text_complaints(seen)]


def is_through_facade(seen: Seen) -> bool:
    return seen.case.entry not in {*ENGINE, *MESSAGES}


def text_complaints(seen: Seen) -> Iterator[Text]:
    for text in [*seen.texts, *seen.reprs]:
        if any(word in text for word in (CANARY, *ENCODED)):
            yield f"a text shows a record's content: {text[:300]!r}"
    for text in seen.texts:
        if text != text.encode(errors="replace").decode():
            yield f"a text cannot be encoded: {text[:300]!r}"
        if len(text) > (FACADES_LONGEST if is_through_facade(seen) else LONGEST):
            yield f"a text has {len(text)} characters: {text[:100]!r}"


def engine_complaints(seen: Seen) -> Iterator[Text]:
    source, rows = engine_rows(seen)
    if seen.error is not None:
        yield from error_complaints(seen, rows)
    elif rows is None:
        yield f"an event ran that cannot be reported on: {seen.reply}"
    else:
        wrong = list(reply_complaints(seen, source, rows))
        yield from wrong or order_complaints(seen, source, rows)
        if not (rows and all_done(seen, rows)) and not seen.reply["batchItemFailures"] and rows:
            yield "nothing is named, and not every record is done"
        if all_done(seen, rows) and seen.reply["batchItemFailures"]:
            yield "every record is done, and some are named"


def all_done(seen: Seen, rows: list[Row]) -> bool:
    return all(seen.done[row.name] for row in rows)


_PLACE = re.compile(
    r"(event|Records|Messages|messages|queue_arn|eventSource|records(\['.*'\]|\[\".*\"\])?"
    r"|(record|message) (\d+)(\.\w+)*): ",
    re.DOTALL,
)


def error_complaints(seen: Seen, rows: list[Row] | None) -> Iterator[Text]:
    match seen.error:
        case InvalidEventError() as error:
            yield from refusal_complaints(seen, error, rows)
        case SequenceOrderError() | FailedBatchError() as error:
            yield from retry_complaints(seen, error, rows)
        case AsyncBatchError() as error:
            if seen.started:
                yield f"a handler ran, and then: {error!r}"
        case error:
            yield f"not an error of ours: {error!r:.300}"


def refusal_complaints(seen: Seen, error: InvalidEventError, rows: list[Row] | None) -> Iterator[Text]:
    place = _PLACE.match(str(error))
    if place is None:
        yield f"no place is named: {str(error)[:300]!r}"
    elif place[4] and int(place[4]) >= len(seen.raws):
        yield f"there is no such place: {error}"
    if rows is not None:
        yield f"a good event is refused: {error}"
    if seen.started:
        yield "refused after a handler ran"


def retry_complaints(
    seen: Seen, error: SequenceOrderError | FailedBatchError, rows: list[Row] | None
) -> Iterator[Text]:
    if rows is None or all_done(seen, rows):
        yield f"every record is done, or none may run, and yet: {error}"
    elif isinstance(error, SequenceOrderError) and not out_of_order(rows):
        yield "the records are in order, and yet it is said that they are not"
    if isinstance(error, FailedBatchError) and seen.case.raise_on_failure == "never":
        yield "raised, and was asked not to"


def reply_complaints(seen: Seen, source: str | None, rows: list[Row]) -> Iterator[Text]:
    reply = seen.reply
    extra = {"state"} if isinstance(seen.event, dict) and "isFinalInvokeForWindow" in seen.event else set()
    if not isinstance(reply, dict) or not {"batchItemFailures"} <= set(reply) <= {
        "batchItemFailures",
        *extra,
    }:
        yield f"not a reply: {reply!r:.300}"
        return
    try:
        json.dumps(reply["batchItemFailures"], allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"the reply is not JSON: {error}"
        return
    if any(set(entry) != {"itemIdentifier"} for entry in reply["batchItemFailures"]):
        yield f"not a list of failures: {reply!r:.300}"
        return
    named = [typed(entry["itemIdentifier"]) for entry in reply["batchItemFailures"]]
    if len(set(named)) < len(named):
        yield f"named more than once: {named}"
    strange = set(named) - {typed(row.identifier) for row in rows}
    if strange:
        yield f"names nothing in the event: {strange}"
        return
    taken = {row.name: row for row in acknowledged(source, rows, named)}
    for row in taken.values():
        if not seen.done[row.name]:
            yield f"taken as done, and is not: {row.identifier!r:.100}; named are {named}"


def order_complaints(seen: Seen, source: str | None, rows: list[Row]) -> Iterator[Text]:
    """Nothing behind a record that did not succeed is taken as done, where order counts."""
    named = [typed(entry["itemIdentifier"]) for entry in seen.reply["batchItemFailures"]]
    if not all_done(seen, rows) and source in {"kinesis", "dynamodb", "kafka"} and out_of_order(rows):
        yield "out of order, not every record is done, and there is a reply"
    if source in {"kinesis", "dynamodb"} and len(named) > 1:
        yield "more than one checkpoint"
    if source == "sqs" and seen.case.ordering == "sequential":
        rows = [row._replace(unit="the queue") for row in rows]
    if source in {"sqs", "sqs-fifo", "kafka"}:
        yield from behind_failures(seen, rows, named)


def behind_failures(seen: Seen, rows: list[Row], named: list[Text]) -> Iterator[Text]:
    broken: set[Hashable] = set()
    for row in rows:
        if row.unit in broken and typed(row.identifier) not in named:
            yield f"behind a failure, and not named: {row.identifier!r:.100}"
        if row.unit is not None and not seen.done[row.name]:
            broken.add(row.unit)


# --- the facade -------------------------------------------------------------------------------------------


def facade_rows(seen: Seen) -> list[Row]:
    """Records as the facade takes them: some cannot be named."""
    return [facade_row(raw, seen.case.entry, seen.case.event_type) for raw in seen.raws]


def facade_row(raw: Any, entry: str, event_type: str) -> Row:
    unit: Hashable = None
    if entry.startswith("fifo"):
        unit = "the queue"
    elif entry.startswith("groups"):
        group = part(raw, "attributes", "MessageGroupId")
        unit = group if is_text(group) else None
    match "SQS" if entry.startswith(("fifo", "groups")) else event_type:
        case "SQS":
            identifier = part(raw, "messageId")
        case "KinesisDataStreams":
            identifier = part(raw, "kinesis", "sequenceNumber")
        case "DynamoDBStreams":
            identifier = part(raw, "dynamodb", "SequenceNumber")
        case _:
            identifier = facade_kafka_identifier(raw)
    return Row(name_in(raw), identifier, unit)


def facade_kafka_identifier(raw: Any) -> Any:
    if not isinstance(raw, dict) or not {"topic", "partition", "offset"} <= set(raw):
        return None
    usable = raw["offset"] is not None and raw["offset"] != ""
    return {"partition": f"{raw['topic']}-{raw['partition']}", "offset": raw["offset"]} if usable else None


def facade_complaints(seen: Seen) -> Iterator[Text]:
    """Its law: what is taken as done was done. An error has the batch delivered again, and says what is wrong."""
    if seen.error is not None:
        if not isinstance(seen.error, FACADES_ERRORS) or isinstance(seen.error, UnicodeError):
            yield f"not an error of ours: {seen.error!r:.300}"
        return
    rows = facade_rows(seen)
    named = [typed(entry["itemIdentifier"]) for entry in seen.reply["batchItemFailures"]]
    if len(set(named)) < len(named):
        yield f"named more than once: {named}"
    strange = set(named) - {typed(row.identifier) for row in rows if row.identifier not in (None, "")}
    if strange:
        yield f"names nothing in the event: {strange}"
        return
    yield from lost(seen, rows, named)
    yield from behind_failures(seen, rows, named)


def lost(seen: Seen, rows: list[Row], named: list[Text]) -> Iterator[Text]:
    """Records that are taken as done more often than they were; two texts in records' places are one object."""
    halts = seen.case.entry.startswith("halting") and seen.case.event_type in CHECKPOINTED
    taken = Counter(row.name for row in acknowledged("kinesis" if halts else "sqs", rows, named))
    for name, times in taken.items():
        if seen.done[name] < times:
            yield f"taken as done, and is not: {name!r:.100}; named are {named}"


CHECKPOINTED = ("KinesisDataStreams", "DynamoDBStreams")
FACADES_ERRORS = (BatchProcessingError, AsyncBatchError, ValueError, OwnError)  # the last one is an interrupt
