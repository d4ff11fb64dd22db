"""Datasets: what is in them, and that an id stands for bytes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lake_parts import DAYS, bars, calm_days, coverage, external, instruments, polls, repaired_trades

from hosu.errors import DatasetCorruptError, InputError, VersionGoneError
from hosu.features.bars_of_lake import DayState
from hosu.features.dataset import Dataset, UniverseKind, _nothing, build
from hosu.features.dataset_definition import Definition
from hosu.features.dataset_files import encode, is_kept, load, reproduce, save
from hosu.features.labels import Reason
from hosu.features.panel import BarPanel
from hosu.lake.lake import Lake

SPAN = DAYS[:25]
SYMBOLS = ("A", "B", "C")
CERTIFIED = Definition(horizon=1)


class Closes:
    """A feature set of one feature."""

    name = "closes"
    version = 1
    names = ("close",)
    revision = "r1"

    def compute(self, panel: BarPanel, followed: Any = None) -> np.ndarray[Any, np.dtype[np.float64]]:
        return panel.close[:, None] / 100.0

    def of_outputs(
        self, outputs: np.ndarray[Any, np.dtype[np.float64]], close: np.ndarray[Any, np.dtype[np.float64]]
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        return close[:, None].copy()


class Nothing(Closes):
    def compute(self, panel: BarPanel, followed: Any = None) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.full((len(panel), 1), np.nan)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of 25 days and three symbols, all certified but B's day 23, which is open."""
    root = tmp_path_factory.mktemp("lake") / "lake"
    lake = Lake.open(str(root))
    calm_days(lake, SPAN, SYMBOLS, {("B", SPAN[23]): "open"})
    return root


@pytest.fixture
def lake(filled: Path, tmp_path: Path) -> Lake:
    shutil.copytree(filled, tmp_path / "lake")
    return Lake.open(str(tmp_path / "lake"))


def made(lake: Lake, definition: Definition = CERTIFIED) -> Dataset:
    return build(lake, Closes(), definition)


def keys(dataset: Dataset, session: int) -> list[tuple[str, int]]:
    """Symbol and reason of each row of a session, in their order."""
    rows = dataset.rows
    at = np.flatnonzero(rows.session == session)
    return [(rows.symbols[rows.symbol[row]], int(rows.reason[row])) for row in at]


def test_certified_days_are_learned_from_and_no_others(lake: Lake) -> None:
    found = made(lake)

    assert len(found.rows) == 25 * 3 - 1
    assert keys(found, 21) == [("A", 0), ("B", 0), ("C", 0)]
    assert keys(found, 22) == [("A", 0), ("B", Reason.UNCERTIFIED), ("C", 0)]
    assert keys(found, 23) == [("A", 0), ("C", 0)]
    assert found.left_out == {"days": 1, "universe": 0}
    assert set(found.state.tolist()) == {DayState.CERTIFIED}
    assert found.rows.features[:3, 0].tolist() == [10_000.0] * 3
    assert found.universe.tolist() == [UniverseKind.TRADED] * 25


def test_all_days_are_taken_where_that_is_said(lake: Lake) -> None:
    found = made(lake, Definition(horizon=1, days="all"))

    assert len(found.rows) == 75
    assert DayState.OPEN in found.state.tolist()


def test_days_without_a_ledger_are_refused_until_they_are_allowed(lake: Lake) -> None:
    bars(lake, DAYS[25], ("A", 10_000.0, 1))

    with pytest.raises(InputError, match=r"1 bars from 20251027 to 20251027: lie on days without a ledger.*--days all"):
        made(lake)

    assert len(made(lake, Definition(horizon=1, days="all")).rows) == 76


def test_rows_begin_where_they_are_asked_to_and_bars_before_it_warm_up(lake: Lake) -> None:
    found = made(lake, Definition(horizon=1, start=DAYS[20], end=DAYS[22]))

    assert sorted(set(found.rows.session.tolist())) == [20, 21, 22]
    assert (found.rows.reason[:3] == 0).all()
    assert (found.rows.reason[6:] == Reason.NOT_MATURED).all()


