"""A real day's minute bars: through the simulator, the wire, the log and the lake, and out as the same bars."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from program import Collector, simulator, sql

DAY = "2025-09-15"
TWELVE = "000150,000660,00680K,0080Y0,001290,001720,003480,034730,122630,126340,267770,950160"
QUERY = """
    SELECT symbol, strftime(ts AT TIME ZONE 'Asia/Seoul', '%H:%M') AS minute,
           open, high, low, close, volume, value, data_points
    FROM processed_ohlcv_1m WHERE scope = 'KRX' ORDER BY ALL
"""

Bars = dict[tuple[str, str], tuple[int, ...]]


def bars_of(file: Path, symbols: set[str]) -> Bars:
    """Open, high, low, close, volume and amount of a day by symbol and minute."""
    rows = pq.read_table(file, filters=(pc.field("date").cast("string") == DAY) & pc.field("code").isin(list(symbols)))
    return {
        (row["code"], f"{row['time'] // 10000:02}:{row['time'] // 100 % 100:02}"): tuple(
            row[name] for name in ("open", "high", "low", "close", "volume", "amount")
        )
        for row in rows.to_pylist()
    }


def played(home: Path, file: Path, symbols: str | None, slots: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The simulator's report, and the one-minute bars of the lake."""
    chosen = ("--symbols", symbols) if symbols else ()
    wanted = ("--bars", file, "--date", DAY, "--speed", "max", "--slots", slots, "--expect", slots)
    with simulator(home, *wanted, *chosen) as broker:
        options = ("--symbols", "all", "--feeds", "trades", "--slots", slots, "--lake", home / "lake")
        collector = Collector(home, "collector", broker, *options)
        try:
            status = collector.finish().json()
            report = broker.report()
        finally:
            collector.kill()
    assert status["reason"] == "every feed has ended"
    assert (status["records"], status["quarantined"]) == (report["records"], 0)
    return report, sql(home / "lake", QUERY)


def check(file: Path, report: dict[str, Any], rows: list[dict[str, Any]]) -> int:
    """Compares every minute; returns how many there are."""
    symbols = {key.removeprefix("KRX:") for key in report["symbols"]}
    file_bars = bars_of(file, symbols)
    lake_bars = {(row["symbol"], row["minute"]): row for row in rows}
    assert len(lake_bars) == len(rows)
    assert lake_bars.keys() == file_bars.keys()
    impossible = {(each["symbol"], each["minute"]) for each in report["impossible_bars"]}
    assert impossible <= file_bars.keys()
    for key, (first, high, low, last, volume, amount) in file_bars.items():
        bar = lake_bars[key]
        found = (bar["open"], bar["high"], bar["low"], bar["close"], bar["volume"])
        assert found == (first, high, low, last, volume), key
        if key not in impossible:
            assert bar["value"] == amount, key
    assert sum(row["data_points"] for row in rows) == report["records"]
    assert sum(row["volume"] for row in rows) == report["shares"]
    return len(rows)


@pytest.mark.slow
@pytest.mark.shared
def test_bars_of_twelve_symbols_come_back_exactly(shared: Path, tmp_path: Path):
    file = shared / "krx_1m_bars" / "krx_1m_2025-09.parquet"
    report, rows = played(tmp_path, file, TWELVE, slots=12)
    assert len(report["symbols"]) == 12
    assert check(file, report, rows) > 12 * 300
    assert report["impossible_bars"]


@pytest.mark.slow
@pytest.mark.shared
def test_bars_of_every_symbol_come_back_exactly(shared: Path, tmp_path: Path):
    file = shared / "krx_1m_bars" / "krx_1m_2025-09.parquet"
    report, rows = played(tmp_path, file, None, slots=255)
    assert len(report["symbols"]) == 255
    assert report["shares"] == 692_907_670
    assert check(file, report, rows) > 50_000
