"""Types that users annotate with."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict

from asyncbatch._records import ItemIdentifier
from asyncbatch._records import KafkaIdentifier as KafkaItemIdentifier

# A program without pydantic must work, and one that has not loaded it need not pay for it.
has_pydantic: Final = "pydantic" in sys.modules


class SupportsModelValidate(Protocol):
    """A model of a record: one of ours, one of Powertools' parser, or any with the identifier's fields."""

    @classmethod
    def model_validate(cls, obj: Any, /) -> Any:
        """Make a model of a raw record."""
        ...


class SqsModel(SupportsModelValidate, Protocol):
    """A model of an SQS message."""

    @property
    def messageId(self) -> Any:  # noqa: N802 - AWS's name
        """The identifier."""
        ...


class KinesisModel(SupportsModelValidate, Protocol):
    """A model of a record of a Kinesis data stream."""

    @property
    def kinesis(self) -> Any:
        """The part that has the ``sequenceNumber``."""
        ...


class DynamoDBModel(SupportsModelValidate, Protocol):
    """A model of a record of a DynamoDB stream."""

    @property
    def dynamodb(self) -> Any:
        """The part that has the ``SequenceNumber``."""
        ...


class KafkaModel(SupportsModelValidate, Protocol):
    """A model of a Kafka record."""

    @property
    def topic(self) -> Any:
        """The topic, of which the identifier is made with ``partition`` and ``offset``."""
        ...

    @property
    def partition(self) -> Any:
        """The partition's number."""
        ...

    @property
    def offset(self) -> Any:
        """The position in the partition."""
        ...


class WarningLogger(Protocol):
    """A logger: one of the standard library, Powertools' own, or any with its `warning`."""

    def warning(self, msg: object, /, *args: object, exc_info: Any = None) -> Any:
        """Log a warning with an exception's traceback."""
        ...


if TYPE_CHECKING:
    BatchTypeModels = type[SqsModel | KinesisModel | DynamoDBModel | KafkaModel] | None
    BatchSqsTypeModel = type[SqsModel] | None
elif has_pydantic:
    from asyncbatch.models import (
        DynamoDBStreamRecordModel,
        KafkaRecordModel,
        KinesisDataStreamRecord,
        SqsRecordModel,
    )

    BatchTypeModels = (
        type[SqsRecordModel]
        | type[DynamoDBStreamRecordModel]
        | type[KinesisDataStreamRecord]
        | type[KafkaRecordModel]
        | None
    )
    BatchSqsTypeModel = type[SqsRecordModel] | None
else:
    BatchTypeModels = "BatchTypeModels"
    BatchSqsTypeModel = "BatchSqsTypeModel"


class PartialItemFailures(TypedDict):
    """One entry of a partial batch response."""

    itemIdentifier: ItemIdentifier


class PartialItemFailureResponse(TypedDict):
    """A partial batch response: the records that Lambda's event source mapping has to keep."""

    batchItemFailures: list[PartialItemFailures]


__all__ = [
    "BatchSqsTypeModel",
    "BatchTypeModels",
    "DynamoDBModel",
    "KafkaModel",
    "KafkaItemIdentifier",
    "KinesisModel",
    "PartialItemFailureResponse",
    "PartialItemFailures",
    "SqsModel",
    "SupportsModelValidate",
    "WarningLogger",
    "has_pydantic",
]
