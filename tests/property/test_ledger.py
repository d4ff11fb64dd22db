"""The ledger beside a model that knows every share, whatever comes in whatever order and cut."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from hosu.collect import ledger_kernel as kernel
from hosu.collect.ledger_checkpoint import LogState, pack, unpack
from hosu.collect.ledger_judge import covered_of, seen_of, united, without
from hosu.collect.ledger_state import SeriesTable
from hosu.market.events import TRADES

OPEN_US = 1_757_894_400_000_000  # 2025-09-15 09:00 in Seoul
SERIES = ("2025-09-15", "KRX", "005930")


@dataclass(frozen=True)
class Trade:
    """One execution, as an honest broker would send it: ``second`` of the day, ``begin`` its first share."""

    begin: int
    size: int
    price: int
    second: int
    value: int
    buys: int

    @property
    def end(self) -> int:
        return self.begin + self.size


@st.composite
def days(draw: st.DrawFn) -> list[Trade]:
    """Trades that follow one another without a hole, time never going back."""
    steps = draw(
        st.lists(st.tuples(st.integers(1, 9), st.integers(90, 110), st.integers(0, 2)), min_size=1, max_size=40)
    )
    found: list[Trade] = []
    volume = value = second = 0
    for number, (size, price, pause) in enumerate(steps):
        second += pause
        value += size * price
        found.append(Trade(volume, size, price, second, value, number + 1))
        volume += size
    return found


def batch(trades: list[tuple[Trade, int]], *, source: str = "ws") -> pa.RecordBatch:
    """Rows of the table; the number beside each is its LSN and tells when it was received."""
    rows: list[dict[str, Any]] = [
        {
            **dict(zip(("date", "scope", "symbol"), SERIES, strict=True)),
            "lsn": lsn,
            "ts_event": OPEN_US + trade.second * 1_000_000,
            "ts_recv": OPEN_US + 10**9 + lsn * 1_000,
            "price": float(trade.price),
            "size": trade.size,
            "side": "buy",
            "cum_volume": trade.end,
            "cum_value": trade.value,
            "buy_count": trade.buys,
            "sell_count": 0,
            "source": source,
        }
        for trade, lsn in trades
    ]
    return pa.RecordBatch.from_pylist([{name: row.get(name) for name in TRADES.names} for row in rows], schema=TRADES)


def holes_of(table: SeriesTable) -> list[tuple[int, int]]:
    return [(int(hole[kernel.FROM]), int(hole[kernel.TO])) for hole in table.holes_of(0)]


def model(trades: list[Trade]) -> list[tuple[int, int]]:
    """The holes below the highest share, share by share."""
    shares = {share for trade in trades for share in range(trade.begin, trade.end)}
    missing = sorted(set(range(max(shares) + 1)) - shares)
    starts = [share for share in missing if share - 1 not in missing]
    ends = [share + 1 for share in missing if share + 1 not in missing]
    return list(zip(starts, ends, strict=True))


received = days().flatmap(
    lambda day: st.tuples(st.just(day), st.lists(st.integers(0, len(day) - 1), min_size=1, max_size=3 * len(day)))
)
"""A day, and which of its trades came, in which order: any may be missing, come late, or come again."""


@settings(max_examples=300, deadline=None)
@given(received)
def test_what_is_covered_equals_a_model_that_knows_every_share(case: tuple[list[Trade], list[int]]) -> None:
    day, order = case
    came = [day[i] for i in order]
    # Time must not tell a late trade from one after a restart of the count, so all happen in one second here.
    table = SeriesTable()
    table.take_trades(batch([(replace(trade, second=0), lsn) for lsn, trade in enumerate(came)]))
    row = table.rows[0]

    assert holes_of(table) == model(came)
    assert row[kernel.HI] == max(trade.end for trade in came)
    assert row[kernel.MISSING] == sum(high - low for low, high in model(came))
    assert row[kernel.HOLES] == len(model(came))
    assert row[kernel.TRADES] == len(set(order))
    assert row[kernel.DUPLICATES] == len(order) - len(set(order))
    assert row[kernel.VALUE] == sum(day[i].size * day[i].price for i in set(order)) * 100
    faults = [kernel.CONTRADICTIONS, kernel.UNUSABLE, kernel.SUSPECTS, kernel.VALUE_BREAKS, kernel.COUNT_BREAKS]
    assert row[faults].tolist() == [0] * len(faults)


@settings(max_examples=200, deadline=None)
@given(received)
def test_the_value_and_trades_missing_in_each_hole_are_those_withheld(case: tuple[list[Trade], list[int]]) -> None:
    day, order = case
    came = set(order)
    table = SeriesTable()
    table.take_trades(batch([(replace(day[i], second=0), lsn) for lsn, i in enumerate(order)]))
    for gap in seen_of(SERIES, table.rows[0], table.holes_of(0), registered=True).gaps:
        withheld = [
            trade
            for i, trade in enumerate(day)
            if i not in came and gap.from_volume <= trade.begin and trade.end <= gap.to_volume
        ]
        assert gap.shares == sum(trade.size for trade in withheld)
        assert gap.value == sum(trade.size * trade.price for trade in withheld)
        assert gap.trades == len(withheld)


@settings(max_examples=150, deadline=None)
@given(received, st.lists(st.integers(0, 120), max_size=6), st.integers(0, 120))
def test_it_does_not_matter_how_trades_are_cut_nor_where_the_state_is_laid_down(
    case: tuple[list[Trade], list[int]], cuts: list[int], resume_at: int
) -> None:
    day, order = case
    rows = batch([(day[i], lsn) for lsn, i in enumerate(order)])
    whole = SeriesTable()
    whole.take_trades(rows)

    bounds = sorted({0, len(rows), *(cut for cut in [*cuts, resume_at] if cut < len(rows))})
    state = LogState("w")
    for low, high in pairwise(bounds):
        if low == resume_at:
            state = unpack(pack(state), "test")
        state.table.take_trades(rows.slice(low, high - low))

    ours, theirs = state.table, whole
    no_pool = [i for i in range(kernel.FIELDS) if i != kernel.HOLE]
    assert ours.rows[0, no_pool].tolist() == theirs.rows[0, no_pool].tolist()
    no_link = [i for i in range(kernel.HOLE_FIELDS) if i != kernel.NEXT]
    assert [hole[no_link].tolist() for hole in ours.holes_of(0)] == [
        hole[no_link].tolist() for hole in theirs.holes_of(0)
    ]
    assert ours.rings[0].tolist() == theirs.rings[0].tolist()


@settings(max_examples=150, deadline=None)
@given(received)
def test_in_the_order_of_their_volume_the_same_trades_leave_the_same_holes(case: tuple[list[Trade], list[int]]) -> None:
    """Online and batch: one reads as it comes, the other sorted; nothing else differs."""
    day, order = case
    came = [(day[i], lsn) for lsn, i in enumerate(order)]
    online, sorted_ = SeriesTable(), SeriesTable()
    online.take_trades(batch([(replace(trade, second=0), lsn) for trade, lsn in came]))
    in_order = sorted(came, key=lambda each: (each[0].end, each[1]))
    sorted_.take_trades(batch([(replace(trade, second=0), lsn) for trade, lsn in in_order]))
    same = [
        kernel.HI,
        kernel.TRADES,
        kernel.DUPLICATES,
        kernel.MISSING,
        kernel.VALUE,
        kernel.FIRST,
        kernel.CONTRADICTIONS,
    ]
    assert online.rows[0, same].tolist() == sorted_.rows[0, same].tolist()
    assert holes_of(online) == holes_of(sorted_)


NUMBERS = st.one_of(
    st.none(), st.integers(-5, 60), st.sampled_from([2**40, 2**40 + 1, 2**62, 2**63 - 1, -(2**63) + 1, -(2**63)])
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            dict.fromkeys(("cum_volume", "size", "cum_value", "buy_count", "sell_count"), NUMBERS)
            | {"price": st.one_of(st.none(), st.floats(width=64)), "second": st.one_of(st.none(), st.integers(0, 3))}
            | {"source": st.sampled_from(["ws", "rest", None]), "side": st.sampled_from(["buy", "sell", "9", None])}
        ),
        max_size=60,
    )
)
def test_no_record_however_absurd_breaks_the_state(records: list[dict[str, Any]]) -> None:
    rows = [
        {
            **dict(zip(("date", "scope", "symbol"), SERIES, strict=True)),
            "lsn": lsn,
            "ts_recv": OPEN_US + lsn,
            "ts_event": None if record["second"] is None else OPEN_US + record["second"] * 1_000_000,
            **{name: value for name, value in record.items() if name != "second"},
        }
        for lsn, record in enumerate(records)
    ]
    table = SeriesTable()
    table.take_trades(pa.RecordBatch.from_pylist([{n: r.get(n) for n in TRADES.names} for r in rows], schema=TRADES))
    if not len(table):
        return
    row, holes = table.rows[0], holes_of(table)
    assert 0 <= row[kernel.HI] <= kernel.MAX_VOLUME
    assert all(low < high for low, high in holes)
    assert all(high <= low for (_, high), (low, _) in pairwise(holes))
    assert not holes or (holes[0][0] >= 0 and holes[-1][1] <= row[kernel.HI])
    assert row[kernel.MISSING] == sum(high - low for low, high in holes)
    assert row[kernel.HOLES] == len(holes)
    taken = [kernel.TRADES, kernel.DUPLICATES, kernel.UNUSABLE, kernel.SUSPECTS]
    assert 0 <= row[taken].sum() <= len(records)
    free, at = 0, int(table.pool[0])
    while at >= 0:
        free, at = free + 1, int(table.holes[at, kernel.NEXT])
    assert free + len(holes) == len(table.holes)


@settings(max_examples=200, deadline=None)
@given(received, st.data())
def test_several_logs_together_have_what_any_of_them_has(
    case: tuple[list[Trade], list[int]], data: st.DataObject
) -> None:
    day, order = case
    came = [replace(day[i], second=0) for i in order]
    owner = data.draw(st.lists(st.integers(0, 2), min_size=len(came), max_size=len(came)))
    seen = []
    for log in sorted(set(owner)):
        table = SeriesTable()
        mine = [(trade, lsn) for lsn, (trade, who) in enumerate(zip(came, owner, strict=True)) if who == log]
        table.take_trades(batch(mine))
        seen.append(seen_of(SERIES, table.rows[0], table.holes_of(0), registered=True))
    whole = united(seen[0], seen[1:])
    assert [(gap.from_volume, gap.to_volume) for gap in whole.gaps] == model(came)
    assert whole.hi == max(trade.end for trade in came)


INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=6)


@given(INTERVALS, INTERVALS)
def test_what_is_left_of_intervals_equals_the_sets_difference(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    def shares(pairs: list[tuple[int, int]]) -> set[int]:
        return {share for low, size in pairs for share in range(low, low + size)}

    def runs(of: set[int]) -> list[tuple[int, int]]:
        return [(s, next(e for e in range(s, 99) if e not in of)) for s in sorted(of) if s - 1 not in of]

    left = without(runs(shares(one)), runs(shares(other)))
    assert {share for low, high in left for share in range(low, high)} == shares(one) - shares(other)
    assert left == sorted(left)
    assert covered_of(40, runs(shares(one))) == runs(set(range(40)) - shares(one))
    assert np.array_equal(np.array(left).reshape(-1), np.array(sorted(np.array(left).reshape(-1))))
