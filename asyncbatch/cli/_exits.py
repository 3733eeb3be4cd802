"""The exit codes, and the error that ends the command with a sentence."""

from enum import IntEnum
from typing import ClassVar

import click


class Exit(IntEnum):
    """What the command's exit code says; `asyncbatch invoke --help` documents them."""

    ALL_SUCCEEDED = 0
    SOME_DID_NOT = 1
    USAGE = 2
    INVOCATION_FAILED = 3
    INTERRUPTED = 130  # 128 + SIGINT, as shells count


class InputError(click.ClickException):
    """Raised when what the user named (a target, an event) cannot be used."""

    exit_code: ClassVar[int] = Exit.USAGE
