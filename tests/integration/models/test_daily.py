"""Days: predicted behind the close, journaled before the next open, scored when they have matured."""

import asyncio
import datetime as dt
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from daily_parts import CLOSES, DAY, DAYS, LATER, NEXT, SYMBOLS, evening_of, put

from hosu.clock import SimulatedClock
from hosu.errors import CommitConflictError, InputError
from hosu.features.build import build
from hosu.features.dated_rules import hours
from hosu.features.definitions import SCALE_FREE_V1
from hosu.lake.derived import replace_dates
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.market.calendar import instant_us
from hosu.models import daily
from hosu.models.daily import predict_day
from hosu.models.live_record import as_rows, days_of, records
from hosu.models.matured import matured, settled_blocks
from hosu.models.registry import Registry
from hosu.models.scoring import score
from hosu.models.seats import Seats


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake.open(str(tmp_path / "lake"))
    put(made, DAYS[:61])
    build(made, "day", [SCALE_FREE_V1])
    return made


@pytest.fixture
def evening():
    """An hour after the close of ``DAY``."""
    return SimulatedClock(start_us=evening_of(DAY))


def predict_each_evening(lake, clock, days, model):
    """Predictions of each day in its evening; then the bars of the next session, and their features."""
    for day in days:
        asyncio.run(clock.advance(max(evening_of(day) - clock.now_us(), 0) / 1e6))
        predict_day(lake, day, models=[model], clock=clock)
        put(lake, [DAYS[DAYS.index(day) + 1]])
        build(lake, "day", [SCALE_FREE_V1])


def asked(lake, sql):
    with Session(lake) as session:
        return [tuple(row.values()) for row in session.query(sql).to_pylist()]


def test_the_prior_predicts_the_newest_day_and_again_adds_nothing(lake, evening):
    done = predict_day(lake, clock=evening)
    assert (done.date, done.rows.num_rows, done.added, done.too_late) == (DAY, 6, 6, False)
    assert predict_day(lake, clock=evening).added == 0
    told = asked(lake, "SELECT symbol, model, price, abstained FROM predictions ORDER BY ALL")
    assert told[0] == ("000660", "day-1", CLOSES["000660"][60], None)
    assert len(told) == 6


def test_the_features_of_a_day_are_hashed_once_whoever_answers(lake, evening, monkeypatch):
    plain, hashed = daily.feature_hash, []

    def counted(features):
        hashed.append(len(features))
        return plain(features)

    monkeypatch.setattr(daily, "feature_hash", counted)
    monkeypatch.setattr("hosu.models.predictor.feature_hash", counted)
    rows = predict_day(lake, clock=evening).rows
    assert hashed == [3]
    told = rows.column("feature_hash").to_pylist()
    assert told[:3] == told[3:]
    assert None not in told


def test_a_model_that_comes_later_adds_its_own_rows(lake, evening):
    assert predict_day(lake, models=["day-1"], clock=evening).added == 3
    assert predict_day(lake, clock=evening).added == 3


def test_who_answers_for_a_champion_that_cannot_is_told_beside_the_rows(lake, evening, capsys):
    from hosu.cli.output import Format
    from hosu.cli.predict import predict

    registry = Registry(lake, evening)
    registry.register("day-1", {"direction.onnx": b"no model"}, {}, "edge")
    registry.promote("day-1", 1, "gate")
    done = predict_day(lake, clock=evening)
    assert set(done.rows.column("model_version").to_pylist()) == {0}
    (told,) = done.notes
    assert told.startswith("day-1: the prior answers in place of version 1: ")

    predict(date=DAY, model=["day-1"], dry=True, lake=str(lake.root), format_=Format.json)
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 3
    assert f"warning: {told}" in printed.err.splitlines()


