"""Two days collected from the simulator: labels rest on the trades, books and interruptions that were received."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import Collector, hosu, rows_of, simulator

from hosu.features.dataset import build
from hosu.features.dataset_definition import Definition
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.label_parts import LATENCY_US
from hosu.features.labels import Reason
from hosu.features.labels_of_lake import LabelsOfLake
from hosu.features.panel import LabelledRows
from hosu.features.source import KernelSource
from hosu.lake.lake import Lake

pytestmark = pytest.mark.slow

DAYS = ("2026-09-15", "2026-09-16")
SYMBOLS = "005930,000660,035420"
MINUTE = 60_000_000


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facts")
    for seed, day in enumerate(DAYS, 30):  # on the first one symbol moves by a tenth
        market = ("--synthetic", "--date", day, "--symbols", SYMBOLS, "--records", 40_000, "--seed", seed)
        with simulator(folder, *market, "--speed", "max", "--expect", 12, "--token-interval", 0) as broker:
            feeds = ("--feeds", "trades,quotes,expected,market_events")
            options = ("--symbols", SYMBOLS, *feeds, "--lake", folder / "lake")
            running = Collector(folder, f"collector-{day}", broker, *options)
            try:
                ended = running.finish()
            finally:
                running.kill()
            assert ended.code == 0, ended.err
    built = hosu(folder, "lake", "bars", "--lake", "lake")
    assert built.code == 0, built.err
    return folder / "lake"


@pytest.fixture(scope="module")
def rows(lake: Path) -> LabelledRows:
    found = LabelsOfLake(Lake.open(str(lake), create=False), "minute").rows(10)
    assert found is not None
    return found


def told(lake: Path, sql: str) -> dict[str, list[tuple[Any, ...]]]:
    """By symbol, the other columns."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in rows_of(lake, sql):
        symbol, *rest = row.values()
        found.setdefault(symbol, []).append(tuple(rest))
    return found


def test_entry_and_exit_are_the_first_trades_after_the_latency(lake: Path, rows: LabelledRows):
    trades = told(
        lake, "SELECT symbol, epoch_us(ts_event), price FROM trades_unique ORDER BY symbol, ts_event, cum_volume"
    )
    checked = 0
    for at in np.flatnonzero(rows.labelled).tolist():
        mine, t = trades[rows.symbols[rows.symbol[at]]], int(rows.t[at])
        (t0, paid), (t1, got) = (
            next(each for each in mine if each[0] >= when + LATENCY_US) for when in (t, t + 10 * MINUTE)
        )
        assert (int(rows.t0[at]), int(rows.t1[at]), rows.ret_ex[at]) == (t0, t1, got / paid - 1)
        checked += 1
    assert checked > 1_000


def test_the_spread_is_that_of_the_last_book_before_the_decision(lake: Path, rows: LabelledRows):
    books = told(
        lake,
        "SELECT symbol, epoch_us(ts_event), ask_prices[1], bid_prices[1] FROM quotes"
        " WHERE hour_code = '0' ORDER BY symbol, date, lsn, record_no",
    )
    for at in np.flatnonzero(rows.labelled)[::7].tolist():
        mine, t = books[rows.symbols[rows.symbol[at]]], int(rows.t[at])
        _, ask, bid = [each for each in mine if each[0] < t][-1]
        assert rows.half_spread[at] == (ask - bid) / (ask + bid)


def test_no_label_spans_an_interruption_that_the_exchange_told_of(lake: Path, rows: LabelledRows):
    # While an interruption lasts, matches are expected: in continuous trading nothing else tells when it was.
    auctions = told(
        lake,
        "SELECT symbol, epoch_us(ts_event) FROM expected WHERE hour_code = 'C' ORDER BY symbol, ts_event",
    )
    messages = rows_of(lake, "SELECT count(*) AS n FROM market_events WHERE vi_code = 'Y'")
    assert messages[0]["n"] > 0
    assert auctions
    for symbol, times in auctions.items():
        when = np.array([each[0] for each in times])
        mine = np.flatnonzero((rows.symbol == rows.symbols.index(symbol)) & rows.labelled)
        spans = np.searchsorted(when, rows.t[mine]) != np.searchsorted(when, rows.t1[mine], side="right")
        assert not spans.any()
    assert (rows.reason == Reason.HALTED).sum() > 10


def test_what_was_served_are_the_features_that_batch_makes_of_the_same_minutes(lake: Path):
    # Of the first day only: the second begins where the simulator drew it, and the stream knows of no such break.
    opened = Lake.open(str(lake), create=False)
    was, now = (
        build(
            opened,
            KernelSource(SCALE_FREE_V1, "minute"),
            Definition(horizon=10, interval="minute", end=DAYS[0], **more),
        )
        for more in ({"days": "all", "view": "as_served"}, {"days": "all"})
    )

    place = {key: at for at, key in enumerate(zip(now.rows.t.tolist(), now.rows.symbol.tolist(), strict=True))}
    at = [place[key] for key in zip(was.rows.t.tolist(), was.rows.symbol.tolist(), strict=True)]
    np.testing.assert_array_equal(was.rows.features, now.rows.features[at])
    np.testing.assert_array_equal(was.rows.label, now.rows.label[at])
    assert was.left_out["not_served"] == 0
    assert np.isfinite(was.rows.features).all(axis=1).sum() > 900


def test_the_future_cut_off_changes_no_label_and_nothing_known(lake: Path):
    ran = hosu(lake.parent, "check", "lookahead", "--interval", "minute", "--lake", lake, "--format", "json")

    assert ran.code == 0, ran
    assert [row["passes"] for row in ran.json()] == [True] * 3
