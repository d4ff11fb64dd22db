"""``hosu backfill --file``: real months as they are, and files that are not what they should be."""

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from program import Here, hosu, rows_of

HEADER = "code,date,time,open,high,low,close,volume,amount"
GOOD = "005930,20250915,090000,100,110,90,105,10,1000"
MINUTES = ("backfill", "minutes", "--original", "--no-bars", "--format", "json", "--lake", "lake")


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_month_of_minutes_comes_in_whole(shared: Path, tmp_path: Path) -> None:
    file = shared / "krx_1m_bars" / "krx_1m_2025-09.parquet"
    found = hosu(tmp_path, *MINUTES, "--file", file).json()
    # Nothing to refuse: the month has neither the bars without volume nor the late days of the other months.
    assert found == {
        "rows": 1_179_340,
        "accepted": 1_179_340,
        "refused": 0,
        "written": 1_179_340,
        "dates": 22,
        "reasons": [],
        "listing": None,
    }
    lake = tmp_path / "lake"
    theirs = pq.read_table(file)
    ours = rows_of(
        lake,
        """
        WITH kept AS (
          SELECT date, symbol AS code, ts AT TIME ZONE 'Asia/Seoul' AS seoul, open, high, low, close, volume, value
          FROM bars_1m_latest WHERE NOT adjusted AND source = 'import:krx_1m_2025-09' AND scope = 'KRX'
        ),
        named AS (SELECT *, (hour(seoul) * 100 + minute(seoul)) * 100 AS clock FROM kept)
        SELECT count(*) AS bars, count(DISTINCT (date, code, clock)) AS different, sum(volume)::BIGINT AS volume,
               sum(value)::BIGINT AS value,
               sum(hash(date, code, clock, open, high, low, close, volume, value)) AS checksum
        FROM named
        """,
    )[0]
    assert ours["bars"] == ours["different"] == theirs.num_rows
    assert ours["volume"] == pc.sum(theirs["volume"]).as_py() == 9_453_122_395
    assert ours["value"] == pc.sum(theirs["amount"]).as_py() == 128_288_489_953_234
    assert ours["checksum"] == checksum(theirs)
    assert hosu(tmp_path, *MINUTES, "--from", file).json()["written"] == 0


def checksum(theirs: pa.Table) -> Any:
    """Over all columns of the file, as the query above makes it of the lake."""
    import duckdb

    with duckdb.connect() as duck:
        duck.register("theirs", theirs)
        return duck.sql(
            """
            SELECT sum(hash(date::VARCHAR, code, "time"::BIGINT, open::DOUBLE, high::DOUBLE, low::DOUBLE, close::DOUBLE,
                            volume::BIGINT, amount::DOUBLE)) FROM theirs
            """
        ).fetchall()[0][0]


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_year_of_days_is_refused_where_nothing_was_traded(shared: Path, tmp_path: Path) -> None:
    file = shared / "krx_daily_2023_2025" / "krx_daily_ohlcv_20231205_20250616.parquet"
    words = ("backfill", "daily", "--file", file, "--adjusted", "--no-bars", "--lake", "lake", "--name", "pykrx")
    ran = hosu(tmp_path, *words, "--format", "json")
    assert ran.code == 1
    assert "85 of 983,537 rows were refused" in ran.err
    listing = tmp_path / "lake" / ".hosu" / "backfill" / "refused-pykrx.csv"
    with listing.open(encoding="utf-8") as lines:
        refused = list(csv.DictReader(lines))
    nothing = [row for row in refused if row["reason"].startswith("nothing traded")]
    assert len(nothing) == 29_639
    assert all(row["open"] == row["volume"] == "0" for row in nothing)
    assert {row["reason"] for row in refused} - {nothing[0]["reason"]} == {"low, open, close and high are not in order"}
    kept = rows_of(tmp_path / "lake", "SELECT count(*) AS n, count(DISTINCT date) AS days FROM bars_daily_latest")
    assert kept == [{"n": 983_537 - len(refused), "days": 369}]


def write(tmp_path: Path, *rows: str, header: str = HEADER, name: str = "bars.csv", encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding=encoding)
    return path


