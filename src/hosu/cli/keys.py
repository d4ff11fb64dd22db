"""Application keys: one as ever, or several, numbered; from the environment, ``.env`` or a file. Never from flags."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hosu.errors import InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hosu.kis.hosts import Credentials
    from hosu.settings import KisSettings

_MOST_SIMULATED = 99

LENGTHS: Final = {"APP_KEY": 36, "APP_SECRET": 180}
"""Characters of what the portal gives out."""


def keys_of(name: str, settings: KisSettings, chosen: str | None = None) -> list[Credentials]:
    """The keys of an account, ``live``, ``paper`` or ``simulator``, the first one first.

    Keys beyond the first are numbered: ``LIVE_KIS_APP_KEY_2`` with ``LIVE_KIS_APP_SECRET_2``, and so on.

    Args:
        chosen: how many of them, or a file of such lines to take them from instead; None takes all. A simulator
            knows any key: a number makes up so many, None one.

    Raises:
        SettingsError: a key or its secret is not set, or a key comes twice; names the variable.
        InputError: the file cannot be read, or there are fewer keys than asked for.
    """
    from hosu.cli.station import credentials_of

    wanted = _number(chosen)
    if name == "simulator" and (chosen is None or wanted is not None):
        if wanted is not None and not 1 <= wanted <= _MOST_SIMULATED:
            raise InputError(f"--keys {chosen}", "is no number of keys", f"choose 1 to {_MOST_SIMULATED}")
        return [_simulated(number, settings) for number in range(1, (wanted or 1) + 1)]
    if chosen is not None and wanted is None:
        return _numbered(name, _read_file(Path(chosen)), settings, chosen)
    first = credentials_of(name, settings)
    found = [first, *_numbered(name, surroundings(), settings, "the environment or .env", after=1)]
    _refuse_twins(name, found)
    if wanted is not None and not 1 <= wanted <= len(found):
        raise InputError(f"--keys {wanted}", f"there are {len(found)}", f"set {name.upper()}_KIS_APP_KEY_2 and so on")
    return found[:wanted]


def unusual_lengths(name: str, keys: Sequence[Credentials]) -> str:
    """Which keys of an account are not as long as the portal's are, in a line without any of them; empty if all are."""
    if name == "simulator":
        return ""
    said = []
    for number, each in enumerate(keys, 1):
        for kind, value in (("APP_KEY", each.appkey), ("APP_SECRET", each.appsecret)):
            if len(value) != LENGTHS[kind]:
                which = f"{name.upper()}_KIS_{kind}" + (f" of key {number}" if number > 1 else "")
                said.append(f"{which} has {len(value)} characters, usual are {LENGTHS[kind]}")
    return "; ".join(said) + ("; check what you pasted" if said else "")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 6 else None


def _simulated(number: int, settings: KisSettings) -> Credentials:
    from hosu.cli.station import credentials_of
    from hosu.kis.hosts import Credentials

    first = credentials_of("simulator", settings)
    return first if number == 1 else Credentials(f"SIMULATED{number:028d}", first.appsecret, settings.customer_type)


def surroundings() -> dict[str, str]:
    """What `.env` says, overruled by the environment, as for every other setting."""
    from dotenv import dotenv_values

    values = {name: value for name, value in dotenv_values(".env", interpolate=False).items() if value is not None}
    return {**values, **os.environ}


def _read_file(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    from hosu.cli.output import note

    next_step = "give lines like LIVE_KIS_APP_KEY_2=..., or a number of keys"
    try:
        text_stream = path.open(encoding="utf-8")
    except OSError as error:
        raise InputError(f"--keys {path}", error.strerror or str(error), next_step) from None
    with text_stream:
        try:
            values = dotenv_values(stream=text_stream, interpolate=False)
        except UnicodeDecodeError as error:
            raise InputError(f"--keys {path}", f"is not UTF-8 text (byte {error.start})", next_step) from None
    if path.stat().st_mode & 0o077:
        note(f"hosu: others may read the secrets in {path}; run: chmod 600 {path}")
    return {name: value for name, value in values.items() if value is not None}


def _numbered(
    name: str, values: Mapping[str, str], settings: KisSettings, where: str, *, after: int = 0
) -> list[Credentials]:
    """The keys among ``values``, by number; the one without counts as the first. Those up to ``after`` are left out."""
    from hosu.kis.hosts import Credentials
    from hosu.logs import hide

    pattern = re.compile(rf"{name.upper()}_KIS_APP_KEY(?:_([1-9][0-9]{{0,3}}))?")
    matches = [match for variable in values if (match := pattern.fullmatch(variable)) and values[variable].strip()]
    found = []
    for match in sorted(matches, key=lambda each: int(each[1] or 1)):
        if int(match[1] or 1) <= after:
            continue
        secret_name = f"{name.upper()}_KIS_APP_SECRET" + (f"_{match[1]}" if match[1] else "")
        key, secret = values[match[0]].strip(), values.get(secret_name, "").strip()
        if not secret:
            raise SettingsError(secret_name, "is not set", where)
        hide(key, secret)
        found.append(Credentials(key, secret, settings.customer_type))
    if not found and not after:
        raise SettingsError(f"{name.upper()}_KIS_APP_KEY", "is not set", where)
    _refuse_twins(name, found)
    return found


def _refuse_twins(name: str, found: list[Credentials]) -> None:
    if len({each.fingerprint for each in found}) < len(found):
        raise SettingsError(f"{name.upper()}_KIS_APP_KEY", "is the same under two numbers")
