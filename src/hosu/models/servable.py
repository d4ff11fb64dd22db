"""Whether a version could answer if it had a seat: seats take one feature set alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hosu.features.definitions import SCALE_FREE_V1

if TYPE_CHECKING:
    from hosu.models.history import Version

SERVED: Final = SCALE_FREE_V1
"""The set of which features are made for whoever serves, at a close of the market and of a minute alike."""


def unservable(version: Version) -> str | None:
    """Why no seat takes a version, in words; None where one does, or where its card names no feature set."""
    learned = version.card.get("feature_set")
    if learned is None or learned == SERVED.version:
        return None
    return f"what is served is {SERVED.version}, and it learned from {learned}"
