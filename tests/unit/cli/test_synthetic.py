"""What a made-up history cannot be asked for."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hosu.cli.synthetic import synthetic
from hosu.errors import InputError


def made(file: Path, **asked):
    sizes = {"interval": "day", "sessions": 2, "symbols": 1, "minutes": None, "to": "2026-09-11", "seed": 1}
    synthetic(file, **{**sizes, "signal": 0.0, **asked})


@pytest.mark.parametrize("interval", ["day", "minute"])
@pytest.mark.parametrize("signal", [float("nan"), float("inf")])
def test_a_signal_that_is_no_number_is_refused_as_such(tmp_path, interval, signal):
    with pytest.raises(InputError, match=f"--signal {signal}: is no number of deviations"):
        made(tmp_path / "f", interval=interval, signal=signal)
    assert not (tmp_path / "f").exists()


def test_minutes_of_bars_of_days_are_refused_and_not_passed_over(tmp_path):
    with pytest.raises(InputError, match="--minutes 30: says nothing of bars of days; add --interval minute"):
        made(tmp_path / "f", minutes=30)
    made(tmp_path / "f", minutes=30, interval="minute")
    assert (tmp_path / "f").exists()


def test_a_file_of_ones_own_is_not_written_over(tmp_path):
    mine = tmp_path / "thesis.parquet"
    pq.write_table(pa.table({"a": [1]}), mine)
    before = mine.read_bytes()
    with pytest.raises(InputError, match="is there already, and is no made-up history"):
        made(mine)
    assert mine.read_bytes() == before
    for sessions in (2, 3):
        made(tmp_path / "made.parquet", sessions=sessions)
    assert pq.read_table(tmp_path / "made.parquet").num_rows == 3
