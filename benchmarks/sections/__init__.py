"""The sections of the benchmarks, in the order in which they run and are shown."""

from benchmarks.cases import Section
from benchmarks.sections import (
    calls,
    facade,
    features,
    idle,
    imports,
    invocations,
    io,
    lanes,
    limits,
    loops,
    makespan,
    memory,
    processes,
    scaling,
    starvation,
)

SECTIONS: dict[str, Section] = {
    "calls": calls.SECTION,
    "lanes": lanes.SECTION,
    "makespan": makespan.SECTION,
    "scaling": scaling.SECTION,
    "io": io.SECTION,
    "features": features.SECTION,
    "limits": limits.SECTION,
    "loops": loops.SECTION,
    "idle": idle.SECTION,
    "starvation": starvation.SECTION,
    "memory": memory.SECTION,
    "imports": imports.SECTION,
    "processes": processes.SECTION,
    "invocations": invocations.SECTION,
    "facade": facade.SECTION,
}
