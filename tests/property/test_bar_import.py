"""Imports lose no row uncounted, whatever stands in the file, and take each bar once."""

import csv
import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hosu.clock import SimulatedClock
from hosu.errors import InputError
from hosu.lake.bars_import import ImportConfig, import_bars, row_numbers
from hosu.lake.import_checks import Known, Verdict, judge
from hosu.lake.import_file import read_source
from hosu.lake.import_parse import parse
from hosu.lake.lake import Lake
from hosu.lake.sql import Session

NOW = 1_764_000_000_000_000  # 2025-11-25
HEADER = ["code", "date", "time", "open", "high", "low", "close", "volume", "amount"]

codes = st.sampled_from(["005930", "000660", "5930", "", "삼성전자", "Q500001", "00593O"])
dates = st.sampled_from(["20250915", "2025-09-15", "2025/09/16", "20250913", "20990101", "20250230", "", "x"])
times = st.sampled_from(["0900", "09:01", "09:02:00", "153000", "2359", "900", "09:00:30", "", "9999"])
numbers = st.one_of(
    st.integers(-2, 5).map(str), st.sampled_from(["1,234", "7.5", "", "nan", "inf", "1e3", "abc", "-0"])
)
rows = st.tuples(codes, dates, times, *[numbers] * 6).map(list)
lines = st.one_of(rows, rows.map(lambda row: row[:-1]), rows.map(lambda row: [*row, "more"]))


def written(folder: str, content: list[list[str]]) -> Path:
    text = io.StringIO()
    csv.writer(text).writerows([HEADER, *content])
    path = Path(folder) / "bars.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


@given(st.lists(lines, min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
@pytest.mark.slow
def test_accepted_and_refused_rows_are_all_rows(content: list[list[str]]) -> None:
    with TemporaryDirectory() as folder:
        source = read_source(written(folder, content), "minutes")
        lake = Lake.open(str(Path(folder) / "lake"))
        config = ImportConfig("minutes", "mine", "KRX", adjusted=False)
        done = import_bars(lake, source, config, SimulatedClock(NOW))
        again = import_bars(lake, source, config, SimulatedClock(NOW + 1))
        with Session(lake) as session:
            stored = session.query("SELECT symbol, ts FROM bars_1m_external").to_pylist()

    assert done.rows == len(content)
    assert done.accepted + sum(each.rows for each in done.refused) == done.rows
    assert done.written == done.accepted == len(stored) == len({(row["symbol"], row["ts"]) for row in stored})
    assert (again.accepted, again.written) == (done.accepted, 0)
    broken = [number for number, row in enumerate(content, 1) if len(row) != len(HEADER)]
    assert [number for number, _ in source.broken] == broken
    assert sorted([*broken, *row_numbers(source).tolist()]) == list(range(1, len(content) + 1))


@given(st.lists(rows, min_size=1, max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_rows_does_not_matter(content: list[list[str]], chance: object) -> None:
    """But for which of equal rows is the one that is taken."""
    shuffled = list(content)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    def verdicts(each: list[list[str]]) -> list[tuple[list[str], int]]:
        with TemporaryDirectory() as folder:
            bars = parse(read_source(written(folder, each), "minutes"), "minutes", "Asia/Seoul")
        found = judge(bars, "minutes", "KRX", Known(NOW)).tolist()
        return sorted(zip(each, found, strict=True))

    assert verdicts(content) == verdicts(shuffled)


@given(st.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused_with_a_sentence(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "bars.csv"
        path.write_bytes(content)
        try:
            source = read_source(path, "daily")
            bars = parse(source, "daily", "Asia/Seoul")
            assert len(judge(bars, "daily", "KRX", Known(NOW))) + len(source.broken) == source.rows
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017 - either outcome is right


def test_every_reason_has_a_sentence() -> None:
    from hosu.lake.import_checks import REASONS

    assert set(REASONS) == set(Verdict) - {Verdict.ACCEPTED}
