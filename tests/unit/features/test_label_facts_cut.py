"""Random days of trades, books and messages: labels are those of a plain search, and know nothing of what follows."""

from dataclasses import fields
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from drawn_days import Events, clock, drawn, fill
from lake_parts import DAYS

from hosu.features.dated_rules import day_of
from hosu.features.facts_of_lake import DayFacts, FactsOfLake
from hosu.features.label_parts import LATENCY_US
from hosu.features.label_proof import lookahead
from hosu.features.labels_of_lake import LabelsOfLake
from hosu.features.panel import LabelledRows
from hosu.features.proofs import Cut
from hosu.lake.lake import Lake
from hosu.market.calendar import instant_us

MINUTE, SECOND = 60_000_000, 1_000_000


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
def test_a_cut_at_an_instant_is_a_lake_in_which_nothing_has_happened_since(
    lake: Lake, days: dict[str, Events], tmp_path: Path, until: str
) -> None:
    day, instant = DAYS[2], instant_of(DAYS[2], until)
    stopped = labelled(fill(tmp_path / "lake", days, until))

    cut = LabelsOfLake(lake, "minute", remember=True).before(Cut(int(day.replace("-", "")), instant))(10)

    assert cut is not None
    # Of the bar in which the cut lies only what has traded before it is known, and its row is not decided yet.
    ours, theirs = (rows.where(rows.t <= instant) for rows in (cut, stopped))
    for name in (each.name for each in fields(LabelledRows)):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    assert (ours.labelled & (ours.session == 2)).any()


def instant_of(day: str, text: str) -> int:
    hours, minutes, seconds = map(int, text.split(":"))
    return instant_us(date.fromisoformat(day), hours * 3600 + minutes * 60 + seconds)


@pytest.mark.parametrize("within_days", [True, False])
def test_what_is_cut_off_changes_nothing_before_it(lake: Lake, within_days: bool) -> None:
    found = lookahead(LabelsOfLake(lake, "minute", remember=True).before, [10, 30], within_days=within_days, cuts=12)

    assert [each.differing for each in found.values()] == [{}, {}]
    assert all(each.passes for each in found.values())
    assert [len(each.cuts) for each in found.values()] == ([12, 12] if within_days else [2, 2])
    assert found[10].compared > 1_000


def test_each_date_s_events_are_read_once_and_once_more_for_each_cut_in_it(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, asked = FactsOfLake._read, list[int]()

    def counted(self: FactsOfLake, date: int) -> DayFacts:
        asked.append(date)
        return read(self, date)

    monkeypatch.setattr(FactsOfLake, "_read", counted)
    lookahead(LabelsOfLake(lake, "minute", remember=True).before, [10, 30], within_days=True, cuts=8)

    assert len(asked) == 3 + 8


@pytest.mark.parametrize("within_days", [True, False])
def test_events_that_are_read_of_the_next_date_are_found(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, within_days: bool
) -> None:
    read = FactsOfLake._read

    def of_the_next(self: FactsOfLake, date: int) -> DayFacts:
        later = (int(day.replace("-", "")) for day in sorted(self._dates["trades"]))
        other = next((each for each in later if each > date), date)
        found, back = read(self, other), instant_us(day_of(date), 0) - instant_us(day_of(other), 0)
        moved = {name: getattr(found, name)._replace(ts=getattr(found, name).ts + back) for name in ("trades", "books")}
        return found._replace(begin_us=found.begin_us + back, end_us=found.end_us + back, **moved)

    monkeypatch.setattr(FactsOfLake, "_read", of_the_next)
    made = LabelsOfLake(lake, "minute", remember=True)
    found = lookahead(made.before, [10], within_days=within_days, cuts=10)
    assert {"half_spread", "ret_ex"} <= set(found[10].differing)
