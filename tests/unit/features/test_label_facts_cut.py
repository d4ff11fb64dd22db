"""Random days of trades, books and messages: labels are those of a plain search, and know nothing of what follows."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lake_parts import DAYS, books, messages, trades

from hosu.features.dated_rules import day_of
from hosu.features.facts_of_lake import DayFacts, FactsOfLake
from hosu.features.label_parts import LATENCY_US
from hosu.features.label_proof import lookahead
from hosu.features.labels_of_lake import LabelsOfLake
from hosu.features.panel import LabelledRows
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build
from hosu.market.calendar import instant_us

MINUTE, SECOND = 60_000_000, 1_000_000
KNOWN = ("price", "band", "half_spread", "value_20", "ret_last")
LABEL = ("t0", "t1", "ret_px", "ret_ex", "label", "reason")
Events = dict[str, list[tuple[Any, ...]]]


def clock(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def drawn(seed: int) -> Events:
    """Some 100 minutes of A, B and C from nine on, in order of time: C trades seldom, and B is interrupted once."""
    chance = random.Random(seed)
    made: Events = {"trades": [], "quotes": [], "market_events": []}
    price, cum = dict.fromkeys("ABC", 10_000.0), dict.fromkeys("ABC", 0)
    for second in range(9 * 3600, 9 * 3600 + 6_000):
        for symbol, pace in (("A", 0.2), ("B", 0.1), ("C", 0.03)):
            while chance.random() < pace:
                price[symbol] += 10 * chance.randint(-2, 2)
                cum[symbol] += 1
                made["trades"].append((clock(second), price[symbol], cum[symbol], {"symbol": symbol}))
            if chance.random() < pace:
                width = 10 * chance.randint(0, 4)  # 0: locked, no spread
                made["quotes"].append((clock(second), price[symbol] + width, price[symbol], {"symbol": symbol}))
    begun = 9 * 3600 + chance.randrange(2_400, 4_800)
    at = (clock(begun), {"symbol": "B", "vi_code": "Y"}), (clock(begun + 130), {"symbol": "B"})
    made["market_events"] += at
    return made


def fill(home: Path, days: dict[str, Events], until: str = "24:00:00") -> Lake:
    """A lake with the days' events, of the last day those before ``until``, and the bars that hosu makes of them."""
    lake = Lake.open(str(home))
    for day, events in days.items():
        mine = {name: [row for row in rows if day != max(days) or row[0] < until] for name, rows in events.items()}
        for put, name in ((trades, "trades"), (books, "quotes"), (messages, "market_events")):
            put(lake, day, *mine[name])
    build(lake)
    return lake


def labelled(lake: Lake) -> LabelledRows:
    found = LabelsOfLake(lake, "minute").rows(10)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def days() -> dict[str, Events]:
    return {day: drawn(seed) for seed, day in enumerate(DAYS[:3])}


@pytest.fixture(scope="module")
def lake(days: dict[str, Events], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return fill(tmp_path_factory.mktemp("whole") / "lake", days)


def second_of(us: int) -> str:
    return clock((us // SECOND + 9 * 3600) % 86_400)


def test_entry_exit_and_spread_are_what_a_plain_search_finds(lake: Lake, days: dict[str, Events]) -> None:
    rows = labelled(lake)
    measured = 0

    for at in np.flatnonzero(rows.labelled).tolist():
        symbol, day = rows.symbols[rows.symbol[at]], days[rows.sessions[rows.session[at]]]
        told = [row for row in day["trades"] if row[3]["symbol"] == symbol]
        t = int(rows.t[at])
        enter, leave = (
            next(row for row in told if row[0] >= second_of(when + LATENCY_US)) for when in (t, t + 10 * MINUTE)
        )
        assert (second_of(int(rows.t0[at])), second_of(int(rows.t1[at]))) == (enter[0], leave[0])
        assert rows.ret_ex[at] == leave[1] / enter[1] - 1
        books_ = [row for row in day["quotes"] if row[3]["symbol"] == symbol and row[0] < second_of(t)]
        if books_ and books_[-1][1] > books_[-1][2] and books_[-1][0] >= second_of(t - 5 * MINUTE):
            _, ask, bid, _ = books_[-1]
            assert rows.half_spread[at] == (ask - bid) / (ask + bid)
            measured += 1

    assert rows.labelled.sum() > 300
    assert measured > 200


def test_no_label_spans_the_interruption(lake: Lake, days: dict[str, Events]) -> None:
    rows = labelled(lake)

    for session, events in enumerate(days.values()):
        begun, ended = (row[0] for row in events["market_events"])
        mine = rows.labelled & (rows.symbol == 1) & (rows.session == session)
        spans = [(second_of(int(rows.t[at])), second_of(int(rows.t1[at]))) for at in np.flatnonzero(mine)]
        assert spans
        assert all(t >= ended or t1 < begun for t, t1 in spans)


@pytest.mark.parametrize("until", ["09:31:00", "10:00:00", "10:17:42"])
def test_what_comes_behind_an_instant_changes_nothing_before_it(
    lake: Lake, days: dict[str, Events], tmp_path: Path, until: str
) -> None:
    whole, part = labelled(lake), labelled(fill(tmp_path / "lake", days, until))
    place = {key: at for at, key in enumerate(zip(whole.symbol.tolist(), whole.t.tolist(), strict=True))}
    last = part.session == 2
    # The bar in which the cut lies is not over.
    past = np.flatnonzero(~last | np.array([second_of(int(t)) <= until for t in part.t]))
    at = np.array([place[key] for key in zip(part.symbol[past].tolist(), part.t[past].tolist(), strict=True)])

    for name in KNOWN:
        np.testing.assert_array_equal(getattr(whole, name)[at], getattr(part, name)[past], err_msg=name)
    ended = part.labelled[past]
    for name in LABEL:
        theirs, ours = getattr(whole, name)[at][ended], getattr(part, name)[past][ended]
        np.testing.assert_array_equal(theirs, ours, err_msg=name)
    assert (last[past] & ended).any()


def by_date(labels: LabelsOfLake) -> Callable[[int | None], LabelledRows]:

    def load(end: int | None) -> LabelledRows:
        until = None if end is None else f"{end // 10_000}-{end // 100 % 100:02d}-{end % 100:02d}"
        found = labels.rows(10, end=until)
        assert found is not None
        return found

    return load


def test_days_cut_off_change_nothing_before_them_either(lake: Lake) -> None:
    found = lookahead(by_date(LabelsOfLake(lake, "minute", remember=True)), cuts=2)

    assert found.passes, found.examples
    assert found.compared > 1_000


def test_events_that_are_read_of_the_next_date_are_found(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    read = FactsOfLake._read

    def of_the_next(self: FactsOfLake, date: int) -> DayFacts:
        later = (int(day.replace("-", "")) for day in sorted(self._dates["trades"]))
        other = next((each for each in later if each > date), date)
        found, back = read(self, other), instant_us(day_of(date), 0) - instant_us(day_of(other), 0)
        moved = {name: getattr(found, name)._replace(ts=getattr(found, name).ts + back) for name in ("trades", "books")}
        return found._replace(begin_us=found.begin_us + back, end_us=found.end_us + back, **moved)

    monkeypatch.setattr(FactsOfLake, "_read", of_the_next)
    found = lookahead(by_date(LabelsOfLake(lake, "minute", remember=True)), cuts=2)
    assert {"half_spread", "ret_ex"} <= set(found.differing)
