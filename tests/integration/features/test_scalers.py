"""Scalers in a lake: what they are fitted on, which rows they scale, and that none knows the future."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parent))

from test_build import DAYS, SETS, closes, put, stored

from hosu.clock import SimulatedClock
from hosu.errors import InputError
from hosu.features.build import build
from hosu.features.definitions import SCALE_FREE_V1, SPEC_V1
from hosu.features.scalers import Scaler, Scalers, fit_scaler, load_scalers
from hosu.lake.delta import Table
from hosu.lake.lake import Lake

CLOCK = SimulatedClock(start_us=0)
FIRST = DAYS[49]  # before it an average over fifty days is warming up


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake.open(str(tmp_path / "lake"))
    put(made, closes())
    build(made, "day", SETS)
    return made


def fitted(lake: Lake, until: str, start: str | None = None, features=SCALE_FREE_V1) -> Scaler:
    return fit_scaler(lake, "day", features, until, start, clock=CLOCK)


def features(lake: Lake, first: str, last: str, of=SCALE_FREE_V1) -> np.ndarray:
    rows = stored(lake, f"ml_features WHERE feature_set = '{of.version}' AND date BETWEEN '{first}' AND '{last}'")
    return np.array([row for row in rows.column("features").to_pylist() if row is not None])


def scaled(lake: Lake, of=SCALE_FREE_V1) -> dict[tuple[str, str], tuple[list[float] | None, str | None]]:
    """By date and symbol, the scaled features and who scaled them."""
    rows = stored(lake, f"ml_features WHERE feature_set = '{of.version}'").to_pylist()
    return {(row["date"], row["symbol"]): (row["scaled_features"], row["scaler"]) for row in rows}


def test_it_is_scikit_learns_standard_scaler_of_the_same_rows(lake):
    made = fitted(lake, DAYS[64])
    oracle = StandardScaler().fit(features(lake, FIRST, DAYS[64]))

    assert (made.name, made.first, made.last, made.rows) == ("scale_free_v1/1/day/1", FIRST, DAYS[64], 3 * 16)
    np.testing.assert_allclose(made.means, oracle.mean_, rtol=1e-13)
    np.testing.assert_allclose(made.deviations, oracle.scale_, rtol=1e-13)
    some = features(lake, DAYS[65], DAYS[69])
    np.testing.assert_allclose(made.scaled(some), oracle.transform(some), rtol=1e-12, atol=1e-12)


def test_rows_behind_its_last_date_are_scaled_by_it_and_name_it_and_none_before(lake):
    made = fitted(lake, DAYS[64])
    done = build(lake, "day", SETS)

    assert (done.first, done.dates) == (DAYS[65], 5)
    for (date, _), (values, name) in scaled(lake).items():
        assert name == (made.name if date > DAYS[64] else None)
        assert (values is None) == (date <= DAYS[64])
    rows = stored(lake, f"ml_features WHERE scaler = '{made.name}'").to_pylist()
    assert len(rows) == 15
    for row in rows:
        assert row["scaled_features"] == made.scaled(np.array([row["features"]]))[0].tolist()
    assert {name for _, name in scaled(lake, SPEC_V1).values()} == {None}


def test_each_date_takes_the_newest_that_was_over_before_it(lake):
    names = [fitted(lake, DAYS[last]).name for last in (64, 60, 67)]
    build(lake, "day", SETS)

    by_date = {date: name for (date, _), (_, name) in scaled(lake).items()}

    assert names == [f"scale_free_v1/1/day/{number}" for number in (1, 2, 3)]
    assert [by_date[DAYS[at]] for at in (60, 61, 64, 65, 67, 68)] == [
        None, names[1], names[1], names[0], names[0], names[2]
    ]  # fmt: skip


@pytest.mark.slow
def test_a_day_that_comes_later_changes_neither_a_scaler_nor_a_row(tmp_path, lake):
    short = Lake.open(str(tmp_path / "short"))
    put(short, closes(), DAYS[:66])
    build(short, "day", SETS)
    fitted(short, DAYS[64])
    build(short, "day", SETS)
    before = stored(short, "ml_features", "date, symbol, feature_set")

    put(short, closes([("005930", DAYS[67], 90_000.0)]), DAYS[66:])
    build(short, "day", SETS)

    (kept,) = load_scalers(short, "day").all
    assert kept.fit == fitted(lake, DAYS[64]).fit
    after = stored(short, f"ml_features WHERE date <= '{DAYS[65]}'", "date, symbol, feature_set")
    assert after.equals(before)
    assert scaled(short)[DAYS[68], "005930"][1] == kept.name


def test_without_a_new_one_nothing_is_built_again_and_fitted_twice_it_is_one(lake):
    first = fitted(lake, DAYS[64])
    build(lake, "day", SETS)
    version = lake.table("scalers").version

    assert fitted(lake, DAYS[64]) == first
    assert lake.table("scalers").version == version
    assert build(lake, "day", SETS).dates == 0


def test_a_repaired_history_makes_another_one_and_the_first_stays(lake):
    first = fitted(lake, DAYS[64])
    put(lake, closes([("005930", DAYS[60], 61_000.0)]), [DAYS[60]], revision=2)
    build(lake, "day", SETS)

    second = fitted(lake, DAYS[64])
    build(lake, "day", SETS)

    assert (second.version, second.means != first.means) == (2, True)
    assert load_scalers(lake, "day").all == (first, second)
    assert {name for (date, _), (_, name) in scaled(lake).items() if date > DAYS[64]} == {second.name}


def test_it_may_begin_later(lake):
    made = fitted(lake, DAYS[64], start=DAYS[60])

    assert (made.first, made.rows) == (DAYS[60], 15)
    np.testing.assert_allclose(made.means, features(lake, DAYS[60], DAYS[64]).mean(axis=0), rtol=1e-13)


def test_dates_put_together_give_what_all_rows_at_once_do_and_a_constant_scales_to_zero():
    from hosu.features.scalers import _Moments

    chance = np.random.default_rng(3)
    rows = np.column_stack([chance.normal(1e6, 1e-2, 5_000), np.full(5_000, 0.1), chance.pareto(2.0, 5_000)])
    moments = _Moments(3)
    for day, part in enumerate(np.split(rows, [1, 2, 300, 300, 4_000])):
        moments.add(f"2025-01-0{day + 1}", part)

    made = moments.scaler("x/1", "day")

    np.testing.assert_allclose(made.means, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(made.deviations, [rows[:, 0].std(), 1.0, rows[:, 2].std()], rtol=1e-6)
    assert abs(made.scaled(rows)[:, 1]).max() < 1e-12
    assert (made.first, made.last) == ("2025-01-01", "2025-01-06")
    assert np.isnan(made.scaled(np.array([[np.nan, 0.1, 1.0]]))).tolist() == [[True, False, False]]


def test_of_another_kernel_or_set_it_scales_nothing():
    one = Scaler("a/1/day/1", "a/1", "day", 1, "2025-01-01", "2025-01-02", 2, (0.0,), (1.0,))
    known = Scalers([one])

    assert known.at("2025-01-03", "a/1") == one
    assert known.at("2025-01-02", "a/1") is None
    assert known.at("2025-01-03", "a/2") is None


def test_those_who_fit_at_once_get_a_number_each(lake):
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda at: fitted(Lake.open(lake.root), DAYS[at]), (60, 62, 64)))

    assert sorted(each.version for each in made) == [1, 2, 3]
    assert sorted(load_scalers(lake, "day").all, key=lambda each: each.last) == made


@pytest.mark.parametrize("when", ["before the table is opened", "after it"])
def test_of_two_that_fit_the_same_rows_at_once_one_is_kept(lake, monkeypatch: pytest.MonkeyPatch, when: str):
    opened, others = Lake.table, []

    def meanwhile(self: Lake, name: str) -> Table:
        held = opened(self, name) if when == "after it" else None
        monkeypatch.setattr(Lake, "table", opened)
        others.append(fitted(Lake.open(self.root), DAYS[64]))
        return held or opened(self, name)

    monkeypatch.setattr(Lake, "table", meanwhile)
    mine = fitted(lake, DAYS[64])
    assert (len(others), mine) == (1, others[0])
    assert len(load_scalers(lake, "day").all) == 1


@pytest.mark.parametrize(
    ("interval", "until", "fault"),
    [
        ("hour", DAYS[64], "interval 'hour': is unknown"),
        ("minute", DAYS[64], "scale_free_v1 of a minute: has 0 rows with all features from the beginning"),
        ("day", DAYS[48], f"has 0 rows with all features from the beginning to {DAYS[48]}; run `hosu features build`"),
    ],
)
def test_without_features_there_is_nothing_to_fit(lake, interval, until, fault):
    with pytest.raises(InputError, match=fault.replace("(", r"\(")):
        fit_scaler(lake, interval, SCALE_FREE_V1, until, clock=CLOCK)
