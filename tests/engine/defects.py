"""Deliberate defects: a function's code with one text in it replaced."""

import inspect
import textwrap


def mutated(function, text, instead):
    """The function's code with one defect in it."""
    source = textwrap.dedent(inspect.getsource(function))
    source = source.removeprefix("@property\n")
    assert text in source, f"{function.__qualname__} has changed: give the mutant new text"
    namespace = {}
    broken = "from __future__ import annotations\n" + source.replace(text, instead, 1)
    exec(compile(broken, "<mutant>", "exec"), dict(function.__globals__), namespace)
    return namespace[function.__name__].__code__
