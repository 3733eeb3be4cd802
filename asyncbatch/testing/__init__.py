"""What tests of batch handlers need: events, handlers to order, a Lambda context and runtime, a virtual clock.

Each name is loaded when it is first used; importing this package loads none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncbatch.testing._backend import SimulatedBackend, ThrottledError
    from asyncbatch.testing._conditions import ConditionOptions
    from asyncbatch.testing._context import LambdaContext
    from asyncbatch.testing._emulator import EmulatorResult, RuntimeEmulator
    from asyncbatch.testing._events import (
        dynamodb_event,
        kafka_event,
        kinesis_event,
        sqs_event,
        sqs_fifo_event,
    )
    from asyncbatch.testing._kafka_mapping import KafkaMapping
    from asyncbatch.testing._malformed import MalformedEvent, malformed_events
    from asyncbatch.testing._mapping import EventSourceMapping
    from asyncbatch.testing._queue_mappings import SqsFifoMapping, SqsMapping
    from asyncbatch.testing._runtime_api import (
        ErrorReply,
        Invocation,
        InvocationResult,
        RuntimeApi,
    )
    from asyncbatch.testing._runtime_process import RuntimeProcess, RuntimeProcessError
    from asyncbatch.testing._samples import sample_event
    from asyncbatch.testing._scripted import (
        block,
        clean_up,
        fail,
        hang,
        scripted,
        succeed,
        swallow_cancellation,
    )
    from asyncbatch.testing._simulated import RecordState, SimulatedInvocation, SimulatedRecord
    from asyncbatch.testing._spy import HandlerCall, HandlerSpy
    from asyncbatch.testing._stream_mappings import DynamoDBMapping, KinesisMapping
    from asyncbatch.testing._verdicts import Verdict
    from asyncbatch.testing._virtual_clock import VirtualClock
    from asyncbatch.testing._virtual_loop import (
        DeadlockError,
        LeftoverTaskError,
        LivelockError,
        NotSimulatedError,
        SimulationError,
        VirtualLoop,
        run_virtual,
    )

__all__ = [
    "ConditionOptions",
    "DeadlockError",
    "DynamoDBMapping",
    "EmulatorResult",
    "ErrorReply",
    "EventSourceMapping",
    "HandlerCall",
    "HandlerSpy",
    "Invocation",
    "InvocationResult",
    "KafkaMapping",
    "KinesisMapping",
    "LambdaContext",
    "LeftoverTaskError",
    "LivelockError",
    "MalformedEvent",
    "NotSimulatedError",
    "RecordState",
    "RuntimeApi",
    "RuntimeEmulator",
    "RuntimeProcess",
    "RuntimeProcessError",
    "SimulatedBackend",
    "SimulatedInvocation",
    "SimulatedRecord",
    "SimulationError",
    "SqsFifoMapping",
    "SqsMapping",
    "ThrottledError",
    "Verdict",
    "VirtualClock",
    "VirtualLoop",
    "block",
    "clean_up",
    "dynamodb_event",
    "fail",
    "hang",
    "kafka_event",
    "kinesis_event",
    "malformed_events",
    "run_virtual",
    "sample_event",
    "scripted",
    "sqs_event",
    "sqs_fifo_event",
    "succeed",
    "swallow_cancellation",
]

_MODULES = {
    "_backend": ("SimulatedBackend", "ThrottledError"),
    "_conditions": ("ConditionOptions",),
    "_context": ("LambdaContext",),
    "_emulator": ("EmulatorResult", "RuntimeEmulator"),
    "_events": (
        "dynamodb_event",
        "kafka_event",
        "kinesis_event",
        "sqs_event",
        "sqs_fifo_event",
    ),
    "_kafka_mapping": ("KafkaMapping",),
    "_malformed": ("MalformedEvent", "malformed_events"),
    "_mapping": ("EventSourceMapping",),
    "_queue_mappings": ("SqsFifoMapping", "SqsMapping"),
    "_runtime_api": ("ErrorReply", "Invocation", "InvocationResult", "RuntimeApi"),
    "_runtime_process": ("RuntimeProcess", "RuntimeProcessError"),
    "_samples": ("sample_event",),
    "_scripted": ("block", "clean_up", "fail", "hang", "scripted", "succeed", "swallow_cancellation"),
    "_simulated": ("RecordState", "SimulatedInvocation", "SimulatedRecord"),
    "_spy": ("HandlerCall", "HandlerSpy"),
    "_stream_mappings": ("DynamoDBMapping", "KinesisMapping"),
    "_verdicts": ("Verdict",),
    "_virtual_clock": ("VirtualClock",),
    "_virtual_loop": (
        "DeadlockError",
        "LeftoverTaskError",
        "LivelockError",
        "NotSimulatedError",
        "SimulationError",
        "VirtualLoop",
        "run_virtual",
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load the module that defines `name`, once."""
    if name not in _HOMES:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what can be loaded, too."""
    return sorted({*globals(), *__all__})
