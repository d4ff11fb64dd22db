"""Version 0 of days: its base rates are counted once, by what was known, and stay."""

import numpy as np
import pytest
from daily_parts import CLOSES, DAY, DAYS, LATER, evening_of, put

from hosu.clock import SimulatedClock
from hosu.errors import LakeFullError
from hosu.features.build import build
from hosu.features.definitions import SCALE_FREE_V1
from hosu.lake.lake import Lake
from hosu.models.daily import predict_day
from hosu.models.live_record import records
from hosu.models.registry import PRIOR, Registry
from hosu.models.scoring import score

MODEL = "day-1"


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch):
    monkeypatch.setattr("hosu.models.prior.MIN_TRAIN_SESSIONS", 30)


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake.open(str(tmp_path / "lake"))
    put(made, DAYS[:61])
    build(made, "day", [SCALE_FREE_V1])
    return made


@pytest.fixture
def evening():
    return SimulatedClock(start_us=evening_of(DAY))


def said(done):
    return {tuple(row.values()) for row in done.rows.select(["p_down", "p_flat", "p_up"]).to_pylist()}


def shares(days):
    """By hand: from the next open, 100 won above the close, to the next close, against a band of a tick or a quarter of
    the deviation of the last twenty returns."""
    counts = np.zeros(3)
    for closes in CLOSES.values():
        price = np.array(closes[: days + 1], float)
        back = price[1:] / price[:-1] - 1
        for at in range(20, days):
            tick = 50 if price[at] < 50_000 else 100
            band = max(tick / price[at], 0.25 * back[at - 20 : at].std(ddof=1))
            earned = price[at + 1] / (price[at] + 100) - 1
            counts[0 if earned < -band else 2 if earned > band else 1] += 1
    return counts / counts.sum()


def test_the_first_prediction_counts_them_and_they_stay(lake, evening):
    registry = Registry(lake, evening)
    done = predict_day(lake, models=[MODEL], clock=evening)
    (rates,) = said(done)
    assert rates == pytest.approx(tuple(shares(60)), abs=1e-12)
    (event,) = registry.history(MODEL)
    assert (event.event, event.version, event.champion, event.verdict) == ("counted", PRIOR, PRIOR, None)
    assert event.card == {"prior": list(rates), "sessions": 40, "from": DAYS[20], "to": DAYS[59]}
    assert done.counted == (f"day-1: version 0 answers from now on with {event.reason}",)
    assert done.notes == ()

    put(lake, DAYS[61:65])
    build(lake, "day", [SCALE_FREE_V1])
    later = SimulatedClock(start_us=evening_of(DAYS[64]))
    again = predict_day(lake, models=[MODEL], clock=later)
    assert (said(again), again.counted) == ({rates}, ())
    assert len(registry.history(MODEL)) == 1
    assert registry.register(MODEL, {"a": b"1"}, {"prior": [0.1, 0.2, 0.7]}, "no edge") == 1
    assert said(predict_day(lake, models=[MODEL], clock=later)) == {rates}


def test_bars_behind_the_day_count_for_nothing(lake, evening):
    put(lake, DAYS[61:66])
    (rates,) = said(predict_day(lake, DAY, models=[MODEL], clock=evening))
    assert rates == pytest.approx(tuple(shares(60)), abs=1e-12)


def test_what_is_only_printed_says_the_same_and_keeps_nothing(lake, evening):
    done = predict_day(lake, models=[MODEL], journal=False, clock=evening)
    (rates,) = said(done)
    assert rates == pytest.approx(tuple(shares(60)), abs=1e-12)
    assert done.counted == ()
    assert Registry(lake, evening).history(MODEL) == []


def test_a_registration_before_them_is_what_tells_the_rates(lake, evening):
    registry = Registry(lake, evening)
    registry.register(MODEL, {"a": b"1"}, {"prior": [0.25, 0.25, 0.5]}, "no edge")
    assert said(predict_day(lake, models=[MODEL], clock=evening)) == {(0.25, 0.25, 0.5)}
    assert registry.count(MODEL, {"prior": [0.1, 0.2, 0.7]}, "again") is False
    assert [event.event for event in registry.history(MODEL)] == ["registered"]


def test_a_lake_of_fewer_sessions_says_thirds_and_reads_no_bars_for_it(lake, evening, monkeypatch):
    monkeypatch.setattr("hosu.models.prior.MIN_TRAIN_SESSIONS", 61)
    monkeypatch.setattr("hosu.models.prior.panel", None)
    assert said(predict_day(lake, models=[MODEL], clock=evening)) == {(1 / 3, 1 / 3, 1 / 3)}
    assert Registry(lake, evening).history(MODEL) == []


def test_rates_that_cannot_be_kept_are_not_said(lake, evening, monkeypatch):
    def full(*_):
        raise LakeFullError("lake")

    monkeypatch.setattr(Registry, "count", full)
    done = predict_day(lake, models=[MODEL], clock=evening)
    assert said(done) == {(1 / 3, 1 / 3, 1 / 3)}
    (note,) = done.notes
    assert note.startswith("day-1: the base rates of version 0 cannot be counted: ")


def test_a_lake_that_was_asked_twice_at_once_counts_once(lake, evening, monkeypatch):
    registry, other = Registry(lake, evening), Registry(lake, evening)
    plain = registry._commit
    pending = [lambda: other.count(MODEL, {"prior": [0.1, 0.2, 0.7]}, "theirs")]

    def commit(event):
        while pending:
            pending.pop()()
        return plain(event)

    monkeypatch.setattr(registry, "_commit", commit)
    assert registry.count(MODEL, {"prior": [0.3, 0.3, 0.4]}, "ours") is False
    assert [event.reason for event in registry.history(MODEL)] == ["theirs"]


def test_version_0_is_no_better_than_itself_on_the_days_before_its_rates_were_counted(lake, evening, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr("hosu.models.prior.MIN_TRAIN_SESSIONS", 1_000)
        assert said(predict_day(lake, models=[MODEL], clock=evening)) == {(1 / 3, 1 / 3, 1 / 3)}
    put(lake, DAYS[61:62])
    build(lake, "day", [SCALE_FREE_V1])
    assert predict_day(lake, models=[MODEL], clock=SimulatedClock(start_us=evening_of(DAYS[61]))).counted
    put(lake, DAYS[62:63])
    assert score(lake, clock=LATER).labelled == 6
    (record,) = records(lake, Registry(lake, evening), [MODEL], min_symbols=3)
    assert [day.figures["brier_over_prior"] for day in record.days] == [0.0, 0.0]
    assert record.days[0].figures["brier"] == pytest.approx(2 / 3)