def test_who_is_promoted_in_the_same_evening_does_not_answer_a_second_time(lake, evening, monkeypatch):
    """The bars of a day have one champion, who is the one that answered first."""
    assert predict_day(lake, clock=evening).notes == ()
    registry = Registry(lake, evening)
    registry.register("day-1", {"direction.onnx": b"a"}, {}, "edge")
    registry.promote("day-1", 1, "gate")
    prior = Seats._prior
    monkeypatch.setattr(Seats, "_load", lambda seats, model, _: prior(seats, model, (0.5, 0.25, 0.25)).served)

    again = predict_day(lake, clock=evening)

    assert set(again.rows.column("model_version").to_pylist()) == {0, 1}
    assert again.added == 0
    assert again.notes == (
        f"day-1: the prior was champion for 3 bars of {DAY}; what version 1 says of them is left out",
    )
    told = asked(lake, "SELECT model, model_version, count(*) FROM predictions GROUP BY ALL ORDER BY ALL")
    assert told == [("day-1", 0, 3), ("day-5", 0, 3)]


def test_where_the_registry_cannot_be_read_the_prior_answers_and_that_is_told(lake, evening):
    Registry(lake, evening).register("day-1", {"direction.onnx": b"no model"}, {}, "edge")
    (log,) = Path(lake.root, "ml", "model_events").rglob("*.parquet")
    log.write_bytes(b"cut off")
    done = predict_day(lake, clock=evening)
    assert (done.added, set(done.rows.column("model_version").to_pylist())) == (6, {0})
    (told,) = done.notes
    assert told.startswith("the registry cannot be read; the prior answers: table model_events is damaged at ")


def test_once_the_next_session_has_opened_nothing_is_journaled(lake, evening):
    asyncio.run(evening.advance(86_400 * 4))
    done = predict_day(lake, DAY, clock=evening)
    assert (done.added, done.too_late) == (0, True)
    assert set(done.rows.column("abstained").to_pylist()) == {
        f"stale: what was decided on {DAY} would have been entered already"
    }
    assert lake.find("predictions") is None


def test_a_day_without_features_and_a_model_that_is_none_are_told_by_name(lake, evening, tmp_path):
    with pytest.raises(InputError, match=f"features of {NEXT}: there are none of scale_free_v1/1 in this lake"):
        predict_day(lake, NEXT, clock=evening)
    with pytest.raises(InputError, match="model 'day-2': does not exist; choose day-1 or day-5"):
        predict_day(lake, models=["day-2"], clock=evening)
    with pytest.raises(InputError, match="predicted live"):
        predict_day(lake, models=["minute-10"], clock=evening)
    with pytest.raises(InputError, match="hosu features build"):
        predict_day(Lake.open(str(tmp_path / "empty")), clock=evening)


def test_nothing_is_scored_before_its_time(lake, evening):
    assert score(lake, clock=evening).waiting == 0
    predict_day(lake, clock=evening)
    done = score(lake, clock=evening)
    assert (done.scored, done.waiting) == (0, 6)


def test_the_prices_of_a_session_that_is_not_over_are_no_outcome(lake, evening):
    predict_day(lake, models=["day-1"], clock=evening)
    put(lake, DAYS[61:62])  # half a day's bars
    close = int(hours([int(NEXT.replace("-", ""))]).close[0])
    noon = SimulatedClock(start_us=close - 4 * 3_600_000_000)
    assert (score(lake, clock=noon).scored, score(lake, clock=noon).waiting) == (0, 3)
    assert score(lake, clock=SimulatedClock(start_us=close)).labelled == 3


def test_features_of_a_bar_that_has_changed_since_are_not_answered_on(lake, evening, monkeypatch):
    monkeypatch.setitem(CLOSES, "005930", [*CLOSES["005930"][:60], 77_700, *CLOSES["005930"][61:]])
    put(lake, DAYS[60:61])
    done = predict_day(lake, models=["day-1"], clock=evening)
    told = dict(zip(*(done.rows.column(name).to_pylist() for name in ("symbol", "abstained")), strict=True))
    assert told == dict.fromkeys(SYMBOLS) | {"005930": "stale: its bar has changed since its features were made"}


