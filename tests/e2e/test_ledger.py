"""Is the day whole? The real program, cut off and killed, against what the simulator says it sent."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import Collector, Here, hosu, rows_of, simulator

DAY = "2025-09-15"
FOUR = "000150,000660,00680K,0080Y0"
SYMBOLS = "005930,000660,035420"
ENDLESS = (
    *("--synthetic", "--date", "2026-09-15", "--symbols", SYMBOLS, "--records", "500000", "--rate", "3000"),
    *("--away", "run", "--token-interval", "0"),
)
MISSING = """
    SELECT symbol, max(cum_volume) - sum(size)::BIGINT AS missing FROM trades_unique GROUP BY symbol ORDER BY symbol
"""
HOLES = """
    WITH steps AS (
      SELECT symbol, cum_volume - size AS begin,
             lag(cum_volume, 1, 0) OVER (PARTITION BY symbol ORDER BY cum_volume) AS before
      FROM trades_unique)
    SELECT symbol, before AS from_volume, begin AS to_volume FROM steps WHERE begin > before ORDER BY ALL
"""

HOLES_OF_THE_LAST = f"""
    WITH trades_unique AS (SELECT * FROM main.trades_unique WHERE date = '2026-09-16') {HOLES.replace("WITH", ",", 1)}
"""


def gaps_of(lake: Path) -> list[dict[str, Any]]:
    return hosu(lake.parent, "ledger", "gaps", "--lake", lake, "--format", "json").json()


def days_of(lake: Path) -> dict[str, dict[str, Any]]:
    shown = hosu(lake.parent, "ledger", "show", "--lake", lake, "--format", "json").json()
    return {row["symbol"]: row for row in shown}


def holes(gaps: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(gap["symbol"], gap["from_volume"], gap["to_volume"]) for gap in gaps]


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_day_is_certified_to_the_share(shared: Path, tmp_path: Path) -> None:
    bars = shared / "krx_1m_bars" / "krx_1m_2025-09.parquet"
    lake = tmp_path / "lake"
    with simulator(
        tmp_path, "--bars", bars, "--date", DAY, "--speed", "max", "--expect", 4, "--symbols", FOUR
    ) as broker:
        collector = Collector(tmp_path, "collector", broker, "--symbols", "all", "--feeds", "trades", "--lake", lake)
        status = collector.finish().json()
        report = broker.report()
    assert status["ledger"] == {"open_gaps": 0, "missing_shares": 0}
    days = days_of(lake)
    truth = {key.removeprefix("KRX:"): facts for key, facts in report["symbols"].items()}
    assert {symbol: day["shares"] for symbol, day in days.items()} == {s: f["shares"] for s, f in truth.items()}
    assert {symbol: day["trades"] for symbol, day in days.items()} == {s: f["trades"] for s, f in truth.items()}
    assert {symbol: day["value"] for symbol, day in days.items()} == {s: f["value"] for s, f in truth.items()}
    assert {day["state"] for day in days.values()} == {"certified"}
    assert {day["witness"] for day in days.values()} == {"poll after the end of the day"}
    assert gaps_of(lake) == []

    judged = hosu(tmp_path, "ledger", "certify", "--lake", lake, "--format", "json").json()
    assert [(row["date"], row["symbols"], row["certified"], row["missing_shares"]) for row in judged] == [
        (DAY, 4, 4, 0)
    ]
    again = tmp_path / "again"
    hosu(tmp_path, "replay", lake / "raw" / "frames", "--lake", again, "--no-bars", "--format", "json").json()
    rebuilt = {symbol: {**day, "built_at": None, "revision": None} for symbol, day in days_of(again).items()}
    assert rebuilt == {symbol: {**day, "built_at": None, "revision": None} for symbol, day in days.items()}


@pytest.mark.slow
def test_what_was_lost_while_the_collector_was_dead_is_listed_to_the_share(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    # No books: thousands come before the open, and who is killed among them has no trade yet.
    options = ("--symbols", SYMBOLS, "--feeds", "trades", "--lake", lake, "--no-bars", "--format", "json")
    with simulator(tmp_path, *ENDLESS, "--expect", "3") as broker:
        Collector(tmp_path, "first", broker, *options).kill_at(1_000)
        second = Collector(tmp_path, "second", broker, *options)
        try:
            # What the first had received but not yet reported may be more than it reported: count from the start.
            second.until(lambda: second.durable_lsn >= 0, "the second had begun")
            begun_at = second.durable_lsn
            second.until(lambda: second.durable_lsn >= begun_at + 1_000, "the second had received something")
            broker.signal(signal.SIGINT)
            assert second.finish().json()["ledger"]["open_gaps"] > 0
            report = broker.report()
        finally:
            second.kill()
    gaps, days = gaps_of(lake), days_of(lake)
    assert holes(gaps) == [tuple(row.values()) for row in rows_of(lake, HOLES)]
    missing = {row["symbol"]: row["missing"] for row in rows_of(lake, MISSING)}
    assert {symbol: day["missing_shares"] for symbol, day in days.items()} == missing
    unsent = report["unsent"]["symbols"]
    lost = {symbol: unsent[f"KRX:{symbol}"]["shares"] for symbol in missing}
    assert all(missing[symbol] >= shares > 0 for symbol, shares in lost.items())
    assert {gap["cause"] for gap in gaps} == {"outage"}
    assert all("without a word" in gap["detail"] for gap in gaps)
    assert {day["state"] for day in days.values()} == {"open"}

    again = tmp_path / "again"
    hosu(tmp_path, "replay", lake / "raw" / "frames", "--lake", again, "--no-bars", "--format", "json").json()
    assert holes(gaps_of(again)) == holes(gaps)
    judged = hosu(tmp_path, "ledger", "certify", "--lake", lake, "--format", "json").json()
    assert judged[0]["missing_shares"] == sum(missing.values())
    assert holes(gaps_of(lake)) == holes(gaps)


@pytest.mark.slow
def test_a_collector_that_comes_late_and_leaves_early_says_so(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    options = ("--symbols", SYMBOLS, "--feeds", "trades", "--no-poll", "--no-bars")
    with simulator(tmp_path, *ENDLESS, "--expect", "3") as broker:
        other = Collector(tmp_path, "other", broker, *options, "--lake", tmp_path / "elsewhere")
        other.until(lambda: other.durable_lsn > 1_000, "the day had begun")
        other.signal(signal.SIGTERM)
        other.finish()
        late = Collector(tmp_path, "late", broker, *options, "--lake", lake)
        late.until(lambda: late.durable_lsn > 1_000, "the late one had received something")
        late.signal(signal.SIGTERM)
        late.finish()
    gaps, days = gaps_of(lake), days_of(lake)
    assert {(gap["from_volume"], gap["cause"]) for gap in gaps} == {(0, "late start")}
    assert holes(gaps) == [tuple(row.values()) for row in rows_of(lake, HOLES)]
    assert {day["state"] for day in days.values()} == {"open"}


@pytest.mark.slow
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
@pytest.mark.parametrize("table", ["gaps", "coverage_days"])
def test_a_damaged_ledger_loses_no_trade_and_is_repaired_to_the_share(
    tmp_path: Path, table: str, harm: Callable[[Path], object]
) -> None:
    lake = tmp_path / "lake"
    options = ("--feeds", "trades", "--symbols", SYMBOLS, "--lake", lake, "--no-bars", "--no-features")

    def collected(name: str, date: str) -> int:
        home = tmp_path / name
        home.mkdir()
        words = ("--synthetic", "--date", date, "--symbols", SYMBOLS, "--records", "6000", "--speed", "max")
        with simulator(home, *words, "--faults", "drop=1/300", "--expect", "3", "--token-interval", "0") as broker:
            ended = Collector(home, name, broker, *options).finish()
            assert ended.code == 0, ended.err
            said = ended.err.count("the ledger waits with what it should tell")
            assert said == (name == "second")
            report = broker.report()
        return sum(facts["trades"] for facts in report["symbols"].values())

    first = collected("first", "2026-09-15")
    before = gaps_of(lake)
    assert before
    for path in (lake / "raw" / "ledger" / table).glob("date=*/*.parquet"):
        harm(path)
    second = collected("second", "2026-09-16")
    assert [row["n"] for row in rows_of(lake, "SELECT count(*) AS n FROM trades")] == [first + second]
    for verb in ("show", "gaps") if table == "gaps" else ("show", "certify"):
        refused = hosu(tmp_path, "ledger", verb, "--date", "2026-09-15", "--lake", lake)
        assert refused.code == 1
        assert f"table {table} is damaged" in refused.err
        assert "run: hosu lake verify --repair" in refused.err

    repaired = hosu(tmp_path, "lake", "verify", "--repair", "--yes", "--lake", lake)
    assert repaired.code == 0, repaired.err
    found = hosu(tmp_path, "ledger", "gaps", "--date", "2026-09-15", "--lake", lake, "--format", "json").json()
    told = [{name: gap[name] for name in gap if name not in ("lsn", "wal_id", "revision")} for gap in before]
    assert [{name: gap[name] for name in told[0]} for gap in found] == told
    assert holes(gaps_of(lake)) == [tuple(row.values()) for row in rows_of(lake, HOLES_OF_THE_LAST)]


WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "a malformed date": (("show", "--date", "15.9.2025"), 2, "15.9.2025 is no date; write it as YYYY-MM-DD"),
    "a future date": (("gaps", "--date", "2099-01-05"), 1, "--date 2099-01-05: lies in the future; choose a day up to"),
    "a date without data": (
        ("show", "--date", "2025-09-16"),
        1,
        "--date 2025-09-16: the ledger knows nothing of it; it knows 2026-09-15 to 2026-09-15 (1 day)",
    ),
    "a day without trading": (
        ("show", "--date", "2025-09-14"),
        1,
        "--date 2025-09-14: KRX did not trade (weekend), and the ledger knows nothing of it; it knows 2026-09-15",
    ),
    "a date to judge without data": (
        ("certify", "--date", "2025-09-16"),
        1,
        "--date 2025-09-16: the lake knows nothing of it; it knows 2026-09-15 to 2026-09-15",
    ),
    "an unknown symbol": (
        ("show", "--symbol", "999999"),
        1,
        "--symbol 999999: the ledger knows nothing of it on 2026-09-15; see: hosu ledger show --date 2026-09-15",
    ),
    "no symbol at all": (("gaps", "--symbol", "'; DROP TABLE gaps"), 1, "hosu: "),
    "an unknown scope": (("show", "--scope", "NYSE"), 2, "--scope is KRX, NXT or UN"),
    "a scope that was not collected": (
        ("show", "--symbol", "005930", "--scope", "UN"),
        1,
        "--symbol 005930: the ledger knows nothing of it in UN on 2026-09-15",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_bad_input_is_refused_with_a_sentence(
    case: tuple[tuple[str, ...], int, str], demo_lake: Path, tmp_path: Path, here: Here
) -> None:
    words, code, text = case
    ran = here(tmp_path, "ledger", *words, "--lake", demo_lake)
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", ran.err).split())
    assert (ran.code, ran.out) == (code, "")
    assert text in said
    assert "a fault of its own" not in said
    assert "Traceback" not in said


def test_an_empty_lake_has_no_ledger(tmp_path: Path, here: Here) -> None:
    from hosu.lake.lake import Lake

    Lake.open(str(tmp_path / "lake"))
    for words, text in (
        (("show",), "its ledger is empty; collect or replay a day, or run: hosu ledger certify"),
        (("certify",), "holds no trades, books or polls yet; collect or replay a day"),
    ):
        ran = here(tmp_path, "ledger", *words, "--lake", "lake")
        assert ran.code == 1
        assert text in ran.err


def test_the_rules_say_how_each_is_known(tmp_path: Path, here: Here) -> None:
    import json

    shown = here(tmp_path, "ledger", "rules", "--date", "2026-09-15", "--scope", "KRX", "--format", "json")
    rules = {rule["name"]: rule["evidence"] for rule in json.loads(shown.out)}
    assert rules["steps_by_size"] == "proved"
    assert rules["quiet_after_close"] == "assumed"
    assert "single_price_in_stream" not in rules
