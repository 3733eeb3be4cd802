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


class WarningLogger(Protocol):
    """A logger: one of the standard library, Powertools' own, or any with its `warning`."""

    def warning(self, msg: object, /, *args: object, exc_info: Any = None) -> Any:
        """Log a warning with an exception's traceback."""
        ...


if TYPE_CHECKING:
    BatchTypeModels = type[SupportsModelValidate] | None
    BatchSqsTypeModel = type[SupportsModelValidate] | None
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
    "KafkaItemIdentifier",
    "PartialItemFailureResponse",
    "PartialItemFailures",
    "SupportsModelValidate",
    "WarningLogger",
    "has_pydantic",
]
