"""What the wire lost comes back over REST, to the share; what the broker cannot give stays open, and says so."""

import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from program import Collector, Here, Simulator, hosu, rows_of, simulator

from hosu.collect.gaps import Gap
from hosu.collect.ledger_rows import Additions
from hosu.lake.lake import Lake
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.locks import FileLock
from hosu.market.ledger import COVERAGE_DAYS

pytestmark = pytest.mark.slow

DAY = date(2026, 9, 15)
CROWDED, PLAIN = "005930", "000660"
CROWD = 45
"""Trades in the crowded second. The simulator's page holds 30, so that the first 15 can't be had."""
PAGE = 30
Trade = tuple[str, int, int]
"""Time, size, cumulative volume."""


def trades_of(symbol: str) -> list[Trade]:
    """A trade a second for two minutes; of CROWDED many in 09:01:40."""
    found: list[Trade] = []
    volume = 0
    for second in range(120):
        for _ in range(CROWD if symbol == CROWDED and second == 100 else 1):
            size = 1 + (second + len(found)) % 7
            volume += size
            found.append((f"09{second // 60:02}{second % 60:02}", size, volume))
    return found


def frame(symbol: str, trade: Trade, number: int) -> str:
    """A record of 46 fields, every trade a purchase at 70,000 won."""
    at, size, volume = trade
    fields = (
        f"{symbol}^{at}^70000^3^0^0.00^70000.00^70000^70000^70000^70000^69900^{size}^{volume}^{volume * 70000}^0"
        f"^{number}^{number}^100.00^0^{volume}^1^1.00^0.10^090000^3^0^090000^3^0^090000^3^0^20260915^20^N^100^100^1000"
        "^1000^0.10^1000^100.00^0^^70000"
    )
    return f"0|H0STCNT0|001|{fields}"


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Both symbols' days, one after the other within each second."""
    listed = [
        (trade[0], symbol, frame(symbol, trade, number))
        for symbol in (CROWDED, PLAIN)
        for number, trade in enumerate(trades_of(symbol), 1)
    ]
    file = tmp_path / "frames.txt"
    file.write_text("\n".join(text for _, _, text in sorted(listed, key=lambda each: each[0])) + "\n")
    return file


def playing(home: Path, frames: Path, faults: str) -> Any:
    day = ("--frames", frames, "--date", DAY, "--rate", 30, "--expect", 2, "--linger", "forever", "--faults", faults)
    return simulator(home, *day)


def collect(home: Path, broker: Simulator, *more: object) -> dict[str, Any]:
    words = (
        "--symbols",
        f"{CROWDED},{PLAIN}",
        "--feeds",
        "trades",
        "--no-bars",
        "--until-idle",
        20,
        "--lake",
        home / "lake",
        *more,
    )
    collector = Collector(home, "collector", broker, *words)
    try:
        return collector.finish().json()
    finally:
        collector.kill()


def in_lake(home: Path, symbol: str) -> set[tuple[str, int, int]]:
    rows = rows_of(
        home / "lake",
        "SELECT strftime(ts_event AT TIME ZONE 'Asia/Seoul', '%H%M%S') AS at, size, cum_volume FROM trades_unique "
        f"WHERE symbol = '{symbol}' AND date = '{DAY}' AND price = 70000",
    )
    return {(row["at"], row["size"], row["cum_volume"]) for row in rows}


def states(home: Path) -> dict[str, str]:
    return {row["symbol"]: row["state"] for row in rows_of(home / "lake", "SELECT symbol, state FROM coverage")}


def open_gaps(home: Path) -> list[tuple[str, int, int]]:
    query = "SELECT symbol, from_volume, to_volume FROM gaps_latest WHERE open ORDER BY ALL"
    return [tuple(row.values()) for row in rows_of(home / "lake", query)]


def crowd() -> list[Trade]:
    return [trade for trade in trades_of(CROWDED) if trade[0] == "090140"]


# Frames lie by time: 200 of the first 100 seconds, then the crowd, PLAIN's trade of that second, and the rest.
LOSSES = "drop@frame:21-40; close@frame:70; drop@frame:201-230"
"""The crowd's first 30 are lost: of these the broker's page has the last 15."""


def beyond_the_page() -> tuple[str, int, int]:
    lost = crowd()[: CROWD - PAGE]
    return CROWDED, lost[0][2] - lost[0][1], lost[-1][2]


def check_repaired(home: Path) -> None:
    """The plain symbol is whole and proved; of the other only what no page holds is missing, and it says why."""
    assert in_lake(home, PLAIN) == {*trades_of(PLAIN)}
    assert in_lake(home, CROWDED) == {*trades_of(CROWDED)} - {*crowd()[: CROWD - PAGE]}
    assert states(home) == {CROWDED: "open", PLAIN: "certified"}
    assert open_gaps(home) == [beyond_the_page()]
    query = "SELECT symbol, from_volume, to_volume, shares, detail FROM gap_events WHERE event = 'unrepairable'"
    told = rows_of(home / "lake", query)
    assert {tuple(row.values())[:3] for row in told} == {beyond_the_page()}
    assert "09:01:40 has more trades than the 30" in told[0]["detail"]


def test_a_collection_repairs_what_it_lost_by_itself(tmp_path: Path, frames: Path) -> None:
    with playing(tmp_path, frames, LOSSES) as broker:
        status = collect(tmp_path, broker, "--repair")
        assert (status["reason"], status["reconnects"]) == ("every feed has ended", 1)
        check_repaired(tmp_path)
    events = {row["event"] for row in rows_of(tmp_path / "lake", "SELECT event FROM gap_events")}
    assert {"opened", "attempted", "unrepairable"} < events
    withheld = json.loads((tmp_path / "sent.json").read_text())["withheld"]["symbols"][f"KRX:{CROWDED}"]["intervals"]
    _, begin, end = beyond_the_page()
    assert any(low <= begin and end <= high for low, high in withheld)


