"""Finding the limit of a handler: measure it, fit a law to it, say which limit and why.

The command ``asyncbatch tune`` does it; `tune` is the same for a program. Needs the extra ``tune``.
"""

from asyncbatch.tuning._adaptive import Trace
from asyncbatch.tuning._as_json import as_json
from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._knee import Knee
from asyncbatch.tuning._latencies import LatenciesError, Measured, read_latencies, simulated_handler
from asyncbatch.tuning._page import Page, write
from asyncbatch.tuning._plan import Plan
from asyncbatch.tuning._recommendation import NothingToTuneError, Reason, Recommendation
from asyncbatch.tuning._report import line_to_paste, study_page, summary
from asyncbatch.tuning._run import Run, Tally
from asyncbatch.tuning._sizing import Sizing
from asyncbatch.tuning._study import Study, tune
from asyncbatch.tuning._sweep import OnProgress, Progress
from asyncbatch.tuning._usl import ScalabilityLaw

__all__ = [
    # Tune
    "NothingToTuneError",
    "OnProgress",
    "Plan",
    "Progress",
    "tune",
    # What came of it
    "Knee",
    "LimitFigures",
    "Reason",
    "Recommendation",
    "Run",
    "ScalabilityLaw",
    "Sizing",
    "Study",
    "Tally",
    "Trace",
    # Show it
    "Page",
    "as_json",
    "line_to_paste",
    "study_page",
    "summary",
    "write",
    # Without a handler
    "LatenciesError",
    "Measured",
    "read_latencies",
    "simulated_handler",
]
