"""What ``hosu doctor`` says of settings: which cannot be read, and which names nobody reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_OURS: Final = re.compile(r"(?:HOSU|LIVE_KIS|PAPER_KIS)_\w+")
_NUMBERED: Final = re.compile(r"(?:LIVE|PAPER)_KIS_APP_(?:KEY|SECRET)_[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``state`` is ok, note (works, but know this), or fail (something will not work)."""

    check: str
    state: str
    found: str
    do: str = ""


def settings_checks() -> list[Check]:
    """A row for each setting that is malformed, and for each name like ours that is none; one row if all is well."""
    from hosu.cli.keys import surroundings
    from hosu.settings import ALL_SETTINGS, faults

    malformed = {error.name: error for kind in ALL_SETTINGS for error in faults(kind)}
    checks = [Check(name, "fail", error.fault, f"set it in {error.where}") for name, error in malformed.items()]
    if ".env" in malformed:  # whose names cannot be read either
        return checks
    given, known = surroundings(), _known()
    checks += _unknown(given, known)
    set_ = sum(name.upper() in known and bool(value.strip()) for name, value in given.items())
    return checks or [Check("settings", "ok", f"{set_} set, each can be read")]


def _known() -> set[str]:
    from hosu.failpoints import VARIABLE
    from hosu.settings import ALL_SETTINGS

    return {VARIABLE, *(str(field.validation_alias) for kind in ALL_SETTINGS for field in kind.model_fields.values())}


def _unknown(given: Mapping[str, str], known: set[str]) -> list[Check]:
    checks = []
    for name in sorted(given):
        upper = name.upper()  # as settings are found whatever their case
        if not _OURS.fullmatch(upper) or upper in known or _NUMBERED.fullmatch(upper):
            continue
        near = get_close_matches(upper, sorted(known), 1)
        meant = f"{near[0]} may be meant" if near else ".env.example lists every setting"
        checks.append(Check(name, "note", "no setting of hosu has this name", meant))
    return checks
