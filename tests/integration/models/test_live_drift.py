"""Drift of live predictions: which features, whether the errors, since when; clear words where it is too early."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pytest

from hosu.cli.models import drift as drift_command
from hosu.cli.output import Format
from hosu.clock import SimulatedClock
from hosu.errors import InputError
from hosu.lake.derived import replace_dates
from hosu.lake.tables import TABLES
from hosu.market.calendar import instant_us, sessions_between
from hosu.market.predictions import PREDICTION_SCHEMAS
from hosu.models.drift_page import as_html
from hosu.models.journal import add_new
from hosu.models.live_drift import LASTING, as_rows, drift_of
from hosu.models.registry import Registry
from model_cases import NAMES, SET, packed

pytest.importorskip("onnxruntime")
pytest.importorskip("river")

MODEL = "day-1"
DAYS = [day.isoformat() for day in sessions_between(dt.date(2025, 6, 1), dt.date(2026, 1, 10))]
SYMBOLS = [f"{number:06d}" for number in range(400)]


@pytest.fixture
def registry(lake) -> Registry:
    made = Registry(lake, SimulatedClock())
    made.register(MODEL, packed(model=MODEL, horizon=1, interval="day"), {}, "edge")
    made.promote(MODEL, 1, "better")
    return made


def table_of(columns, schema):
    """The columns, those that are one value repeated, and nulls for the rest."""
    count = len(columns["symbol"])
    filled = {name: value if isinstance(value, list | pa.Array) else [value] * count for name, value in columns.items()}
    return pa.table(
        {each.name: pa.array(filled[each.name], each.type) if each.name in filled else pa.nulls(count, each.type)
         for each in schema},
        schema=schema,
    )  # fmt: skip


def start_of(day):
    return dt.datetime.fromtimestamp(instant_us(dt.date.fromisoformat(day), 0) / 1e6, dt.UTC)


def features(lake, days, null=0.0):
    """Features spread as in training but for ``b``, which lies so many deviations higher, by day."""
    made = {}
    for day, moved in days.items():
        values = np.random.default_rng(int(day.replace("-", ""))).normal(size=(len(SYMBOLS), len(NAMES)))
        values[:, NAMES.index("b")] += moved
        rows = [None if at < null * len(SYMBOLS) else row for at, row in enumerate(values.tolist())]
        told = {"symbol": SYMBOLS, "scope": "KRX", "session_set": "regular", "ts": start_of(day), "features": rows}
        made[day] = table_of({**told, "feature_set": SET, "revision": 1}, TABLES["ml_features"].file_schema)
    replace_dates(lake, "ml_features", made.items())


def key_of(day, version, symbols):
    told = {"symbol": list(symbols), "scope": "KRX", "ts": start_of(day), "interval": "day", "horizon": 1}
    return {**told, "model": MODEL, "model_version": version}


def schema_of(name):
    return pa.schema([each for each in PREDICTION_SCHEMAS[name] if each.name != "date"])


def predictions(lake, days, version=1, symbols=SYMBOLS):
    """Predictions of up with so much of the probability that a move has, by day."""
    made = {}
    for day, up in dict(days).items():
        at = start_of(day)
        told = {"role": "champion", "decided_at": at + dt.timedelta(hours=15.5), "made_at": at, "verdict": "edge"}
        said = {"price": 1_000.0, "predicted_price": 1_000.0, "p_down": 1 - up, "p_flat": 0.0, "p_up": up}
        columns = {**key_of(day, version, symbols), **told, **said, "score": 2 * up - 1}
        made[day] = table_of(columns, schema_of("predictions"))
    add_new(lake, "predictions", made)


def outcomes(lake, days, symbols=SYMBOLS[:3]):
    """The same, and everything went up."""
    predictions(lake, days, symbols=symbols)
    made = {}
    for day in days:
        left = start_of(day) + dt.timedelta(days=1)
        became = {"entered_at": left, "left_at": left, "ret_px": 0.01, "ret_ex": 0.01, "band": 0.005, "direction": 1}
        became |= {"half_spread": 0.001, "value_20": 1e9, "scored_at": left}
        made[day] = table_of({**key_of(day, 1, symbols), **became}, schema_of("outcomes"))
    add_new(lake, "outcomes", made)


def both(lake, days, null=0.0):
    """Features, and predictions of all of them."""
    features(lake, days, null)
    predictions(lake, dict.fromkeys(days, 0.5))


def by_feature(found):
    return {each.feature: each for each in found.features}


def test_a_feature_that_has_moved_for_days_drifts_since_the_first_of_them(lake, registry):
    both(lake, {day: 2.0 * (at >= 4) for at, day in enumerate(DAYS[:12])})
    (found,) = drift_of(lake, registry, [MODEL])
    assert (found.version, found.role) == (1, "champion")
    told = by_feature(found)
    assert (told["b"].word, told["b"].since) == ("drifts", DAYS[4])
    assert [each.word for _, each in told["b"].days] == [*["stable"] * 4, *["moved"] * 8]
    assert [told[name].since for name in ("a", "c")] == [None, None]
    assert drift_of(lake, registry, [MODEL]) == [found]


def test_one_ordinary_session_ends_the_run(lake, registry):
    both(lake, {day: 2.0 * (at != 4) for at, day in enumerate(DAYS[:8])})
    (found,) = drift_of(lake, registry, [MODEL])
    assert (by_feature(found)["b"].word, by_feature(found)["b"].since) == ("moved", None)


def test_only_rows_that_were_predicted_count_once_whoever_else_has_features(lake, registry):
    mine, others = SYMBOLS[:200], SYMBOLS[200:]
    day = DAYS[0]
    features(lake, {day: 2.0})
    predictions(lake, {day: 0.5}, symbols=mine)
    predictions(lake, {day: 0.5}, version=7, symbols=others)
    registry.register(MODEL, packed(model=MODEL, horizon=1, interval="day", certified_only=True), {}, "edge")
    registry.challenge(MODEL, 2, "newer")
    first, second = drift_of(lake, registry, [MODEL])
    assert (second.version, second.role, second.features) == (2, "challenger", ())
    assert second.unsaid[0].startswith("inputs: it has not predicted yet")
    assert len(by_feature(first)["b"].days) == 1
    assert by_feature(first)["b"].word == "moved"


def test_too_few_sessions_are_told_and_rows_without_features_counted(lake, registry):
    both(lake, dict.fromkeys(DAYS[:3], 3.0), null=0.25)
    (found,) = drift_of(lake, registry, [MODEL])
    assert found.unsaid == (
        f"inputs: 3 of the {LASTING} sessions that a drift lasts",
        "errors: no outcome is known; `hosu score` adds those that have matured",
    )
    assert by_feature(found)["b"].days[-1][1].null == 0.25
    assert by_feature(found)["b"].since is None


def test_only_the_newest_sessions_are_looked_at(lake, registry):
    both(lake, dict.fromkeys(DAYS[:9], 0.0))
    (found,) = drift_of(lake, registry, [MODEL], sessions=6)
    assert [date for date, _ in by_feature(found)["a"].days] == DAYS[3:9]
    with pytest.raises(InputError, match="are fewer than the 5 a drift lasts"):
        drift_of(lake, registry, [MODEL], sessions=4)


def test_errors_that_rise_are_told_with_their_session_once(lake, registry):
    chance = np.random.default_rng(3)
    outcomes(lake, {day: 0.62 - 0.25 * (at >= 60) + chance.normal(0, 0.02) for at, day in enumerate(DAYS[:140])})
    (found,) = drift_of(lake, registry, [MODEL])
    assert [date for date, _ in found.error_days] == DAYS[:140]
    (change,) = found.errors
    assert DAYS[60] <= change.date <= DAYS[130]
    assert change.after > change.before
    (row,) = [row for row in as_rows([found]) if row["what"] == "errors"]
    assert (row["says"], row["since"], row["sessions"]) == ("risen", change.date, 140)


def test_steady_errors_are_stable_and_few_are_told_to_be_few(lake, registry):
    outcomes(lake, dict.fromkeys(DAYS[:20], 0.6))
    (found,) = drift_of(lake, registry, [MODEL])
    assert found.unsaid[-1] == "errors: 20 of the 31 sessions that a change needs"
    outcomes(lake, dict.fromkeys(DAYS[20:40], 0.6))
    (found,) = drift_of(lake, registry, [MODEL])
    assert (found.errors, len(found.error_days)) == ((), 40)
    assert [row["says"] for row in as_rows([found]) if row["what"] == "errors"] == ["stable"]


def test_of_the_prior_there_are_no_inputs_and_a_damaged_version_says_so(lake, registry, tmp_path):
    (tmp_path / "lake" / registry.version(MODEL, 1).card["folder"] / "serve.json").write_bytes(b"{}")
    day, minute = drift_of(lake, registry, [MODEL, "minute-10"])
    assert "is not what was registered" in day.unsaid[0]
    assert minute.unsaid[0] == "inputs: the prior looks at no feature"


def test_the_command_prints_a_row_a_feature_and_what_cannot_be_said(lake, registry, capsys, tmp_path):
    both(lake, dict.fromkeys(DAYS[:6], 2.0))
    root, page = str(lake.root).removeprefix("file://"), tmp_path / "drift.html"
    drift_command(model=MODEL, sessions=20, report=str(page), lake=root, format_=Format.json)
    rows = json.loads(capsys.readouterr().out)
    assert [(row["what"], row["says"], row["since"]) for row in rows] == [
        ("a", "stable", None), ("b", "drifts", DAYS[0]), ("c", "stable", None),
        ("errors", "no outcome is known; `hosu score` adds those that have matured", None),
    ]  # fmt: skip
    assert rows[1]["psi"] > 0.25
    assert rows[1]["newest"] == DAYS[5]
    text = page.read_text(encoding="utf-8")
    assert f"<li>b drifts since {DAYS[0]}</li>" in text
    assert text.count("<polyline") == 4  # three features, and the line above which one has moved
    assert f"sessions from {DAYS[0]} to {DAYS[5]}" in text


def test_a_page_of_nothing_but_words_and_one_of_errors_are_whole(lake, registry):
    assert "has not predicted yet" in as_html(drift_of(lake, registry))
    outcomes(lake, dict.fromkeys(DAYS[:40], 0.6))
    (found,) = drift_of(lake, registry, [MODEL])
    text = as_html([found])
    assert "Errors: of the sessions whose outcomes are known." in text
    assert text.count("<polyline") == 1