def test_without_the_bars_behind_it_a_dataset_is_the_same_as_far_as_it_goes(lake: Lake) -> None:
    whole, part = made(lake), made(lake, Definition(horizon=1, end=DAYS[22]))
    at = np.flatnonzero(whole.rows.session <= 22)
    ended = part.rows.labelled

    for name in ("symbol", "session", "t", "features", "price", "band", "half_spread", "value_20", "ret_last"):
        np.testing.assert_array_equal(getattr(whole.rows, name)[at], getattr(part.rows, name))
    for name in ("t0", "t1", "ret_px", "ret_ex", "label", "reason"):
        np.testing.assert_array_equal(getattr(whole.rows, name)[at][ended], getattr(part.rows, name)[ended])
    assert ended.sum() == 6  # of the days 20 and 21; the exit of 22 is not there


def test_the_universe_is_that_of_the_day_where_the_lake_knows_it(lake: Lake) -> None:
    instruments(lake, DAYS[21], ("A", 10_200.0), ("C", 10_200.0), ("Z", 5.0))

    found = made(lake)

    assert [name for name, _ in keys(found, 20)] == ["A", "B", "C"]
    assert [name for name, _ in keys(found, 21)] == ["A", "C"]
    assert np.flatnonzero(found.universe == UniverseKind.LISTED).tolist() == [21]
    assert found.left_out == {"days": 1, "universe": 1}


def across(lake: Lake, *, last: float) -> tuple[float, int]:
    """Return and reason of five sessions over an open day that ends here at ``last``, and on the exchange at 10,300;
    every other day is certified."""
    for place, day in enumerate(DAYS[:30]):
        price = last if place == 24 else 10_000.0 if place < 24 else 10_300.0
        bars(lake, day, ("A", price, 10))
        coverage(lake, day, ("A", "open" if place == 24 else "certified", 1))
    instruments(lake, DAYS[25], ("A", 10_300.0))
    found = build(lake, Closes(), Definition(horizon=5)).rows
    row = int(np.flatnonzero((found.session == 22) & (found.symbol == 0))[0])
    return float(found.ret_px[row]), int(found.reason[row])


@pytest.fixture
def empty(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "other"))


@pytest.mark.slow
def test_a_label_across_a_day_that_was_recorded_in_part_is_none(empty: Lake) -> None:
    ret, reason = across(empty, last=10_000.0)

    assert (np.isnan(ret), reason) == (True, Reason.BEYOND_LIMIT)


@pytest.mark.slow
def test_a_label_across_an_open_day_that_ends_at_the_next_base_is_one(empty: Lake) -> None:
    assert across(empty, last=10_300.0) == (pytest.approx(0.03), Reason.LABELLED)


@pytest.mark.slow
def test_a_label_across_a_day_of_which_the_broker_tells_the_close_is_one(empty: Lake) -> None:
    told = {"adjusted": False, "source": "kis:FHKST03010100"}
    external(empty, DAYS[24], ("A", 10_300.0, 10, told))

    assert across(empty, last=10_000.0) == (pytest.approx(0.03), Reason.LABELLED)


def test_as_served_leaves_out_what_was_repaired(lake: Lake) -> None:
    repaired_trades(lake, DAYS[22], "C")

    served, mended = (made(lake, Definition(horizon=1, view=view)) for view in ("as_served", "repaired"))

    assert keys(served, 22) == [("A", 0), ("B", Reason.UNCERTIFIED)]
    assert [name for name, _ in keys(mended, 22)] == ["A", "B", "C"]
    assert served.id != mended.id
    assert (served.facts["view"], mended.facts["view"]) == ("as_served", "repaired")


# --- identity -----------------------------------------------------------------------------------------------------


def test_built_twice_it_has_the_same_id_and_the_same_bytes(lake: Lake) -> None:
    one, other = made(lake), made(lake)

    assert one.id == other.id
    assert encode(one) == encode(other)