def changed(**fields: str) -> str:
    row = dict(zip(HEADER.split(","), GOOD.split(","), strict=True)) | fields
    return ",".join(row.values())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (changed(code="5930"), "not a short code"),
        (changed(code="삼성전자"), "not a short code"),
        (changed(date="20250913"), "no trading on that day"),
        (changed(date="20251003"), "no trading on that day"),
        (changed(date="20250931"), "cannot be read"),
        (changed(date="20271231"), "in the future"),
        (changed(time="090030"), "not the start of a minute"),
        (changed(time="040000"), "outside of the trading hours"),
        (changed(open="0"), "not positive"),
        (changed(close="-105"), "not positive"),
        (changed(low="106"), "not in order"),
        (changed(high="104"), "not in order"),
        (changed(volume="-1"), "volume or value is negative"),
        (changed(volume="1.5"), "no whole number"),
        (changed(volume="many"), "cannot be read"),
        (changed(open="0", high="0", low="0", volume="0"), "nothing traded"),
        (GOOD + ",more", "more or fewer fields"),
        (GOOD, "comes twice with the same values"),
    ],
)
def test_a_row_that_is_no_bar_is_refused_and_the_others_are_taken(
    here: Here, tmp_path: Path, row: str, reason: str
) -> None:
    others = [changed(time=f"{900 + n:04}00") for n in range(1, 9)]
    file = write(tmp_path, GOOD, row, *others)
    ran = here(tmp_path, *MINUTES, "--file", file)
    found = json.loads(ran.out)
    assert (found["rows"], found["accepted"], found["refused"]) == (10, 9, 1)
    (refused,) = found["reasons"]
    assert reason in refused["reason"]
    assert (refused["rows"], refused["first"]) == (1, "2")
    lines = Path(tmp_path, found["listing"]).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("2,")
    assert ran.code == (0 if "nothing traded" in reason or "same values" in reason else 1)
    assert here(tmp_path, *MINUTES, "--file", file).out.count('"written": 0')


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ([changed(time=f"{n:02}0000") for n in range(6)], (), "nine hours off"),
        ([changed(time=f"{n:02}0000") for n in range(9, 15)], ("--zone", "UTC"), "nine hours off"),
        ([changed(amount="1")] * 1, (), "does not fit price x volume"),
        ([GOOD], ("--units", "volume=1000"), "does not fit price x volume"),
    ],
)
def test_wrong_zones_and_units_refuse_every_row(
    here: Here, tmp_path: Path, rows: list[str], options: tuple[str, ...], reason: str
) -> None:
    ran = here(tmp_path, *MINUTES, "--file", write(tmp_path, *rows), *options)
    found = json.loads(ran.out)
    assert (ran.code, found["accepted"], found["refused"]) == (1, 0, len(rows))
    assert reason in found["reasons"][0]["reason"]
    assert rows_of(tmp_path / "lake", "SELECT * FROM bars_1m_external") == []


