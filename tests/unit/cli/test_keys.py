from pathlib import Path

import pytest

from hosu.cli.keys import keys_of
from hosu.errors import InputError, SettingsError
from hosu.settings import KisSettings, load


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for account in ("LIVE", "PAPER"):
        for name in ("APP_KEY", "APP_SECRET"):
            for number in ("", "_2", "_3", "_10"):
                monkeypatch.delenv(f"{account}_KIS_{name}{number}", raising=False)
    monkeypatch.chdir(tmp_path)


def give(monkeypatch: pytest.MonkeyPatch, *numbers: str) -> None:
    for number in numbers:
        monkeypatch.setenv(f"LIVE_KIS_APP_KEY{number}", f"live-key{number}")
        monkeypatch.setenv(f"LIVE_KIS_APP_SECRET{number}", f"live-secret{number}")


def live(chosen: str | None = None) -> list[str]:
    return [each.appkey for each in keys_of("live", load(KisSettings), chosen)]


def test_one_key_is_found_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, "")
    assert live() == ["live-key"]


def test_numbered_keys_follow_by_their_number_and_a_number_chooses_the_first_of_them(monkeypatch) -> None:
    give(monkeypatch, "", "_10", "_2")
    assert live() == ["live-key", "live-key_2", "live-key_10"]
    assert live("2") == ["live-key", "live-key_2"]


def test_keys_stand_in_dotenv_too_and_the_environment_overrules_it(monkeypatch, tmp_path) -> None:
    (tmp_path / ".env").write_text(
        "LIVE_KIS_APP_KEY=one\nLIVE_KIS_APP_SECRET=s1\nLIVE_KIS_APP_KEY_2=two\nLIVE_KIS_APP_SECRET_2=s2\n"
    )
    assert live() == ["one", "two"]
    monkeypatch.setenv("LIVE_KIS_APP_KEY_2", "other")
    assert live() == ["one", "other"]


def test_a_file_stands_for_the_environment(monkeypatch, tmp_path, capsys) -> None:
    give(monkeypatch, "")
    (tmp_path / "keys").write_text("LIVE_KIS_APP_KEY_2=two\nLIVE_KIS_APP_SECRET_2=$e{cret}\n")
    (tmp_path / "keys").chmod(0o600)
    (found,) = keys_of("live", load(KisSettings), "keys")
    assert (found.appkey, found.appsecret) == ("two", "$e{cret}")
    assert capsys.readouterr().err == ""
    (tmp_path / "keys").chmod(0o644)
    assert live("keys") == ["two"]
    assert "others may read the secrets in keys; run: chmod 600 keys" in capsys.readouterr().err


def test_a_simulator_takes_as_many_as_are_asked_for_the_first_one_as_ever() -> None:
    settings = load(KisSettings)
    (only,) = keys_of("simulator", settings)
    three = keys_of("simulator", settings, "3")
    assert three[0] == only
    assert len({len(each.appkey) for each in three}) == 1
    assert len({each.fingerprint for each in three}) == 3


@pytest.mark.parametrize(
    ("numbers", "chosen", "said"),
    [
        ((), None, "LIVE_KIS_APP_KEY is not set"),
        (("",), "2", "--keys 2: there are 1; set LIVE_KIS_APP_KEY_2 and so on"),
        (("",), "0", "--keys 0: there are 1"),
        (("",), "nowhere", "--keys nowhere: No such file"),
        (("",), ".", "--keys .: Is a directory"),
        (("",), "garbage", "--keys garbage: is not UTF-8 text (byte 1)"),
        (("",), "empty", "LIVE_KIS_APP_KEY is not set; set it in empty"),
        (("",), "half", "LIVE_KIS_APP_SECRET_2 is not set; set it in half"),
        (("",), "twins", "LIVE_KIS_APP_KEY is the same under two numbers"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is_shown(monkeypatch, tmp_path, numbers, chosen, said) -> None:
    give(monkeypatch, *numbers)
    (tmp_path / "garbage").write_bytes(b"A\xff\xfe")
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "half").write_text("LIVE_KIS_APP_KEY_2=hush\n")
    twin = "LIVE_KIS_APP_KEY{0}=hush\nLIVE_KIS_APP_SECRET{0}=hush\n"
    (tmp_path / "twins").write_text(twin.format("") + twin.format("_2"))
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    with pytest.raises((InputError, SettingsError)) as caught:
        live(chosen)
    assert str(caught.value).startswith(said)
    assert "hush" not in str(caught.value)


def test_a_second_key_without_its_secret_is_no_reason_to_go_on_with_one(monkeypatch) -> None:
    give(monkeypatch, "")
    monkeypatch.setenv("LIVE_KIS_APP_KEY_2", "lonely")
    with pytest.raises(SettingsError, match="LIVE_KIS_APP_SECRET_2 is not set"):
        live()


def test_a_key_set_twice_is_refused(monkeypatch) -> None:
    give(monkeypatch, "", "_2")
    monkeypatch.setenv("LIVE_KIS_APP_KEY_2", "live-key")
    with pytest.raises(SettingsError, match="is the same under two numbers"):
        live()


def test_doctor_counts_the_keys_and_names_a_number_without_its_secret(monkeypatch) -> None:
    from hosu.cli.doctor import _further_keys

    give(monkeypatch, "")
    assert _further_keys() == []
    give(monkeypatch, "_2", "_3")
    assert [(each.state, each.found) for each in _further_keys()] == [("ok", "3, together 123 slots")]
    monkeypatch.delenv("LIVE_KIS_APP_SECRET_3")
    assert [(each.state, each.found) for each in _further_keys()] == [("fail", "LIVE_KIS_APP_SECRET_3 is not set")]