def test_after_an_append_the_id_is_another_and_the_old_one_still_gives_the_old_bytes(lake: Lake) -> None:
    old = made(lake)
    bars(lake, DAYS[24], *[(symbol, 12_000.0, 9) for symbol in SYMBOLS])

    new = made(lake)
    again = build(lake, Closes(), CERTIFIED, versions=old.versions)

    assert new.id != old.id
    assert encode(new) != encode(old)
    assert (again.id, encode(again)) == (old.id, encode(old))


def test_polls_count_by_what_they_say_of_a_base_price_not_by_their_number(lake: Lake) -> None:
    before = made(lake).id
    polls(lake, DAYS[22], ("A", 10_210.0))  # the last close
    same = made(lake).id
    polls(lake, DAYS[22], ("A", 9_500.0))

    assert same == before
    assert made(lake).id != before


@pytest.mark.parametrize(
    "other", [{"horizon": 2}, {"symbols": ("A", "B", "C")}, {"end": "2026-01-01"}, {"days": "all"}]
)
def test_whatever_is_asked_otherwise_has_another_id(lake: Lake, other: dict[str, object]) -> None:
    assert made(lake).id != made(lake, replace(CERTIFIED, **other)).id  # type: ignore[arg-type]


def test_other_code_of_the_features_has_another_id(lake: Lake) -> None:
    changed = Closes()
    changed.revision = "r2"

    assert build(lake, changed, CERTIFIED).id != made(lake).id


def test_symbols_in_another_order_are_the_same_dataset(lake: Lake) -> None:
    one, other = (made(lake, Definition(horizon=1, symbols=names)) for names in (("A", "C"), ("C", "A", "C")))

    assert (one.id, encode(one)) == (other.id, encode(other))


def test_a_version_that_never_was_is_named(lake: Lake) -> None:
    versions = {**made(lake).versions, "processed_ohlcv": 9_999}

    with pytest.raises(VersionGoneError, match="version 9999 of table processed_ohlcv cannot be read"):
        build(lake, Closes(), CERTIFIED, versions=versions)


# --- kept ---------------------------------------------------------------------------------------------------------


