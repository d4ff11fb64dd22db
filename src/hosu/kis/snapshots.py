"""Rows of the ``snapshots`` table from logged REST replies; pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from hosu.kis.replies import MultiPrice, Price, read_body, rows_of
from hosu.market.events import ORIGIN, SNAPSHOTS

if TYPE_CHECKING:
    from collections.abc import Mapping

PRICE_TR: Final = "FHKST01010100"
MULTI_PRICE_TR: Final = "FHKST11300006"
SNAPSHOT_TRS: Final = frozenset({PRICE_TR, MULTI_PRICE_TR})
"""The calls whose replies hold snapshots."""

SCOPES: Final = {"J": "KRX", "NX": "NXT", "UN": "UN"}
"""Scopes by the code that a request names them by."""
_FROM_LOG: Final = {field.name for field in ORIGIN} | {"ts_recv"}
COLUMNS: Final = tuple(name for name in SNAPSHOTS.names if name not in _FROM_LOG)
"""The columns of a row: those of the table that a reply tells; the log tells the others."""


def snapshot_rows(tr_id: str, params: Mapping[str, str], body: str) -> list[dict[str, Any]]:
    """One row a symbol, with the columns ``COLUMNS``; none for other calls, errors and empty replies.

    Scope and, for inquire-price, a symbol that the reply leaves out come from the request's parameters (any case).
    Rows of intstock-multprice are joined by the symbol in them: order and completeness are not the broker's promise.

    Raises:
        FrameError: the body is no JSON object.
    """
    if tr_id not in SNAPSHOT_TRS:
        return []
    message = read_body(body)
    if str(message.get("rt_cd", "0")).strip() != "0":
        return []
    asked = {name.upper(): value.strip() for name, value in params.items()}
    rows = rows_of(message, "output")
    if tr_id == PRICE_TR:
        scope = SCOPES.get(asked.get("FID_COND_MRKT_DIV_CODE", ""))
        symbol = asked.get("FID_INPUT_ISCD")
        found = [(scope, {"symbol": symbol, **_present(asdict(Price.read(row)))}) for row in rows[:1]]
    else:
        scopes = _scopes_by_symbol(asked)
        found = [
            (scopes.get(str(values["symbol"])), values) for values in (asdict(MultiPrice.read(row)) for row in rows)
        ]
    return [
        {**{name: values.get(name) for name in COLUMNS}, "scope": scope, "tr_id": tr_id}
        for scope, values in found
        if values.get("symbol")
    ]


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _scopes_by_symbol(asked: Mapping[str, str]) -> dict[str, str | None]:
    prefix = "FID_INPUT_ISCD_"
    numbers = {name.removeprefix(prefix): symbol for name, symbol in asked.items() if name.startswith(prefix)}
    return {symbol: SCOPES.get(asked.get(f"FID_COND_MRKT_DIV_CODE_{n}", "")) for n, symbol in numbers.items()}
