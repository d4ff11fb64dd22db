import re
from pathlib import Path

import pytest

from hosu.errors import InputError, SettingsError
from hosu.lake.storage import Storage
from hosu.settings import ALL_SETTINGS, CollectSettings, KisSettings, LakeSettings, LogSettings, load, require


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ALL_SETTINGS:
        for field in kind.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)


def test_flag_overrules_environment_and_environment_overrules_dotenv(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("HOSU_LAKE=from-file\n")
    assert load(LakeSettings).root == "from-file"
    monkeypatch.setenv("HOSU_LAKE", "from-environment")
    assert load(LakeSettings).root == "from-environment"
    assert load(LakeSettings, {"root": "from-flag"}).root == "from-flag"
    assert load(LakeSettings, {"root": None}).root == "from-environment"


@pytest.mark.parametrize(
    ("kind", "name", "value", "fault"),
    [
        (LogSettings, "LOG_LEVEL", "chatty", "'DEBUG'"),
        (LakeSettings, "HOSU_SQL_MEMORY_MIB", "plenty", "valid integer"),
        (CollectSettings, "HOSU_POLL_SECONDS", "soon", "valid number"),
        (CollectSettings, "HOSU_DISK_RESERVE_MB", "-1", "greater than or equal to 0"),
        (KisSettings, "HOSU_CALLS_PER_SECOND", "900", "less than or equal to 20"),
    ],
)
def test_malformed_setting_is_named_with_its_fault(
    monkeypatch: pytest.MonkeyPatch, kind: type, name: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=re.escape(fault)) as caught:
        load(kind)
    assert str(caught.value).startswith(f"{name} is malformed")
    assert "set it in the environment or .env" in str(caught.value)


def test_missing_secret_is_named_and_a_present_one_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="LIVE_KIS_APP_KEY is not set"):
        require(load(KisSettings).live_app_key, "LIVE_KIS_APP_KEY")
    monkeypatch.setenv("LIVE_KIS_APP_KEY", "  very-secret-key ")
    settings = load(KisSettings)
    assert require(settings.live_app_key, "LIVE_KIS_APP_KEY") == "very-secret-key"
    assert "very-secret-key" not in repr(settings)


def test_blank_secret_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVE_KIS_APP_SECRET", "   ")
    assert load(KisSettings).live_app_secret is None


def test_root_falls_back_to_the_bucket_of_the_original_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(LakeSettings).resolved_root() == "lake"
    monkeypatch.setenv("S3_BUCKET", "my-bucket")
    assert load(LakeSettings).resolved_root() == "s3://my-bucket"
    assert load(LakeSettings, {"root": "elsewhere"}).resolved_root() == "elsewhere"


def test_storage_options_allow_plain_http_only_for_a_plain_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    assert load(LakeSettings).storage_options() == {"aws_access_key_id": "id", "aws_secret_access_key": "key"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert load(LakeSettings).storage_options()["aws_allow_http"] == "true"


def test_dotenv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"HOSU_LAKE=\xff\xfe\n")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(LakeSettings)


def test_every_setting_is_in_the_example_and_described() -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    listed = set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE))
    known = {str(field.validation_alias) for kind in ALL_SETTINGS for field in kind.model_fields.values()}
    assert listed == known
    assert all(field.description for kind in ALL_SETTINGS for field in kind.model_fields.values())


UNKNOWN_HOME = "begins with a home that this machine does not know"


@pytest.mark.parametrize("name", ["HOSU_STATE", "HOSU_CACHE"])
def test_a_home_that_nobody_knows_is_refused_by_the_name_of_the_setting(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "~nobody-of-this-name/x")
    with pytest.raises(SettingsError, match=rf"{name} is malformed \({UNKNOWN_HOME}\)"):
        load(CollectSettings)


def test_a_lake_in_a_home_that_nobody_knows_is_refused():
    with pytest.raises(InputError, match=f"~nobody-of-this-name/lake: {UNKNOWN_HOME}"):
        Storage.open("~nobody-of-this-name/lake")
