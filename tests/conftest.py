"""What all tests share: how hard hypothesis looks.

HYPOTHESIS_PROFILE=thorough looks twenty times harder than a usual run, and longer at each failure.
"""

import os

from hypothesis import HealthCheck, settings

# A deadline per example measures the machine: a shared one fails innocent examples.
_CALM = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("fast", max_examples=20, **_CALM)
settings.register_profile("default", max_examples=100, **_CALM)
settings.register_profile("thorough", max_examples=2000, **_CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
