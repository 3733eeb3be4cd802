"""A study as JSON."""

from __future__ import annotations

import math
from typing import Any, Final

from asyncbatch.tuning._adaptive import Trace
from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._recommendation import Recommendation
from asyncbatch.tuning._run import Run, Tally
from asyncbatch.tuning._study import Study

FORMAT: Final = "asyncbatch.tune/1"


def as_json(study: Study) -> dict[str, Any]:
    """A study as plain values; all times are in seconds, rates in records per second, memory in bytes.

    The shape of ``asyncbatch.tune/1``. Fields may be added to it; any other change gives it another number.

    - ``format``, ``source``, ``virtual_time``, ``current_limit`` (null for an adaptive one);
    - ``recommendation``:
      ``limit``; ``reason`` (knee, drops, lanes, serial, batch); ``confidence`` (high, fair, low); ``why``;
      ``for_throughput`` (the least limit that was run with 95 % of the most throughput);
      ``acceptable`` (the highest limit that was run without too many failures);
      ``knee``: ``limit``, its 95 % interval ``low`` and ``high``, ``power`` (the limit with the most throughput
      for its latency), ``capacity``, ``latency``;
      ``law``, the Universal Scalability Law: ``rate``, ``contention``, ``coherency``, their standard ``errors``,
      ``goodness`` (R squared), ``peak``; null where it could not be fitted;
    - ``settings``: ``batch_size``, ``batch_duration``, ``batch_tail``, ``function_timeout``,
      ``visibility_timeout``, ``batching_window``, ``notes``;
    - ``limits``, for each: ``limit``, ``throughput``, ``throughput_of_rounds``, ``latency`` (``p50``, ``p95``,
      ``p99``), ``in_flight``, ``memory``, and the ``records`` that ``succeeded``, were ``errors``, ``timeouts``,
      ``drops``, ``unfinished``, ``held_back``;
    - ``lanes``: ``records``, ``lanes``, ``longest``, ``skew`` (longest over mean);
    - ``adaptive``, for each: ``name``, ``throughput``, ``latency``, ``records``, ``mean_limit``, ``last_limit``,
      ``moves`` (pairs of seconds and limit), and ``next_batch`` with ``throughput``, ``latency``, ``records``.

    What is infinite or unknown is null.
    """
    sizing = study.sizing
    return {
        "format": FORMAT,
        "source": study.source.value,
        "virtual_time": study.virtual,
        "current_limit": study.current,
        "recommendation": _recommendation(study.recommendation),
        "settings": {
            "batch_size": sizing.batch_size,
            "batch_duration": sizing.duration,
            "batch_tail": sizing.tail,
            "function_timeout": sizing.function_timeout,
            "visibility_timeout": sizing.visibility_timeout,
            "batching_window": sizing.batching_window,
            "notes": list(sizing.notes),
        },
        "limits": [_limit(point) for point in study.points],
        "lanes": {
            "records": study.lanes.records,
            "lanes": study.lanes.lanes,
            "longest": study.lanes.longest,
            "skew": study.lanes.skew,
        },
        "adaptive": [_trace(trace) for trace in study.traces],
    }


def _recommendation(made: Recommendation) -> dict[str, Any]:
    knee, law = made.knee, made.law
    return {
        "limit": made.limit,
        "reason": made.reason.value,
        "confidence": made.confidence,
        "why": list(made.why),
        "for_throughput": made.for_throughput,
        "acceptable": made.acceptable,
        "knee": {
            "limit": knee.limit,
            "low": knee.low,
            "high": knee.high,
            "power": knee.power,
            "capacity": knee.capacity,
            "latency": knee.latency,
        },
        "law": None
        if law is None
        else {
            "rate": law.rate,
            "contention": law.contention,
            "coherency": law.coherency,
            "errors": [_finite(error) for error in law.errors],
            "goodness": law.goodness,
            "peak": _finite(law.peak),
        },
    }


def _limit(point: LimitFigures) -> dict[str, Any]:
    return {
        "limit": point.limit,
        "throughput": point.throughput,
        "throughput_of_rounds": [run.throughput for run in point.runs],
        "latency": {f"p{percent}": point.latency(percent) for percent in (50, 95, 99)},
        "in_flight": point.in_flight,
        "records": _tally(point.tally),
        "memory": point.memory,
    }


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "name": trace.name,
        **_run(trace.run),
        "mean_limit": trace.mean,
        "last_limit": trace.run.limit,
        "moves": [list(move) for move in trace.moves],
        "next_batch": _run(trace.warm),
    }


def _run(run: Run) -> dict[str, Any]:
    point = LimitFigures(limit=run.limit, runs=[run])
    return {
        "throughput": run.throughput,
        "latency": {f"p{percent}": point.latency(percent) for percent in (50, 95, 99)},
        "records": _tally(run.tally),
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {
        "succeeded": tally.succeeded,
        "errors": tally.errors,
        "timeouts": tally.timeouts,
        "drops": tally.drops,
        "unfinished": tally.unfinished,
        "held_back": tally.held_back,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
