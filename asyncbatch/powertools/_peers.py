"""Powertools' own classes, for a program that uses them: where it has loaded one, it gets that one.

Code that asks ``isinstance(record, SQSRecord)``, compares with an enum of Powertools' or expects a warning of its
class can do so only after an import of it. So nothing has to be imported here to give such code what it means.
"""

from __future__ import annotations

import sys
from typing import TypeVar

T = TypeVar("T")


def peers_own(module: str, name: str, own: T) -> T:
    """What Powertools has under a name, if the program has loaded it; else our own.

    Args:
        module: The module's whole name.
        name: The name in it.
        own: What stands in for it.
    """
    found: T = getattr(sys.modules.get(module), name, own)
    return found
