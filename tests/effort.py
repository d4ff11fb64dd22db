"""How many examples a property test tries: few and always the same ones in CI, many and new ones on demand.

``HYPOTHESIS_PROFILE=thorough`` tries ``THOROUGH`` times as many, drawn anew in each run; what fails is printed so that
it can be tried again (``@reproduce_failure``). Without it every run tries the same examples, so that a test fails for
a change of the code and for nothing else.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

THOROUGH = 50

_QUIET = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture)
"""No test depends on speed, and the examples of one test may share a folder in which each writes its file anew."""

settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=_QUIET)
settings.register_profile("thorough", deadline=None, print_blob=True, suppress_health_check=_QUIET)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "ci")
settings.load_profile(PROFILE)


def examples(count: int) -> settings:
    """``@examples(200)`` on a property test: so many in CI, ``THOROUGH`` times as many in the thorough profile."""
    return settings(max_examples=count * (THOROUGH if PROFILE == "thorough" else 1))
