"""Tokens, approval keys and the limit of calls."""

import asyncio

import pytest

from hosu.clock import SimulatedClock
from hosu.kis.simulator.account import Accounts
from hosu.kis.simulator.oauth import approve, issue_token, revoke_token
from hosu.kis.simulator.quota import Quota

GRANT = {"grant_type": "client_credentials", "appkey": "key", "appsecret": "secret"}
HOUR_S = 3600


def pass_time(clock: SimulatedClock, seconds: float) -> None:
    asyncio.run(clock.advance(seconds))


def test_a_token_lasts_a_day_and_its_expiry_is_written_in_kst() -> None:
    clock = SimulatedClock(1_757_894_400_000_000)  # 2025-09-15 00:00 UTC
    status, body = issue_token(GRANT, Accounts(clock), clock.now_us())
    assert (status, body["token_type"], body["expires_in"]) == (200, "Bearer", 86400)
    assert body["access_token_token_expired"] == "2025-09-16 09:00:00"


def test_a_second_token_within_a_minute_is_refused() -> None:
    clock = SimulatedClock()
    accounts = Accounts(clock)
    issue_token(GRANT, accounts, 0)
    pass_time(clock, 59)
    status, body = issue_token(GRANT, accounts, clock.now_us())
    assert (status, body) == (
        403,
        {"error_description": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)", "error_code": "EGW00133"},
    )


@pytest.mark.parametrize(("hours", "same"), [(5.9, True), (6.1, False)])
def test_the_same_token_comes_within_six_hours(hours: float, same: bool) -> None:
    clock = SimulatedClock()
    accounts = Accounts(clock)
    first = issue_token(GRANT, accounts, 0)[1]["access_token"]
    pass_time(clock, hours * HOUR_S)
    assert (issue_token(GRANT, accounts, clock.now_us())[1]["access_token"] == first) is same


def test_the_rule_of_one_a_minute_can_be_turned_off() -> None:
    accounts = Accounts(SimulatedClock(), token_interval_s=0)
    assert [issue_token(GRANT, accounts, 0)[0] for _ in range(3)] == [200, 200, 200]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "EGW00115"),
        ({"grant_type": "client_credentials"}, "EGW00102"),
        ({"grant_type": "client_credentials", "appkey": "key"}, "EGW00104"),
        ({**GRANT, "appsecret": "wrong"}, "EGW00105"),
        ({**GRANT, "appkey": "nobody"}, "EGW00103"),
        ({**GRANT, "appkey": 7}, "EGW00102"),
    ],
)
def test_wrong_keys_are_refused_in_the_shape_of_the_token_endpoint(body: dict, code: str) -> None:
    status, answer = issue_token(body, Accounts(SimulatedClock(), {"key": "secret"}), 0)
    assert (status, answer["error_code"]) == (403, code)
    assert "error_description" in answer


def test_any_appkey_is_taken_but_held_to_its_first_secret() -> None:
    accounts = Accounts(SimulatedClock())
    assert accounts.check("anything", "one") is None
    assert accounts.check("anything", "two") == "EGW00105"


def test_every_approval_key_is_new_and_stays_good() -> None:
    accounts = Accounts(SimulatedClock())
    body = {"grant_type": "client_credentials", "appkey": "key", "secretkey": "secret"}
    first, second = (approve(body, accounts)[1]["approval_key"] for _ in range(2))
    assert first != second
    assert len(first) == 36
    assert (accounts.appkey_of(first), accounts.appkey_of(second)) == ("key", "key")
    assert accounts.appkey_of("other") is None


def test_a_token_that_was_revoked_expired_or_anothers_is_refused() -> None:
    clock = SimulatedClock()
    accounts = Accounts(clock, token_interval_s=0)
    token = issue_token(GRANT, accounts, 0)[1]["access_token"]
    assert accounts.check_token(token, "key") is None
    assert accounts.check_token(token, "other") == "EGW00121"
    accounts.expire_tokens()
    assert accounts.check_token(token, "key") == "EGW00123"
    assert revoke_token({**GRANT, "token": token}, accounts)[0] == 200
    assert accounts.check_token(token, "key") == "EGW00121"
    assert revoke_token({**GRANT, "token": token}, accounts)[1]["error_code"] == "EGW00121"


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(Accounts(SimulatedClock(), {"key": "secret"}))


def test_the_limit_holds_in_any_second_and_for_each_appkey() -> None:
    quota = Quota(3)
    assert [quota.take("a", now) for now in (0.0, 0.1, 0.2, 0.3)] == [True, True, True, False]
    assert quota.take("b", 0.3)
    assert not quota.take("a", 0.99)
    assert [quota.take("a", now) for now in (1.0, 1.05, 1.11)] == [True, False, True]


def test_no_limit_allows_everything() -> None:
    assert all(Quota(None).take("a", 0.0) for _ in range(1000))