def test_by_hand_the_plan_comes_first_and_nothing_is_asked_before_it_is_agreed_to(tmp_path: Path, frames: Path) -> None:
    lake = tmp_path / "lake"
    with playing(tmp_path, frames, LOSSES) as broker:
        assert collect(tmp_path, broker)["reconnects"] == 1
        before = open_gaps(tmp_path)
        assert len(before) > 2
        asked = ("ledger", "repair", "--lake", lake, "--kis", "simulator", "--rest", broker.addresses[3])
        plan = hosu(tmp_path, *asked, "--format", "json")
        assert [(row["symbol"], row["what"]) for row in plan.json()] == [(CROWDED, "trades"), (PLAIN, "trades")]
        assert "nothing was asked yet; add --yes to begin" in plan.err
        assert open_gaps(tmp_path) == before

        one = hosu(tmp_path, *asked, "--yes", "--symbol", PLAIN, "--format", "json").json()
        assert {row["symbol"] for row in one} == {PLAIN}
        assert {symbol for symbol, _, _ in open_gaps(tmp_path)} == {CROWDED}

        done = hosu(tmp_path, *asked, "--yes", "--date", DAY, "--format", "json")
        assert sum(row["left"] for row in done.json()) == beyond_the_page()[2] - beyond_the_page()[1]
        check_repaired(tmp_path)

        ended = hosu(tmp_path, *asked, "--yes")
        assert ended.code == 1
        assert f"hosu: --date {DAY}: a gap stays open: the second 09:01:40 has more trades" in ended.err

        (again,) = hosu(tmp_path, *asked, "--yes", "--again", "--format", "json").json()
        assert (again["from_volume"], again["to_volume"], again["left"]) == (*beyond_the_page()[1:], again["shares"])
        check_repaired(tmp_path)
    shares = rows_of(lake, "SELECT sum(shares) AS n FROM gap_events WHERE event = 'repaired' AND symbol = '000660'")
    assert shares[0]["n"] == sum(end - begin for symbol, begin, end in before if symbol == PLAIN)


@pytest.fixture
def holed(tmp_path: Path) -> Path:
    """A lake whose ledger knows of one hole, in a session that is long over."""
    lake = Lake.open(str(tmp_path / "lake"))
    gap = Gap("2026-09-15", "KRX", PLAIN, 10, 30, before_ts=1_789_430_400_000_000, after_ts=1_789_430_460_000_000)
    coverage = dict.fromkeys(COVERAGE_DAYS.names) | {
        "date": gap.date, "scope": gap.scope, "symbol": gap.symbol, "revision": 1, "state": "open", "assumptions": [],
        "built_at": 1_789_430_460_000_000,
    }  # fmt: skip
    LakeLedgerStore(lake).add(Additions(gaps=[gap], coverage=[coverage]), None, None)
    return tmp_path / "lake"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--date", "2999-01-04"), "--date 2999-01-04: lies in the future; choose a day up to today"),
        (("--date", "2026-09-16"), "--date 2026-09-16: the ledger knows nothing of it; it knows 2026-09-15"),
        (("--date", "2026-09-19"), "--date 2026-09-19: KRX did not trade (weekend)"),
        (("--symbol", "000001"), "--symbol 000001: the ledger knows nothing of it on 2026-09-15"),
        (("--kis", "simulator"), "--kis simulator: needs --rest; take it from the simulator's first line"),
        (("--kis", "nobody"), "--kis nobody: is unknown; choose live, paper or simulator"),
        (("--yes",), "LIVE_KIS_APP_KEY is not set"),
        (
            ("--kis", "paper", "--yes"),
            "a gap stays open: the broker gives trades of its current day only, and that day is over",
        ),
        (("--kis", "simulator", "--rest", "http://127.0.0.1:9", "--yes"), "repair ended early: http://127.0.0.1:9"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_what_cannot_be_repaired_is_one_sentence(here: Here, holed: Path, words: tuple[str, ...], said: str) -> None:
    ended = here(holed.parent, "ledger", "repair", "--lake", holed, *words)
    assert ended.code == 1, ended
    (sentence,) = [line for line in ended.err.splitlines() if line.startswith("hosu: ")]
    assert said in sentence
    assert "; " in sentence  # and what to do
    assert open_gaps(holed.parent) == [(PLAIN, 10, 30)]


def test_beside_a_collector_nobody_repairs_by_hand(here: Here, holed: Path) -> None:
    with FileLock(holed / ".hosu" / "wal" / "lock", "the log"):
        words = ("--kis", "simulator", "--rest", "http://127.0.0.1:9", "--yes")
        ended = here(holed.parent, "ledger", "repair", "--lake", holed, *words)
    assert ended.code == 1
    assert f"is in use by process {os.getpid()} (" in ended.err
    assert "); that collector repairs by itself" in ended.err


def test_that_the_broker_forgot_is_noted_once(here: Here, holed: Path) -> None:
    for _ in range(2):
        assert here(holed.parent, "ledger", "repair", "--lake", holed, "--kis", "paper").code == 1
    events = rows_of(holed, "SELECT event, shares FROM gap_events")
    assert [tuple(row.values()) for row in events] == [("forgotten", 20)]
