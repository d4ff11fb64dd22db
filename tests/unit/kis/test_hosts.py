import pytest

from hosu.errors import InputError, SettingsError
from hosu.kis.hosts import LIVE, PAPER, Credentials, Host


def test_the_brokers_addresses_are_those_of_its_own_samples():
    assert (LIVE.rest, LIVE.ws) == (
        "https://openapi.koreainvestment.com:9443",
        "ws://ops.koreainvestment.com:21000/tryitout",
    )
    assert (PAPER.rest, PAPER.ws) == (
        "https://openapivts.koreainvestment.com:29443",
        "ws://ops.koreainvestment.com:31000/tryitout",
    )


@pytest.mark.parametrize(
    ("rest", "ws"),
    [
        ("ftp://a:1", "ws://a:1"),
        ("http://a:1", "http://a:1"),
        ("http://", "ws://a:1"),
        ("http://a:99999", "ws://a:1"),
        ("http://user:password@a:1", "ws://a:1"),
        ("http://a:1", "ws://a:1/?key=secret"),
        ("127.0.0.1:80", "ws://a:1"),
        ("http://a:1/uapi", "ws://a:1"),
        ("http://a..b:1", "ws://a:1"),
        ("http://a:1", f"ws://{'x' * 70}:1"),
    ],
)
def test_an_address_that_is_none_is_refused(rest, ws):
    with pytest.raises(InputError, match="write it as") as caught:
        Host("simulator", rest, ws)
    assert "password" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_rest_address_may_end_in_a_slash_as_browsers_write_it():
    host = Host("simulator", "http://127.0.0.1:8800/", "ws://127.0.0.1:8801/")
    assert (host.rest, host.ws) == ("http://127.0.0.1:8800", "ws://127.0.0.1:8801/")


def test_neither_key_nor_secret_shows():
    credentials = Credentials("PSkey0123", "topsecret", "B")
    assert repr(credentials) == f"Credentials({credentials.fingerprint}, custtype='B')"
    assert str(credentials) == repr(credentials)
    assert len(credentials.fingerprint) == 12
    assert credentials.fingerprint == Credentials("PSkey0123", "other").fingerprint
    assert credentials.fingerprint != Credentials("PSkey0124", "topsecret").fingerprint


@pytest.mark.parametrize(
    ("appkey", "appsecret", "custtype", "says"),
    [
        ("", "s", "P", "appkey is empty"),
        ("k", "", "P", "appsecret is empty"),
        ("k", "hush\nhush", "P", "appsecret holds blanks"),
        ("k ey", "s", "P", "appkey holds blanks"),
        ("k", "hush비밀", "P", "appsecret holds blanks"),
        ("k", "s", "X", "custtype is 'X'"),
    ],
)
def test_keys_that_cannot_be_sent_are_refused_without_showing_them(appkey, appsecret, custtype, says):
    with pytest.raises(SettingsError, match=says) as caught:
        Credentials(appkey, appsecret, custtype)
    assert "hush" not in str(caught.value)
