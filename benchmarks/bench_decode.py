"""How many 46-field trade records does one core take apart in a second, beside what people use today?

Peers, on the same frames in the same run: ``str.split`` into a dict a record, python-kis 2.1.6's own parser, and one
``pandas.read_csv`` a frame with named columns, which is how the broker's sample client does it (on frames of one
record each, since it loses all but the last). Rounds of ours and the peer's alternate; each counts its best one. The
trades are made up: 2,700 symbols, drawn so that a few trade most.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hosu.kis.codec import EncodedFrames, Envelope, encode, pack, parse, to_events
from hosu.kis.layouts import LAYOUTS, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

LAYOUT = LAYOUTS["H0STCNT0"][0]
NAMES = [field.name for field in LAYOUT.fields]
DATE = 20250915


def trades(records: int, seed: int = 7) -> dict[str, np.ndarray]:
    """Columns of made-up trades; every field but one is filled, as on the wire."""
    rng = np.random.default_rng(seed)
    symbols = np.array([pack(f"{10 * i:06d}") for i in range(2700)])
    price = rng.integers(100, 6000, records) * 10_000
    size = np.minimum(rng.zipf(1.6, records), 100_000)
    volume = rng.integers(10_000, 20_000_000, records)
    columns = {
        "MKSC_SHRN_ISCD": symbols[(rng.zipf(1.2, records) - 1) % 2700],
        "STCK_CNTG_HOUR": 32_400 + np.sort(rng.integers(0, 23_400, records)),
        "STCK_PRPR": price,
        "ASKP1": price,
        "BIDP1": price - 10_000,
        "CNTG_VOL": size,
        "ACML_VOL": volume,
        "ACML_TR_PBMN": volume * (price // 100),
        "BSOP_DATE": np.full(records, DATE),
        "NEW_MKOP_CLS_CODE": np.full(records, pack("20")),
        "TRHT_YN": np.full(records, pack("N")),
    }
    for field in LAYOUT.fields:
        if field.name not in columns and field.name != "MRKT_TRTM_CLS_CODE":
            columns[field.name] = _filler(rng, field.kind, records)
    return columns


def _filler(rng: np.random.Generator, kind: Kind, records: int) -> np.ndarray:
    if kind is Kind.CODE:
        return rng.choice([pack("2"), pack("5")], records)
    if kind is Kind.TIME:
        return rng.integers(32_400, 55_800, records)
    return rng.integers(-50_000, 50_000_000, records) if kind is Kind.PRICE else rng.integers(0, 3_000_000, records)


def frames_of(records: int, per_frame: list[int] | None = None) -> EncodedFrames:
    """Frames of one record each, or of ``per_frame`` records in turn."""
    if per_frame is None:
        return encode(LAYOUT, trades(records))
    group = np.resize(per_frame, records)
    group = group[: int(np.searchsorted(np.cumsum(group), records, side="right"))]
    columns = {name: values[: int(group.sum())] for name, values in trades(records).items()}
    return encode(LAYOUT, columns, group=group)


# --- peers ------------------------------------------------------------------------------------------------------


def split_into_dicts(frames: list[bytes]) -> list[dict[str, str]]:
    rows = []
    for frame in frames:
        _, _, count, payload = frame.decode().split("|")
        values = payload.split("^")
        rows += [dict(zip(NAMES, values[i * 46 : (i + 1) * 46], strict=True)) for i in range(int(count))]
    return rows


def split_into_arrow(frames: list[bytes]) -> pa.Table:
    """The few columns a collector needs at least, typed."""
    rows = split_into_dicts(frames)
    return pa.table(
        {
            "symbol": [row["MKSC_SHRN_ISCD"] for row in rows],
            "price": [float(row["STCK_PRPR"]) for row in rows],
            "size": [int(row["CNTG_VOL"]) for row in rows],
            "cum_volume": [int(row["ACML_VOL"]) for row in rows],
            "time": [row["BSOP_DATE"] + row["STCK_CNTG_HOUR"] for row in rows],
        }
    )


def pandas_a_frame(frames: list[bytes]) -> list[Any]:
    import pandas as pd

    return [
        pd.read_csv(io.StringIO(frame.decode().split("|")[3]), header=None, sep="^", names=NAMES, dtype=object)
        for frame in frames
    ]


def python_kis(frames: list[bytes]) -> list[Any]:
    from pykis.api.websocket.price import KisDomesticRealtimePrice
    from pykis.responses.websocket import KisWebsocketResponse

    rows: list[Any] = []
    for frame in frames:
        _, _, count, body = frame.decode().split("|")
        rows += KisWebsocketResponse.parse(body, count=int(count), response_type=KisDomesticRealtimePrice)
    return rows


def split_join_printer(columns: dict[str, np.ndarray]) -> list[bytes]:
    """What a Python simulator would do: format every value, join."""
    texts = []
    for field in LAYOUT.fields:
        values = columns.get(field.name)
        if values is None:
            texts.append([""] * len(columns["CNTG_VOL"]))
        elif field.kind is Kind.PRICE:
            texts.append([f"{value / 100:.{field.decimals}f}" for value in values.tolist()])
        else:
            texts.append([str(value) for value in values.tolist()])
    return [f"0|H0STCNT0|001|{'^'.join(record)}".encode() for record in zip(*texts, strict=True)]


# --- measuring --------------------------------------------------------------------------------------------------


def seconds(ours: Callable[[], Any], peer: Callable[[], Any], rounds: int, repeat: int = 1) -> tuple[float, float]:
    """The best time of one call, ours and the peer's, in alternating rounds."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for i, call in enumerate((ours, peer)):
            start = time.perf_counter()
            for _ in range(repeat if i == 0 else 1):
                call()
            best[i] = min(best[i], (time.perf_counter() - start) / (repeat if i == 0 else 1))
    return best[0], best[1]


