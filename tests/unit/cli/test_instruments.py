"""What ``hosu instruments list`` says where there is nothing to list."""

import datetime as dt
from pathlib import Path

from typer.testing import CliRunner

from hosu.cli.main import app
from hosu.lake.instruments import write_universe
from hosu.lake.lake import Lake
from hosu.market.instruments import Instrument, InstrumentType, Market, to_arrow


def test_a_lake_without_instruments_says_how_to_get_them(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    words = ["instruments", "list", "--lake", lake.root, "--format", "json"]
    ran = CliRunner().invoke(app, words)
    assert (ran.exit_code, ran.stdout) == (0, "[]\n")
    assert ran.stderr == "hosu: the lake knows no instruments; fetch them: hosu instruments sync\n"

    day = dt.date(2026, 9, 15)
    listed = Instrument(
        symbol="005930", isin="KR7005930003", name="삼성전자", market=Market.KOSPI, type=InstrumentType.STOCK
    )
    write_universe(lake, day.isoformat(), to_arrow(day, [listed]))
    assert CliRunner().invoke(app, words).stderr == ""
    ran = CliRunner().invoke(app, [*words, "--market", "konex"])
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
    ran = CliRunner().invoke(app, [*words, "--date", "2026-09-14"])
    assert "knows no instruments as of 2026-09-14 or before; fetch them" in ran.stderr
