"""A file of the lake that cannot be read is told by table and file, and ends no day that is being served."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import structlog
from deltalake import DeltaTable
from feature_parts import DAY, at, events, rows_of, trade
from lake_parts import _rows, damaged, served

from hosu.errors import LakeUnreachableError, TableCorruptError
from hosu.features.batch import States
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.reading import rows_of_date
from hosu.features.scalers import fit_scaler
from hosu.features.sink import FeatureSink
from hosu.features.states import save_states
from hosu.features.store import LakeFeatureStore
from hosu.lake.delta import Table
from hosu.lake.lake import Lake
from hosu.lake.storage import Storage

BEFORE = "2025-09-12"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def held(lake: Lake, name: str = "features_served_1m") -> Table:
    table = lake.find(name)
    assert table is not None
    return table


def test_a_damaged_file_is_named(lake: Lake) -> None:
    served(lake, DAY, ("A", 0, 100.0, 1.0))
    served(lake, DAY, ("A", 1, 100.0, 1.0))
    name = damaged(lake, "features_served_1m", DAY)
    with pytest.raises(TableCorruptError) as caught:
        rows_of_date(held(lake), DAY)
    assert caught.value.table == "features_served_1m"
    assert caught.value.path == held(lake).path(name)


@pytest.mark.parametrize(
    ("fault", "is_local", "error"),
    [
        (OSError(5, "Input/output error"), True, LakeUnreachableError),
        (OSError(13, "Permission denied"), True, TableCorruptError),
        (OSError("Couldn't deserialize thrift"), True, TableCorruptError),
        (OSError("Generic S3 error: connection reset"), False, LakeUnreachableError),
        (FileNotFoundError("Object at location x.parquet not found"), False, TableCorruptError),
        (pa.ArrowInvalid("Parquet file size is 0 bytes"), False, TableCorruptError),
    ],
)
def test_what_may_pass_is_asked_again_and_a_damage_is_not(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, fault: Exception, is_local: bool, error: type[Exception]
) -> None:
    served(lake, DAY, ("A", 0, 100.0, 1.0))
    table = held(lake)
    monkeypatch.setattr(Storage, "is_local", is_local)

    class Whole:
        path = "x.parquet"

        def to_table(self, **_: Any) -> None:
            raise fault

        def get_fragments(self, **_: Any) -> list["Whole"]:
            return [self]

    monkeypatch.setattr(Table, "dataset", lambda _: Whole())
    with pytest.raises(error, match=r"features_served_1m/x\.parquet"):
        rows_of_date(table, DAY)


def test_an_object_that_can_be_got_and_not_be_read_is_damaged(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    served(lake, DAY, ("A", 0, 100.0, 1.0))
    name = damaged(lake, "features_served_1m", DAY)
    monkeypatch.setattr(Storage, "is_local", False)
    with pytest.raises(TableCorruptError, match=name):
        rows_of_date(held(lake), DAY)


def test_a_folder_that_fails_before_any_file_is_asked_for_may_be_asked_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(lake, DAY, ("A", 0, 100.0, 1.0))

    def failing(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    table = held(lake)
    monkeypatch.setattr(DeltaTable, "to_pyarrow_dataset", failing)
    with pytest.raises(LakeUnreachableError):
        rows_of_date(table, DAY)


def test_what_was_over_by_the_second_look_may_pass(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    served(lake, DAY, ("A", 0, 100.0, 1.0))
    table, whole = held(lake), held(lake).dataset()

    class Once:
        get_fragments = staticmethod(whole.get_fragments)

        def to_table(self, **_: Any) -> None:
            raise OSError("Unexpected end of stream")

    monkeypatch.setattr(Table, "dataset", lambda _: Once())
    with pytest.raises(LakeUnreachableError):
        rows_of_date(table, DAY)


def test_only_the_columns_that_are_asked_for_are_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    served(lake, DAY, ("A", 0, 100.0, 1.0), ("B", 0, 200.0, 1.0))
    read: list[list[str]] = []
    plain = ds.FileSystemDataset.to_table

    class Watched:
        def __init__(self, whole: ds.Dataset) -> None:
            self._whole = whole

        def to_table(self, **how: Any) -> Any:
            read.append(how["columns"])
            return plain(self._whole, **how)

    whole = held(lake).dataset()
    monkeypatch.setattr(Table, "dataset", lambda _: Watched(whole))
    found = rows_of_date(held(lake), DAY, pc.field("symbol") == "B", ("symbol", "close"))
    assert read == [["symbol", "close"]]
    assert found.to_pylist() == [{"symbol": "B", "close": 200.0}]


def test_a_damaged_state_keeps_no_day_from_being_served_and_is_told(lake: Lake) -> None:
    items = trade("09:00:01", 1), at("09:01:00"), trade("09:01:01", 2), at("09:02:00")
    save_states(lake, "minute", BEFORE, States.new(("A",)), bars=1, revision=1)
    damaged(lake, "feature_state", BEFORE)
    with structlog.testing.capture_logs() as told:
        sink = FeatureSink(LakeFeatureStore(lake))
        sink.write(events(*items))
        sink.sync()
    assert [each["date"] for each in told if "feature_state" in each.get("error", "")] == [DAY]
    rows = rows_of_date(held(lake), DAY).to_pylist()
    assert [(row["symbol"], row["volume"], row["began"]) for row in rows] == [("A", 1, "new"), ("A", 1, "new")]


def test_a_day_that_is_read_again_goes_on_where_what_was_served_of_it_is_damaged(lake: Lake) -> None:
    items = trade("09:00:01", 1), at("09:01:00"), trade("09:01:01", 2), at("09:02:00")
    once = FeatureSink(LakeFeatureStore(lake))
    once.write(events(*items))
    once.sync()
    damaged(lake, "features_served_1m", DAY)
    heard: list[Any] = []
    again = FeatureSink(LakeFeatureStore(lake))
    again.on_close.append(heard.append)
    with structlog.testing.capture_logs() as told:
        again.write(events(*items))
        again.sync()
    assert [volume for _, _, _, volume, *_ in rows_of(heard)] == [1, 1]
    assert all(each.again for each in heard)
    assert any("features_served_1m" in each.get("error", "") for each in told)


def test_a_damaged_file_of_features_is_told_when_a_scaler_is_fitted(lake: Lake) -> None:
    fixed = {"scope": "KRX", "session_set": "regular", "ts": 0, "revision": 1}
    row = fixed | {"symbol": "A", "feature_set": SCALE_FREE_V1.version, "features": [1.0] * 8}
    _rows(lake, "ml_features", DAY, [row] * 3)
    damaged(lake, "ml_features", DAY)
    with pytest.raises(TableCorruptError, match="ml_features"):
        fit_scaler(lake, "day", SCALE_FREE_V1, DAY)