def _row(name: str, records: int, peer: str, peer_records: int, best: tuple[float, float]) -> dict[str, Any]:
    value, peer_value = records / best[0], peer_records / best[1]
    return {
        "name": name,
        "value": value,
        "unit": "records/s",
        "peer": peer,
        "peer_value": peer_value,
        "ratio": value / peer_value,
    }


def _parser(frames: EncodedFrames) -> Callable[[], Any]:
    return lambda: parse(frames.data, frames.start, frames.end)


def _to_arrow(frames: EncodedFrames) -> Callable[[], Any]:
    index = np.arange(len(frames))

    def run_once() -> None:
        for records in parse(frames.data, frames.start, frames.end).records:
            dates = records.columns["BSOP_DATE"].astype(np.int32)
            to_events(records, Envelope("bench", index, index, dates))

    return run_once


def run() -> list[dict[str, Any]]:
    """The figures as rows: name, value, unit, peer, peer_value, ratio."""
    rows = []
    for batch in (1000, 100, 10):
        frames = frames_of(batch)
        raw = frames.frames()
        best = seconds(_parser(frames), lambda raw=raw: split_into_dicts(raw), 30, 20)
        rows.append(_row(f"parse, {batch:,} frames of one record", batch, "str.split into dicts", batch, best))
    mixed = frames_of(2000, [1, 3, 1, 2, 8])
    count, raw = int(mixed.records.sum()), mixed.frames()
    best = seconds(_parser(mixed), lambda: split_into_dicts(raw), 30, 20)
    rows.append(_row("parse, frames of 1 to 8 records", count, "str.split into dicts", count, best))
    best = seconds(_to_arrow(mixed), lambda: split_into_arrow(raw), 15, 10)
    rows.append(_row("frames to an Arrow batch of 27 columns", count, "str.split, 5 columns", count, best))
    thousand = frames_of(1000)
    ones = thousand.frames()
    best = seconds(_parser(thousand), lambda: python_kis(ones), 5, 50)
    rows.append(_row("parse, 1,000 frames of one record", 1000, "python-kis 2.1.6", 1000, best))
    best = seconds(_parser(thousand), lambda: pandas_a_frame(ones[:100]), 5, 50)
    rows.append(_row("parse, 1,000 frames of one record", 1000, "pandas.read_csv a frame", 100, best))
    return [*rows, _single(), _printing()]


def _single() -> dict[str, Any]:
    frames = frames_of(1)
    raw = frames.frames()
    best = seconds(_parser(frames), lambda: split_into_dicts(raw), 2000, 1)
    return {
        "name": "parse, one frame by itself",
        "value": best[0] * 1e6,
        "unit": "µs",
        "peer": "str.split into a dict",
        "peer_value": best[1] * 1e6,
        "ratio": best[1] / best[0],
    }


def _printing() -> dict[str, Any]:
    columns = trades(10_000)
    best = seconds(lambda: encode(LAYOUT, columns), lambda: split_join_printer(columns), 10, 5)
    return _row("encode, 10,000 frames of one record", 10_000, "format and str.join", 10_000, best)


if __name__ == "__main__":
    for row in run():
        print(
            f"{row['name']}: {row['value']:,.1f} {row['unit']}; {row['peer']} {row['peer_value']:,.1f}; "
            f"ratio {row['ratio']:.1f}"
        )
