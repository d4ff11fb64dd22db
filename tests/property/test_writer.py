"""The lake's writer: what goes in comes out, once, in whatever batches, flushes, restarts and repeats."""

import shutil

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effort import examples
from hosu.clock import SimulatedClock
from hosu.collect.sinks import EventBatch
from hosu.errors import LogGapError
from hosu.lake.lake import Lake
from hosu.lake.writer import LakeSink, WriterConfig
from hosu.market.events import EVENT_SCHEMAS

TABLES = ("trades", "quarantine", "snapshots")
TEXTS = st.one_of(st.sampled_from(["005930", "", "\0", "a\0b", "한글", "'", "x" * 300]), st.text(max_size=8))
INTS = st.one_of(st.none(), st.integers(0, 10**6), st.sampled_from([2**63 - 1, -(2**63), 0]))
PRICES = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 71_900.5, float("nan"), float("inf"), 5e-324]))
ROWS = st.lists(
    st.tuples(
        st.sampled_from(TABLES),
        st.sampled_from(["2025-09-15", "2025-09-16"]),
        TEXTS,
        INTS,
        PRICES,
        st.binary(max_size=5),
    ),
    max_size=5,
)
LOG = st.lists(ROWS, min_size=1, max_size=12)
"""What each record of a log becomes: rows of tables."""


def rows_of(log):
    """Every row by table, as dicts with all columns."""
    rows = {name: [] for name in TABLES}
    for lsn, found in enumerate(log):
        for record_no, (table, date, text, number, price, raw) in enumerate(found):
            row = dict.fromkeys(EVENT_SCHEMAS[table].names)
            row |= {"date": date, "wal_id": "w1", "lsn": lsn, "record_no": record_no, "symbol": text}
            row |= {"reason": text, "raw": raw} if table == "quarantine" else {"price": price, "cum_volume": number}
            rows[table].append(row)
    return rows


def batch(rows, first, last):
    tables = {}
    for name, found in rows.items():
        mine = [row for row in found if first <= row["lsn"] <= last]
        if mine:
            tables[name] = pa.RecordBatch.from_pylist(mine, schema=EVENT_SCHEMAS[name])
    return EventBatch("w1", first, last, tables, sum(map(len, tables.values())))


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("next"), st.integers(1, 4)),
        st.tuples(st.just("again"), st.integers(0, 12)),
        st.tuples(st.just("overlap"), st.integers(1, 4)),
        st.sampled_from(["flush", "sync", "crash", "late"]),
    ),
    max_size=12,
)


@pytest.mark.slow
@examples(60)
@given(LOG, ACTS)
def test_every_row_is_stored_once_whatever_is_repeated_flushed_or_lost_in_between(tmp_path, log, acts):
    shutil.rmtree(tmp_path / "lake", ignore_errors=True)
    lake = Lake.open(str(tmp_path / "lake"))
    rows, count = rows_of(log), len(log)
    clock = SimulatedClock(1_757_894_400_000_000)
    sink = LakeSink(lake, WriterConfig(reserve_bytes=0), clock)
    reached = -1
    for act in [*acts, ("next", count)]:
        match act:
            case ("next", size) if reached + 1 < count:
                last = min(reached + size, count - 1)
                sink.write(batch(rows, reached + 1, last))
                reached = last
            case ("overlap", size) if 0 <= reached < count - 1:
                last = min(reached + size, count - 1)
                sink.write(batch(rows, max(0, reached - size), last))
                reached = last
            case ("again", size) if reached >= 0:
                sink.write(batch(rows, max(0, reached - size), reached))
            case "flush":
                assert sink.flush() <= reached
            case "sync":
                sink.flush()
                sink.sync()
                assert sink.resume_after("w1") == reached
            case "crash":
                sink = LakeSink(Lake.open(str(tmp_path / "lake")), WriterConfig(reserve_bytes=0), clock)
                reached = sink.resume_after("w1")
            case "late" if reached + 2 < count:
                refuses_what_would_leave_a_hole(sink, rows, reached)
    if reached < count - 1:
        sink.write(batch(rows, reached + 1, count - 1))
    sink.close()
    stored = Lake.open(str(tmp_path / "lake"), create=False)
    for name, wanted in rows.items():
        assert contents(stored, name) == sorted(map(repr, wanted))
    assert LakeSink(stored).resume_after("w1") == count - 1


def refuses_what_would_leave_a_hole(sink, rows, reached):
    with pytest.raises(LogGapError) as refused:
        sink.write(batch(rows, reached + 2, reached + 2))
    assert (refused.value.first_missing, refused.value.last_missing) == (reached + 1, reached + 1)


def contents(lake, name):
    """The rows of a table by their text, sorted: NaN equals itself that way."""
    table = lake.find(name)
    if table is None:
        return []
    found = table.dataset().to_table(columns=EVENT_SCHEMAS[name].names).to_pylist()
    return sorted(map(repr, found))