def test_the_same_bars_are_read_from_whatever_they_are_written_in(here: Here, tmp_path: Path) -> None:
    korean = write(
        tmp_path,
        '005930;2025-09-15;09:00;"1,100";1100;1100;1100;10;11000',
        header="종목코드;일자;시간;시가;고가;저가;종가;거래량;거래대금",
        name="korean.csv",
        encoding="cp949",
    )
    stamp, tabs = "ticker,datetime,open,high,low,close,vol", "\t".join("abcdefg")
    stamped = write(tmp_path, "005930,2025-09-15T00:00:00Z,1100,1100,1100,1100,10", header=stamp, name="stamped.csv")
    thousand = "\t".join(["005930", "202509150900", *["1.1"] * 4, "10"])
    thousands = write(tmp_path, thousand, header=tabs, name="thousands.txt")
    parquet = tmp_path / "numbers.parquet"
    at = dt.datetime(2025, 9, 15, 9)  # noqa: DTZ001 - Seoul's, as most files have it
    columns = {
        "code": [5930],
        "ts": [at],
        **{name: [1100.0] for name in ("open", "high", "low", "close")},
        "volume": [10],
    }
    pq.write_table(pa.table(columns), parquet)
    for file, more in (
        (korean, ()),
        (stamped, ()),
        (thousands, ("--map", "symbol=a,ts=b,open=c,high=d,low=e,close=f,volume=g", "--units", "price=1000")),
        (parquet, ()),
    ):
        ran = here(tmp_path, *MINUTES, "--file", file, *more)
        assert ran.code == 0, ran
    found = rows_of(
        tmp_path / "lake",
        "SELECT source, symbol, epoch(ts)::BIGINT AS seoul, open, close, volume FROM bars_1m_external",
    )
    assert {tuple(row.values())[1:] for row in found} == {("005930", 1_757_894_400, 1100.0, 1100.0, 10)}
    assert sorted(row["source"] for row in found) == [
        "import:korean",
        "import:numbers",
        "import:stamped",
        "import:thousands",
    ]


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (lambda path: path.mkdir(), (), "is a folder"),
        (lambda path: None, (), "there is no such file"),
        (lambda path: path.write_bytes(b""), (), "is empty"),
        (lambda path: path.write_bytes(b"PAR1nonsense"), (), "cannot be read as Parquet"),
        (lambda path: path.write_bytes(b"\x7fELF\0\0\0"), (), "neither Parquet nor text"),
        (lambda path: path.write_bytes(b"\xff\xfe\xfd,1\n"), (), "neither UTF-8 nor CP949"),
        (lambda path: path.write_text(HEADER + "\n"), (), "has no rows"),
        (lambda path: path.write_text("a,b\n1,2\n"), (), "has no column for symbol, open, high, low, close, volume"),
        (lambda path: path.write_text("code,code\n1,2\n"), (), "names the column code twice"),
        (lambda path: path.write_text(f"{HEADER},value\n{GOOD},1\n"), (), "amount, value may each be value"),
        (lambda path: path.write_text(f"{HEADER}\n{GOOD}\n"), ("--map", "open=nothing"), "has no column nothing"),
        (lambda path: path.write_text(f"{HEADER}\n{GOOD}\n"), ("--map", "opening=open"), "is no column of ours"),
        (lambda path: path.write_text(f"{HEADER}\n{GOOD}\n"), ("--map", "open"), "is not NAME=VALUE"),
        (lambda path: path.write_text(f"{HEADER}\n{GOOD}\n"), ("--units", "price=0"), "is no unit"),
        (lambda path: path.write_text(f"{HEADER}\n{GOOD}\n"), ("--zone", "Mars"), "is no time zone"),
        (lambda path: path.write_text(f"{HEADER}\n{GOOD}\n"), ("--name", "a b"), "is no name"),
    ],
)
def test_a_file_that_is_none_is_refused_with_a_sentence(
    here: Here, tmp_path: Path, make: Any, options: tuple[str, ...], says: str
) -> None:
    file = tmp_path / "bars.csv"
    make(file)
    ran = here(tmp_path, *MINUTES, "--file", file, *options)
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.startswith("hosu: ")
    assert says in ran.err
    assert "fault of its own" not in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("daily",), "say --from which day"),
        (("daily", "--from", "nowhere.csv"), "neither a date"),
        (
            (
                "daily",
                "--from",
                "2025-09-15",
                "--to",
                "2025-09-14",
                "--kis",
                "simulator",
                "--rest",
                "http://127.0.0.1:9",
                "--symbols",
                "005930",
            ),
            "lies before",
        ),
        (("minutes", "--from", "2025-09-15", "--adjusted"), "original prices only"),
        (("daily", "--file", "bars.csv"), "--adjusted or --original"),
        (("daily", "--file", "bars.csv", "--to", "2025-09-15", "--original"), "imported whole"),
        (("weekly", "--from", "2025-09-15"), "weekly"),
        (("daily", "--from", "2025-09-15", "--scope", "NYSE"), "--scope is KRX, NXT or UN"),
    ],
)
def test_wrong_usage_is_told_apart(here: Here, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    ran = here(tmp_path, "backfill", *words, "--lake", "lake")
    assert ran.code == 2
    assert says in " ".join(ran.err.replace("│", " ").split())


def test_codes_and_prices_are_held_against_the_universe_of_the_day(here: Here, tmp_path: Path) -> None:
    from hosu.lake.instruments import write_universe
    from hosu.lake.lake import Lake
    from hosu.market.instruments import Instrument, InstrumentType, Market, to_arrow

    day = dt.date(2025, 9, 15)
    kind = {"isin": "", "name": "x", "market": Market.KOSPI, "type": InstrumentType.STOCK, "base_price": 100}
    listed = [Instrument(symbol="005930", **kind)]
    write_universe(Lake.open(str(tmp_path / "lake")), day.isoformat(), to_arrow(day, listed))
    file = write(tmp_path, GOOD, changed(time="090100", high="131"), changed(code="000660"))
    reasons = json.loads(here(tmp_path, *MINUTES, "--file", file).out)["reasons"]
    assert [each["reason"][:30] for each in reasons] == [
        "no universe of the lake knows ",
        "beyond the day's price limits",
    ]
    assert [each["first"] for each in reasons] == ["3", "2"]
    taken = json.loads(here(tmp_path, *MINUTES, "--file", file, "--any-code").out)
    assert (taken["accepted"], taken["written"]) == (2, 1)
