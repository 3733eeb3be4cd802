"""A clock that moves only when everything waits."""

from __future__ import annotations

import math
from typing import final


class Killed(BaseException):
    """Raised out of an event loop whose process is killed: a timeout of Lambda's, a crash."""


@final
class VirtualTime:
    """Seconds that pass when somebody says so, up to the moment at which the process is killed.

    Attributes:
        now: The time in seconds.
        killed_at: When the process is killed; infinity for never.
        dead: Whether that has happened. From then on nothing runs.
    """

    __slots__ = ("dead", "killed_at", "now")

    def __init__(self, now: float = 0.0) -> None:
        self.now: float = now
        self.killed_at: float = math.inf
        self.dead: bool = False

    def move_to(self, when: float) -> None:
        """Let time pass.

        Raises:
            Killed: the process does not live to see it.
        """
        if self.dead or when > self.killed_at:
            self.kill()
        self.now = when

    def kill(self) -> None:
        """End the process, at its time.

        Raises:
            Killed: always.
        """
        if not self.dead:
            self.dead = True
            self.now = max(self.now, self.killed_at)
        raise Killed