def test_outcomes_are_the_returns_that_could_be_had_once(lake, evening):
    predict_day(lake, clock=evening)
    put(lake, DAYS[61:62])
    done = score(lake, clock=LATER)
    assert (done.scored, done.labelled, done.waiting) == (3, 3, 3)
    assert score(lake, clock=LATER).scored == 0
    told = asked(lake, "SELECT symbol, ret_px, ret_ex, brier, reason FROM outcomes ORDER BY ALL")
    for symbol, ret_px, ret_ex, missed, reason in told:
        before, after = CLOSES[symbol][60], CLOSES[symbol][61]
        assert ret_px == pytest.approx(after / before - 1, abs=1e-12)
        assert ret_ex == pytest.approx(after / (before + 100) - 1, abs=1e-12)
        assert missed == pytest.approx(2 / 3)  # thirds: (2/3)² + 2 x (1/3)²
        assert reason is None
    put(lake, DAYS[62:66])
    assert (score(lake, clock=LATER).scored, score(lake, clock=LATER).waiting) == (3, 0)
    assert asked(lake, "SELECT horizon, count(*) FROM outcomes GROUP BY ALL ORDER BY ALL") == [(1, 3), (5, 3)]


def test_a_missing_bar_is_an_outcome_that_says_why(lake, evening):
    predict_day(lake, models=["day-1"], clock=evening)
    put(lake, DAYS[61:62], missing={("005930", NEXT)})
    assert score(lake, clock=LATER).labelled == 2
    told = asked(lake, "SELECT symbol, direction IS NULL, reason, brier FROM outcomes ORDER BY ALL")
    assert told[1] == ("005930", True, "no_entry_bar", None)


def test_a_day_whose_bar_is_gone_ends_with_the_reason_once_its_outcome_would_be_known(lake, evening):
    predict_day(lake, models=["day-5"], clock=evening)
    put(lake, DAYS[60:65], missing={("005930", DAY)})
    assert (score(lake, clock=LATER).scored, score(lake, clock=LATER).waiting) == (0, 3)
    put(lake, DAYS[65:66])
    assert score(lake, clock=LATER).waiting == 0
    told = asked(lake, "SELECT symbol, reason FROM outcomes ORDER BY ALL")
    assert told == [("000660", None), ("005930", "no_bar"), ("035720", None)]


def test_an_interval_that_is_none_is_refused(lake):
    with pytest.raises(InputError, match="interval 'week': is unknown"):
        score(lake, "week")


def test_figures_of_days_have_intervals_once_there_are_two_sessions(lake, evening):
    pytest.importorskip("arch")
    registry = Registry(lake, evening)
    predict_day(lake, models=["day-1"], clock=evening)
    put(lake, DAYS[61:62])
    score(lake, clock=LATER)
    (record,) = records(lake, registry, min_symbols=3)
    assert (record.version, len(record.days)) == (0, 1)
    (row,) = as_rows([record])
    assert (row["sessions"], row["ic"], row["brier"], row["brier_over_prior"]) == (1, 0.0, 0.66667, 0.0)
    assert row["net"] == pytest.approx(record.days[0].figures["net"], abs=1e-5)
    assert [row[f"{name}_95"] for name in ("ic", "brier", "brier_over_prior", "net", "net_over_market")] == [None] * 5
    (few,) = as_rows(records(lake, registry))
    assert (few["ic"], few["brier"], few["net"]) == (None, 0.66667, None)  # three symbols are no cross-section
    build(lake, "day", [SCALE_FREE_V1])
    asyncio.run(evening.advance((instant_us(dt.date.fromisoformat(NEXT), 0) + 61_200_000_000 - evening.now_us()) / 1e6))
    predict_day(lake, models=["day-1"], clock=evening)
    put(lake, DAYS[62:63])
    score(lake, clock=LATER)
    (record,) = records(lake, registry, min_symbols=3)
    assert [day.date for day in record.days] == [DAY, NEXT]
    assert record.figures["ic"].value == 0.0
    assert record.figures["brier"].value == pytest.approx(2 / 3)
    assert record.figures["brier_over_prior"].value == 0.0
    # Thirds rank nobody: all are held alike, so what is above the market is the cost.
    assert record.figures["net_over_market"].value < 0
    assert as_rows([record])[0]["predictions"] == 6
    settled = settled_blocks(lake, "day-1", min_symbols=3)
    assert [ic.tolist() for ic in settled.ic.values()] == [[0.0, 0.0]]


