"""Real minute bars, played as trades and added up again."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hosu.kis.records import unpack_many
from hosu.kis.simulator.bars import Bars, BarsConfig

pytestmark = pytest.mark.shared

DAY = date(2025, 9, 15)
SYMBOLS = ("000660", "005930", "035720", "247540", "310210")


def test_the_bars_of_a_day_come_back_exactly(shared: Path) -> None:
    path = shared / "krx_1m_bars" / "krx_1m_2025-09.parquet"
    source = pq.read_table(path, filters=(pc.field("date") == DAY) & pc.field("code").isin(SYMBOLS))
    bars = Bars(BarsConfig(path, DAY, tuple(sorted(set(source["code"].to_pylist())))))
    rebuilt: dict[tuple[str, int], list[int]] = {}
    for burst in bars:
        for batch in burst.batches:
            c = batch.columns
            rows = zip(
                unpack_many(c["MKSC_SHRN_ISCD"]), c["STCK_CNTG_HOUR"].tolist(), c["STCK_PRPR"].tolist(),
                c["CNTG_VOL"].tolist(), strict=True,
            )  # fmt: skip
            for code, second, price, size in rows:
                minute = second // 60
                bar = rebuilt.setdefault((code, minute), [price, price, price, price, 0, 0])
                bar[1], bar[2], bar[3] = max(bar[1], price), min(bar[2], price), price
                bar[4] += size
                bar[5] += price * size
    impossible = {(row["symbol"], row["minute"]) for row in bars.impossible_bars()}
    assert len(rebuilt) == source.num_rows
    for row in source.to_pylist():
        minute = row["time"] // 10000 * 60 + row["time"] // 100 % 100
        o, h, l, c, volume, value = rebuilt[row["code"], minute]  # noqa: E741
        assert np.array([o, h, l, c]).tolist() == [row[name] * 100 for name in ("open", "high", "low", "close")]
        assert volume == row["volume"]
        if (row["code"], f"{minute // 60:02d}:{minute % 60:02d}") not in impossible:
            assert value == row["amount"] * 100
        else:
            possible = row["low"] * volume <= row["amount"] <= row["high"] * volume
            assert not possible or volume < 8
