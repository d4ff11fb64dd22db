"""The ledger in a real lake: online and judged, after repairs by others, crashes between commits, and from its log."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "collect"))

from ledger_parts import DAY, OPEN_US, at, book, events, poll, trade

from hosu.clock import SimulatedClock
from hosu.collect.fanout import Fanout
from hosu.collect.gaps import Gap
from hosu.collect.ledger import LedgerConfig, LedgerSink
from hosu.collect.replay import replay
from hosu.errors import InputError, LakeFullError, TableCorruptError
from hosu.lake.certify import certify, open_gaps
from hosu.lake.compact import compact
from hosu.lake.lake import Lake
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.sql import Session
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink
from hosu.market.ledger import State

CONNECTED = ("session", {"event": "connected", "address": "ws://there"})
BROKEN = ("session", {"event": "disconnected", "code": 1006, "cause": "broke"})
HOLED = [
    CONNECTED,
    ("trades", trade(10, 10, "09:00:01")),
    BROKEN,
    CONNECTED,
    ("trades", trade(40, 5, "09:00:09")),
    ("quotes", book(40, "18:00:01")),
]


def both(lake: Lake, store: Any = None) -> Fanout:
    clock = SimulatedClock(OPEN_US)
    return Fanout([LakeSink(lake), LedgerSink(store or LakeLedgerStore(lake), LedgerConfig(), clock)])


def rows(lake: Lake, sql: str) -> list[dict[str, Any]]:
    with Session(lake) as session:
        return session.query(sql).to_pylist()


def coverage(lake: Lake) -> list[tuple[Any, ...]]:
    found = rows(lake, "SELECT symbol, scope, state, shares, missing_shares, gaps, revision FROM coverage ORDER BY ALL")
    return [tuple(row.values()) for row in found]


def gaps(lake: Lake, where: str = "open") -> list[tuple[Any, ...]]:
    columns = "from_volume, to_volume, value, cause, revision"
    found = rows(lake, f"SELECT {columns} FROM gaps_latest WHERE {where} ORDER BY ALL")
    return [tuple(row.values()) for row in found]


def told(lake: Lake) -> list[tuple[Any, ...]]:
    found = rows(
        lake, 'SELECT event, from_volume, to_volume, shares, "by" FROM gap_events ORDER BY "at", event, from_volume'
    )
    return [tuple(row.values()) for row in found]


def test_a_hole_is_found_online_and_by_the_judge_alike(lake: Lake) -> None:
    sink = both(lake)
    sink.write(events(*HOLED))
    sink.close()
    assert coverage(lake) == [("005930", "KRX", "open", 15, 25, 1, 1)]
    assert gaps(lake) == [(10, 35, 2_500, "reconnect", 1)]

    found = certify(lake, DAY)
    assert (found.symbols, found.states[State.OPEN], found.missing_shares, found.gaps) == (1, 1, 25, 1)
    assert coverage(lake) == [("005930", "KRX", "open", 15, 25, 1, 2)]
    assert gaps(lake) == [(10, 35, 2_500, "reconnect", 1)]  # what the log told is kept
    (gap,) = open_gaps(lake, DAY)
    assert isinstance(gap, Gap)
    assert (gap.key, gap.before_ts, gap.after_ts) == ((DAY, "KRX", "005930", 10, 35), at("09:00:01"), at("09:00:09"))


def test_a_repair_through_another_log_is_told_by_the_judge_and_kept_by_the_first_log(lake: Lake) -> None:
    first = both(lake)
    first.write(events(*HOLED))
    first.close()
    repair = LakeSink(lake)  # without a ledger of its own
    late = [trade(n, 5, "09:00:05", source="rest", cum_value=None) for n in (15, 20, 30)]
    repair.write(events(*(("trades", row) for row in late), wal="w2"))
    repair.close()

    assert certify(lake, DAY).missing_shares == 10
    assert gaps(lake) == [(20, 25, None, "reconnect", 1), (30, 35, None, "reconnect", 1)]
    assert told(lake)[1:] == [("partly_repaired", 10, 35, 15, "certify")]

    first.write(events(("quotes", book(40, "18:00:05")), first=6))
    first.close()  # it knows the hole as a whole; the judge knows better
    assert [gap[:2] for gap in gaps(lake)] == [(20, 25), (30, 35)]

    repair = LakeSink(lake)
    late = [trade(n, 5, "09:00:05", source="rest", cum_value=None) for n in (25, 35)]
    repair.write(events(*(("trades", row) for row in late), wal="w3"))
    repair.close()
    assert certify(lake, DAY).states[State.CERTIFIED] == 1
    assert open_gaps(lake, DAY) == []
    assert [event[0] for event in told(lake)] == ["opened", "partly_repaired", "repaired", "repaired"]
    day = rows(lake, "FROM coverage")[0]
    assert (day["state"], day["trades"], day["duplicates"], day["shares"]) == ("certified", 7, 0, 40)


def test_repeats_and_contradictions_are_found_by_the_judge_however_old(lake: Lake) -> None:
    sink = both(lake)
    day = [("trades", trade(n, 1, "09:00:01")) for n in range(1, 41)]
    again = [("trades", trade(3, 1, "09:00:01", symbol="005930"))]
    other = [("trades", trade(n, 1, "09:00:01", symbol="000660")) for n in range(1, 41)]
    wrong = [("trades", trade(3, 2, "09:00:01", symbol="000660"))]
    ends = [("quotes", book(40, "18:00:01")), ("quotes", book(40, "18:00:01", symbol="000660"))]
    sink.write(events(*day, *other, *again, *wrong, *ends))
    sink.close()
    online = {row["symbol"]: (row["state"], row["assumptions"]) for row in rows(lake, "FROM coverage")}
    assert online == {
        "005930": ("assumed", ["old_repeats_are_repeats"]),
        "000660": ("assumed", ["old_repeats_are_repeats"]),
    }
    certify(lake, DAY)
    judged = {row["symbol"]: (row["state"], row["corrections"]) for row in rows(lake, "FROM coverage")}
    assert judged == {"005930": ("certified", 0), "000660": ("unprovable", 1)}


def test_what_the_judge_has_compared_stays_certified_when_the_log_goes_on(lake: Lake) -> None:
    day = [("trades", trade(n, 1, "09:00:01")) for n in range(1, 41)]
    sink = both(lake)
    sink.write(events(*day, ("trades", trade(3, 1, "09:00:01")), ("quotes", book(40, "18:00:01"))))
    sink.close()
    assert certify(lake, DAY).states[State.CERTIFIED] == 1
    again = both(lake)  # the next morning
    again.write(events(("trades", trade(5, 5, date="2025-09-16")), first=again.resume_after("w1") + 1))
    again.close()
    assert coverage(lake)[0][:3] == ("005930", "KRX", "certified")

    again.write(events(("trades", trade(4, 1, "09:00:01")), first=again.resume_after("w1") + 1))
    again.close()  # a repeat that the judge has not seen
    assert coverage(lake)[0][:3] == ("005930", "KRX", "assumed")


def test_the_judge_sees_a_count_that_began_anew(lake: Lake) -> None:
    sink = LakeSink(lake)
    early = [("trades", trade(100 + n, 1, "15:30:00")) for n in range(3)]
    late = [("trades", trade(n * 20, 20, "16:00:00")) for n in range(1, 5)]
    sink.write(events(*early, *late, ("quotes", book(102, "18:00:01"))))
    sink.close()
    assert certify(lake, DAY).states[State.UNPROVABLE] == 1


def test_records_in_quarantine_explain_a_hole_to_the_judge(lake: Lake) -> None:
    sink = LakeSink(lake)
    bad = ("quarantine", {"tr_id": "H0STCNT0", "reason": "bad", "raw": b"x"})
    sink.write(events(("trades", trade(10, 10)), bad, ("trades", trade(20, 5))))
    sink.close()
    certify(lake, DAY)
    assert gaps(lake) == [(10, 15, 500, "quarantine", 1)]


def test_judging_twice_changes_nothing_but_the_revision(lake: Lake) -> None:
    sink = both(lake)
    sink.write(events(*HOLED))
    sink.close()
    certify(lake, DAY)
    before = gaps(lake, "true"), told(lake)
    certify(lake, DAY)
    assert (gaps(lake, "true"), told(lake)) == before
    assert coverage(lake)[0][-1] == 3


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [Path.unlink, emptied], ids=["gone", "empty"])
@pytest.mark.parametrize("table", ["gaps", "gap_events", "coverage_days"])
def test_a_damaged_table_of_the_ledger_is_named_and_keeps_nothing_from_the_lake(
    lake: Lake, table: str, harm: Callable[[Path], object]
) -> None:
    sink = both(lake)
    sink.write(events(*HOLED))
    sink.close()
    (path,) = Path(lake.root).glob(f"raw/ledger/{table}/date=*/*.parquet")
    whole = path.read_bytes()
    harm(path)
    named = rf"table {table} is damaged at raw/ledger/{table}/.*{path.name} .*; run: hosu lake verify --repair"
    store = LakeLedgerStore(lake)
    asked = {"gaps": store.gaps, "gap_events": store.events, "coverage_days": store.coverage}
    with pytest.raises(TableCorruptError, match=named):
        asked[table]([DAY])
    if table != "gap_events":  # the judge adds to it, and does not ask
        with pytest.raises(TableCorruptError, match=named):
            certify(lake, DAY)

    again = both(lake)
    more = [("trades", trade(60, 10, "09:00:20")), ("quotes", book(60, "18:00:09"))]
    again.write(events(*more, first=6))
    again.close()
    assert rows(lake, "SELECT count(*) AS n FROM trades") == [{"n": 3}]
    path.write_bytes(whole)
    last = both(lake)
    assert last.resume_after("w1") == 7
    last.close()
    assert gaps(lake) == [(10, 35, 2_500, "reconnect", 1), (40, 50, 1_000, "unknown", 1)]
    assert coverage(lake)[0][2:6] == ("open", 25, 35, 2)
    assert [event[:3] for event in told(lake)] == [("opened", 10, 35), ("opened", 40, 50)]


def test_a_date_that_the_lake_does_not_have_is_refused(lake: Lake) -> None:
    with pytest.raises(InputError, match="2025-09-16: the lake has no trades, books or polls of it; collect or replay"):
        certify(lake, "2025-09-16")


@pytest.mark.slow
def test_the_tables_stand_compaction_and_verification(lake: Lake) -> None:
    sink = both(lake)
    for number, part in enumerate(HOLED):
        sink.write(events(part, first=number))
        sink.flush()
    sink.close()
    certify(lake, DAY)
    before = coverage(lake), gaps(lake, "true"), told(lake)
    compact(lake, ["gaps", "gap_events", "coverage_days"])
    assert (coverage(lake), gaps(lake, "true"), told(lake)) == before
    assert verify(lake, ["gaps", "gap_events", "coverage_days"], deep=True).findings == ()
    again = both(lake)
    assert again.resume_after("w1") == 5


class KilledError(Exception):
    """The process is gone."""


class Breaking(LakeLedgerStore):
    """Dies before the table named, once."""

    before: str | None = None

    def _append(self, name: str, listed: list[dict[str, Any]], wal_id: str | None, lsn: int | None) -> None:
        if name == self.before:
            self.before = None
            raise KilledError
        super()._append(name, listed, wal_id, lsn)


@pytest.mark.parametrize("kept", [True, False], ids=["the state is there", "it was lost"])
@pytest.mark.parametrize("table", ["gap_events", "gaps", "coverage_days"])
def test_killed_before_any_table_it_ends_with_the_same_rows(lake: Lake, table: str, kept: bool) -> None:
    store = Breaking(lake)
    store.before = table
    sink = LedgerSink(store, LedgerConfig(), SimulatedClock(OPEN_US))
    sink.write(events(*HOLED))
    with pytest.raises(KilledError):
        sink.close()
    if not kept:
        lake.storage.delete("raw/ledger/state/w1.ledger")
    again = LedgerSink(LakeLedgerStore(lake), LedgerConfig(), SimulatedClock(OPEN_US))
    assert again.resume_after("w1") == (5 if kept else -1)
    again.write(events(*HOLED))
    again.close()
    assert rows(lake, "SELECT count(*) AS n FROM gaps")[0]["n"] == 1
    assert rows(lake, 'SELECT min(epoch_us("at")) AS us FROM gap_events')[0]["us"] == OPEN_US + 5_000_000
    assert [event[:4] for event in told(lake)] == [("opened", 10, 35, 25)]
    assert coverage(lake) == [("005930", "KRX", "open", 15, 25, 1, 1)]


def test_a_lake_without_room_keeps_the_sink_waiting(lake: Lake) -> None:
    store = LakeLedgerStore(lake, reserve_bytes=1 << 60)
    sink = LedgerSink(store, LedgerConfig(), SimulatedClock(OPEN_US))
    sink.write(events(*HOLED))
    with pytest.raises(LakeFullError):
        sink.close()
    store._reserve_bytes = 0
    sink.close()
    assert gaps(lake)[0][:2] == (10, 35)


def test_a_replay_alone_rebuilds_the_ledger(lake: Lake, log: Any) -> None:
    log.receive(5, 7)
    sink = both(lake)
    assert replay(log.folder, sink).records == 12
    sink.close()
    # The log's trades are of one share each, counted from 0: the one at volume 0 covers nothing.
    (day,) = rows(lake, "FROM coverage")
    assert (day["symbol"], day["shares"], day["missing_shares"]) == ("005930", 11, 0)
    assert replay(log.folder, both(lake)).records == 0


def test_how_much_of_the_turnover_was_seen(lake: Lake) -> None:
    sink = both(lake)
    other = [("snapshots", poll(55, symbol="000660")), ("snapshots", poll(60, symbol="000660"))]
    sink.write(events(*HOLED, *other))
    sink.close()
    (share,) = rows(lake, "FROM coverage_share")
    assert (share["symbols"], share["open"], share["polled"]) == (2, 1, 1)
    assert (share["shares"], share["shares_seen"], share["share_seen"]) == (100, 15, 0.15)
    assert (share["value"], share["value_seen"], share["turnover_seen"]) == (10_000, 1_500, 0.15)


def test_what_a_poll_still_tells_of_the_day_before_is_none_of_this_days_turnover(lake: Lake) -> None:
    sink = both(lake)
    polls = [poll(volume, symbol="000660") for volume in (900, 55, 60)]
    sink.write(events(*(("snapshots", row) for row in polls)))
    sink.close()
    (share,) = rows(lake, "FROM coverage_share")
    assert (share["polled"], share["shares"], share["value"]) == (1, 60, 6_000)


def test_the_latest_of_two_writers_counts(lake: Lake) -> None:
    store = LakeLedgerStore(lake)
    sink = LedgerSink(store, LedgerConfig(), SimulatedClock(OPEN_US))
    sink.write(events(*HOLED))
    sink.close()
    repair = LakeSink(lake)
    repair.write(events(("trades", trade(35, 25, "09:00:05", source="rest")), wal="w2"))
    repair.close()
    certify(lake, DAY)
    sink.write(events(("quotes", book(40, "18:00:09")), ("trades", trade(42, 2, "18:00:10")), first=6))
    sink.close()
    (day,) = rows(lake, "FROM coverage")
    assert (day["state"], day["shares"], day["revision"]) == ("assumed", 42, 3)
    assert day["assumptions"] == ["stream_stood_to_the_end"]  # no book or poll says 42, but the stream stood
    assert gaps(lake) == []


def test_the_schema_of_what_is_written_is_that_of_the_table(lake: Lake, batch: Callable[..., Any]) -> None:
    sink = both(lake)
    sink.write(events(*HOLED))
    sink.close()
    for name in ("gaps", "gap_events", "coverage_days"):
        table = lake.find(name)
        assert table is not None
        found = table.dataset().to_table()
        assert sorted(found.schema.names) == sorted(table.spec.schema.names)
        assert isinstance(found, pa.Table)


@pytest.fixture
def gaps_folder(lake: Lake) -> Path:
    """The folder of the table ``gaps`` of a lake that knows of a hole."""
    sink = both(lake)
    sink.write(events(*HOLED))
    sink.close()
    return Path(lake.root) / "raw" / "ledger" / "gaps"


@pytest.mark.parametrize("left", [0, 100])
def test_a_data_file_of_the_ledger_that_is_damaged_or_gone_is_named(lake: Lake, gaps_folder: Path, left: int) -> None:
    (file,) = gaps_folder.rglob("date=*/*.parquet")
    file.write_bytes(file.read_bytes()[:left]) if left else file.unlink()
    with pytest.raises(TableCorruptError, match="table gaps is damaged"):
        LakeLedgerStore(lake).gaps([DAY])