@pytest.mark.slow
def test_of_a_horizon_of_five_sessions_blocks_do_not_share_an_outcome(lake, evening):
    predict_each_evening(lake, evening, DAYS[60:64], "day-5")
    put(lake, DAYS[65:])
    assert score(lake, clock=LATER).labelled == 12
    assert len(settled_blocks(lake, "day-5", min_symbols=3).t) == 1


def test_figures_and_blocks_are_the_same_however_much_of_the_journal_is_read_at_once(lake, evening):
    predict_each_evening(lake, evening, DAYS[60:63], "day-1")
    score(lake, clock=LATER)
    whole, parts = list(matured(lake, "day-1")), list(matured(lake, "day-1", together=4))
    assert (len(whole), len(parts)) == (1, 3)
    ((every,),) = whole
    np.testing.assert_array_equal(np.concatenate([part.rows.t for (part,) in parts]), every.rows.t)
    dates = [days_of(part, np.full(3, 1 / 3), 3) for (part,) in parts]
    assert [day for days in dates for day in days] == days_of(every, np.full(3, 1 / 3), 3)


def test_a_cross_section_of_which_some_still_wait_is_no_evidence_yet(lake, evening):
    predict_day(lake, models=["day-1"], clock=evening)
    put(lake, DAYS[61:62])
    score(lake, clock=LATER)
    outcomes = lake.find("outcomes")
    kept = outcomes.dataset().to_table().slice(1).drop_columns(["date"])
    replace_dates(lake, "outcomes", {DAY: kept}.items())
    assert list(matured(lake, "day-1")) == []
    assert len(settled_blocks(lake, "day-1", min_symbols=1).t) == 0
    score(lake, clock=LATER)
    assert len(settled_blocks(lake, "day-1", min_symbols=1).t) == 1


def test_the_commands_print_what_is_said_and_what_became_of_it(lake, evening, capsys):
    from hosu.cli.output import Format
    from hosu.cli.predict import predict
    from hosu.cli.score import score as score_command

    root = str(lake.root).removeprefix("file://")
    predict(date=DAY, model=["day-1"], top=None, dry=False, lake=root, format_=Format.json)
    told = capsys.readouterr()
    assert '"symbol": "000660"' in told.out or '"symbol":"000660"' in told.out
    assert f"{DAY}: 3 predictions, 0 with an answer, 0 journaled" in told.err
    assert "the next session has opened already" in told.err
    predict_day(lake, models=["day-1"], clock=evening)
    put(lake, DAYS[61:62])
    score_command(interval=["day"], daily=True, update=True, lake=root, format_=Format.json)
    told = capsys.readouterr()
    assert "day: 3 outcomes added, 3 with a label, 0 wait" in told.err
    assert f'"{DAY}"' in told.out


def test_what_cannot_be_scored_or_updated_keeps_nothing_else_back(lake, evening, capsys, monkeypatch):
    from hosu.cli.output import Format
    from hosu.cli.score import score as score_command
    from hosu.models import update

    predict_day(lake, clock=evening)
    put(lake, DAYS[61:62])
    for file in Path(lake.root, "processed", "ohlcv").rglob("*.parquet"):
        file.write_bytes(file.read_bytes()[:100])
    looked_at = []

    def busy(_, __, model, **___):
        looked_at.append(model)
        if model == "day-1":
            raise CommitConflictError("model_events", "others")
        return [update.Step("promoted", 3, "it ranks better")] if model == "minute-10" else []

    monkeypatch.setattr(update, "update", busy)
    with pytest.raises(typer.Exit) as ended:
        score_command(interval=None, daily=False, update=True, lake=str(lake.root), format_=Format.json)

    told = capsys.readouterr()
    said = told.err.splitlines()
    assert ended.value.exit_code == 1
    assert said[0].startswith("hosu: day is not scored: table processed_ohlcv is damaged at ")
    assert said[1:] == [
        "minute: 0 outcomes added, 0 with a label, 0 wait",
        f"hosu: day-1 is not updated: {CommitConflictError('model_events', 'others')}",
        "minute-10: promoted 3: it ranks better",
    ]
    assert looked_at == ["day-1", "day-5", "minute-10", "minute-30"]
    assert told.out == "[]\n"
