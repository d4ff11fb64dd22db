"""Where the state of a lake's collectors stands."""

from pathlib import Path

import pytest

from hosu.cli.options import state_folder
from hosu.settings import CollectSettings, load


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOSU_STATE", raising=False)


def test_two_spellings_of_a_lake_on_s3_share_a_log_and_two_lakes_do_not():
    folders = [state_folder(root, load(CollectSettings)) for root in ("s3://b/lake", "s3://b/lake/", "s3://b/other")]
    assert folders[0] == folders[1] != folders[2]


def test_a_lake_in_a_folder_holds_its_log_unless_another_place_is_named(tmp_path: Path):
    assert state_folder("lake", load(CollectSettings)) == Path("lake/.hosu")
    assert state_folder("s3://b/lake", load(CollectSettings, {"state": tmp_path})) == tmp_path