def test_what_was_saved_comes_back_as_it_was(lake: Lake) -> None:
    dataset = made(lake)

    digest = save(lake, dataset)
    back = load(lake, dataset.id)

    assert save(lake, dataset) == digest
    assert encode(back) == encode(dataset)
    assert (back.facts, back.left_out, back.universe.tolist()) == (dataset.facts, dataset.left_out, [0] * 25)
    assert (back.rows.symbols, back.rows.sessions, back.rows.names) == (SYMBOLS, tuple(SPAN), ("close",))
    for name in ("symbol", "session", "t1_session", "label", "reason", "features"):
        one, other = getattr(back.rows, name), getattr(dataset.rows, name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_files_that_were_removed_are_named_and_what_was_saved_is_still_there(lake: Lake) -> None:
    dataset = made(lake)
    save(lake, dataset)
    table = lake.table("processed_ohlcv")
    (gone,) = table.files(DAYS[24])
    bars(lake, DAYS[24], ("A", 1.0, 1))
    lake.storage.delete(table.path(gone))

    with pytest.raises(VersionGoneError, match=r"version 1 of table processed_ohlcv .* has been removed"):
        reproduce(lake, dataset.facts, Closes())

    assert encode(load(lake, dataset.id)) == encode(dataset)


def test_a_dataset_is_made_again_from_its_facts_read_back_from_json(lake: Lake) -> None:
    chosen = replace(CERTIFIED, symbols=("C", "A"), start=DAYS[21])
    dataset = made(lake, chosen)
    bars(lake, DAYS[25], ("A", 1.0, 1))

    again = reproduce(lake, json.loads(json.dumps(dataset.facts)), Closes())

    assert (again.id, encode(again)) == (dataset.id, encode(dataset))


def test_a_dataset_is_not_made_again_by_other_code(lake: Lake) -> None:
    changed = Closes()
    changed.revision = "r2"

    with pytest.raises(InputError, match="comes out as another one"):
        reproduce(lake, made(lake).facts, changed)


def test_whether_a_dataset_is_kept_is_told_and_a_damaged_one_is_not_kept(lake: Lake) -> None:
    dataset = made(lake)
    assert not is_kept(lake, dataset.id)
    save(lake, dataset)
    assert is_kept(lake, dataset.id)
    lake.storage.put(f"ml/datasets/{dataset.id}/rows.parquet", b"other")
    with pytest.raises(DatasetCorruptError):
        is_kept(lake, dataset.id)


@pytest.mark.parametrize("fault", ["changed", "gone", "facts"])
def test_a_damaged_dataset_is_refused(lake: Lake, fault: str) -> None:
    dataset = made(lake)
    save(lake, dataset)
    folder = Path(lake.root) / "ml" / "datasets" / dataset.id
    if fault == "changed":
        data = bytearray((folder / "rows.parquet").read_bytes())
        data[100] ^= 1
        (folder / "rows.parquet").write_bytes(bytes(data))
    elif fault == "gone":
        (folder / "rows.parquet").unlink()
    else:
        text = (folder / "dataset.json").read_text(encoding="utf-8")
        (folder / "dataset.json").write_text(text.replace('"horizon": 1', '"horizon": 2'), encoding="utf-8")

    with pytest.raises(DatasetCorruptError, match=dataset.id):
        load(lake, dataset.id)


@pytest.mark.parametrize(("name", "fault"), [("0" * 64, "is not kept in this lake"), ("../../etc", "is no id")])
def test_an_id_that_is_not_kept_is_refused(lake: Lake, name: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        load(lake, name)


# --- no sense -----------------------------------------------------------------------------------------------------


def test_a_feature_without_any_value_is_named(lake: Lake) -> None:
    with pytest.raises(InputError, match="feature close: has no value on any labelled row"):
        build(lake, Nothing(), CERTIFIED)


def test_nothing_to_learn_from_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the dataset: is empty"):
        made(Lake.open(str(tmp_path / "empty")))


def test_symbols_without_a_bar_are_named_and_no_days_are_advised_that_were_asked_for(lake: Lake) -> None:
    everything = replace(CERTIFIED, days="all")
    with pytest.raises(InputError, match=r"is empty \(no bar of ZZZ from") as told:
        build(lake, Closes(), replace(everything, symbols=("ZZZ",)))
    assert "--days" not in str(told.value)


@pytest.mark.parametrize(
    ("days", "left_out", "said"),
    [
        ("certified", {"days": 5, "universe": 0}, "on other days than certified); certify days, or say --days all"),
        ("all", {"days": 5, "universe": 0}, "5 rows of repaired bars); choose another span"),
        ("all", {"days": 0, "universe": 7}, "7 outside of the universe); choose symbols of the universe of those days"),
        ("all", {"days": 0, "universe": 0, "not_served": 3}, "3 that were never served); choose days that were served"),
    ],
)  # fmt: skip
def test_of_an_empty_dataset_it_is_said_what_left_the_rows_out(days: str, left_out: dict, said: str) -> None:
    assert str(_nothing(replace(CERTIFIED, days=days), left_out)).endswith(said)


@pytest.mark.parametrize("words", [{"days": "good"}, {"view": "live"}])
def test_what_is_unknown_is_refused(words: dict[str, str]) -> None:
    with pytest.raises(InputError, match="is unknown"):
        Definition(horizon=1, **words)  # type: ignore[arg-type]


def test_the_file_has_a_column_a_feature_and_its_symbols_by_name(lake: Lake) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(encode(made(lake))))

    assert table.column("feature:close").to_pylist()[:3] == [10_000.0] * 3
    assert table.column("symbol").to_pylist()[:3] == ["A", "B", "C"]
    assert table.column("session").to_pylist()[:3] == [SPAN[0]] * 3
    assert table.column("t1_session").null_count == int((~made(lake).rows.labelled).sum())
