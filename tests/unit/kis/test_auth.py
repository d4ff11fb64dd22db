import asyncio
import json
import logging
import os
import subprocess
import sys

import pytest

from hosu.errors import BrokerReplyError, BrokerUnreachableError, TokenIssueTooSoonError
from hosu.kis.auth import Auth

TOKEN, APPROVAL = "/oauth2/tokenP", "/oauth2/Approval"
TOO_SOON = (
    403,
    {"error_description": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)", "error_code": "EGW00133"},
)


def another(client, cache_dir):
    """The same key in another process, as far as files go."""
    return Auth(client.host, client.credentials, client.http, client.governor, cache_dir=cache_dir, clock=client.clock)


def test_a_token_is_asked_for_once_and_shared_through_the_disk(client_and_broker, token_reply, tmp_path):
    async def scenario(client, broker):
        broker.answer(TOKEN, (200, token_reply()))
        many = await asyncio.gather(*(client.auth.access_token() for _ in range(20)))
        other = await another(client, tmp_path / "cache").access_token()
        return set(many) | {other}, broker.requests

    tokens, requests = client_and_broker(scenario)
    assert tokens == {"TOKEN1"}
    assert [json.loads(request["body"]) for request in requests] == [
        {"grant_type": "client_credentials", "appkey": "PSappkey", "appsecret": "TOPSECRETappsecret"}
    ]
    folder = tmp_path / "cache"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.glob("auth-*.json")] == [0o600]
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_korean_expiry_text_counts_not_expires_in(client_and_broker, token_reply):
    async def scenario(client, broker):
        broker.answer(TOKEN, (200, token_reply("A", "2025-09-15 10:00:00")), (200, token_reply("B")))
        first = await client.auth.access_token()
        await client.clock.advance(49 * 60)  # 09:49
        still = await client.auth.access_token()
        await client.clock.advance(2 * 60)  # 09:51: less than ten minutes left
        return first, still, await client.auth.access_token()

    assert client_and_broker(scenario) == ("A", "A", "B")


@pytest.mark.parametrize("expires", ["", "tomorrow", None, 5])
def test_without_a_readable_expiry_its_lifetime_in_seconds_counts(client_and_broker, token_reply, expires):
    async def scenario(client, broker):
        reply = token_reply() | {"access_token_token_expired": expires, "expires_in": 7200}
        broker.answer(TOKEN, (200, reply), (200, token_reply("B")))
        await client.auth.access_token()
        await client.clock.advance(100 * 60)
        early = await client.auth.access_token()
        await client.clock.advance(11 * 60)
        return early, await client.auth.access_token()

    assert client_and_broker(scenario) == ("TOKEN1", "B")


def test_too_soon_waits_a_minute_and_tries_once_more(client_and_broker, token_reply):
    async def scenario(client, broker):
        broker.answer(TOKEN, TOO_SOON, (200, token_reply()))
        before = client.clock.now_us()
        token = await client.wait_for(client.auth.access_token())
        return token, (client.clock.now_us() - before) / 1e6, broker.count(TOKEN)

    token, waited_s, calls = client_and_broker(scenario)
    assert (token, calls) == ("TOKEN1", 2)
    assert waited_s >= 61


def test_too_soon_twice_is_an_error(client_and_broker):
    async def scenario(client, broker):
        broker.answer(TOKEN, TOO_SOON)
        with pytest.raises(TokenIssueTooSoonError, match="once a minute"):
            await client.wait_for(client.auth.access_token())
        return broker.count(TOKEN)

    assert client_and_broker(scenario) == 2


def test_the_minute_is_kept_after_an_issue_by_another_process(client_and_broker, token_reply, tmp_path):
    async def scenario(client, broker):
        broker.answer(TOKEN, (200, token_reply("A")), (200, token_reply("B")))
        token = await client.auth.access_token()
        await client.clock.advance(20)
        other = another(client, tmp_path / "cache")
        await other.invalidate(token)
        before = client.clock.now_us()
        token = await client.wait_for(other.access_token(), step_s=1)
        return token, (client.clock.now_us() - before) / 1e6

    token, waited_s = client_and_broker(scenario)
    assert token == "B"
    assert 41 <= waited_s <= 43


def test_many_calls_that_failed_with_one_token_cause_one_issue(client_and_broker, token_reply):
    async def scenario(client, broker):
        broker.answer(TOKEN, (200, token_reply("OLD")), (200, token_reply("NEW")))
        old = await client.auth.access_token()
        await client.clock.advance(120)

        async def fail_and_renew():
            await client.auth.invalidate(old)
            return await client.auth.access_token()

        return await asyncio.gather(*(fail_and_renew() for _ in range(10))), broker.count(TOKEN)

    assert client_and_broker(scenario) == (["NEW"] * 10, 2)


def test_a_token_replaced_by_another_process_is_taken_over(client_and_broker, token_reply, tmp_path):
    async def scenario(client, broker):
        broker.answer(TOKEN, (200, token_reply("OLD")), (200, token_reply("NEW")))
        await client.auth.access_token()
        await client.clock.advance(120)
        other = another(client, tmp_path / "cache")
        await other.invalidate("OLD")
        await other.access_token()
        await client.auth.invalidate("OLD")
        return await client.auth.access_token(), broker.count(TOKEN)

    assert client_and_broker(scenario) == ("NEW", 2)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"version": 1}', b'{"token": 5, "token_expires_us": "x"}', b"\xff\xfe", b"[" * 100_000],
)
def test_a_corrupt_cache_is_ignored_with_a_warning_and_written_anew(
    client_and_broker, token_reply, tmp_path, caplog, content
):
    async def scenario(client, broker):
        broker.answer(TOKEN, (200, token_reply()))
        await client.auth.access_token()
        cache = next((tmp_path / "cache").glob("auth-*.json"))
        cache.write_bytes(content)
        await client.clock.advance(120)
        token = await another(client, tmp_path / "cache").access_token()
        return token, json.loads(cache.read_bytes())["token"]

    with caplog.at_level(logging.WARNING, "hosu"):
        assert client_and_broker(scenario) == ("TOKEN1", "TOKEN1")
    assert "it is written anew" in caplog.text


def test_the_approval_key_is_kept_a_day_and_can_be_replaced(client_and_broker):
    async def scenario(client, broker):
        broker.answer(APPROVAL, *((200, {"approval_key": key}) for key in "ABC"))
        keys = [await client.auth.approval_key(), await client.auth.approval_key()]
        await client.auth.invalidate_approval("something else")
        keys.append(await client.auth.approval_key())
        await client.auth.invalidate_approval("A")
        keys.append(await client.auth.approval_key())
        await client.clock.advance(24 * 3600 - 500)
        return [*keys, await client.auth.approval_key()], json.loads(broker.requests[0]["body"])

    keys, body = client_and_broker(scenario)
    assert keys == ["A", "A", "A", "B", "C"]
    assert body == {"grant_type": "client_credentials", "appkey": "PSappkey", "secretkey": "TOPSECRETappsecret"}


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ((403, {"error_code": "EGW00103", "error_description": "유효하지 않은 AppKey"}), BrokerReplyError, "EGW00103"),
        ((500, "<html>busy</html>"), BrokerUnreachableError, "HTTP 500 without a JSON object"),
        ((503, {}), BrokerReplyError, "HTTP 503"),
        ((200, {"access_token": 5}), BrokerReplyError, "no usable access_token"),
        ((200, {"access_token": "a\nb"}), BrokerReplyError, "no usable access_token"),
        ((200, "[]"), BrokerUnreachableError, "without a JSON object"),
        ("drop", BrokerUnreachableError, "without an answer"),
        ((400, {"error_code": "X", "error_description": "TOPSECRETappsecret is bad"}), BrokerReplyError, "is bad"),
    ],
)
def test_what_goes_wrong_is_an_error_without_secrets(client_and_broker, answer, error, says):
    async def scenario(client, broker):
        broker.answer(TOKEN, answer)
        with pytest.raises(error, match=says) as caught:
            await client.auth.access_token()
        return caught.value

    raised = client_and_broker(scenario)
    assert "TOPSECRET" not in str(raised) + repr(raised)
    assert raised.__cause__ is None


def test_secrets_show_in_no_repr_and_no_message(client_and_broker, token_reply, caplog):
    async def scenario(client, broker):
        broker.answer(TOKEN, TOO_SOON, (200, token_reply("VERYSECRETTOKEN")))
        await client.wait_for(client.auth.access_token())
        return repr(client.auth) + repr(client.auth.__dict__)

    with caplog.at_level(logging.DEBUG):
        shown = client_and_broker(scenario)
    for secret in ("TOPSECRET", "VERYSECRET", "PSappkey"):
        assert secret not in shown
        assert secret not in caplog.text


PROCESS = """
import asyncio, sys
from pathlib import Path
from hosu.clock import SystemClock
from hosu.kis.auth import Auth
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http
from hosu.kis.limits import Governor, Pace

async def main():
    url, folder, clock = sys.argv[1], Path(sys.argv[2]), SystemClock()
    async with Http() as http:
        governor = Governor(folder / "governor", Pace(12), clock)
        auth = Auth(Host("simulator", url, "ws://127.0.0.1:1"), Credentials("k", "s"), http, governor,
                    cache_dir=folder, clock=clock)
        print(await auth.access_token(), await auth.approval_key())

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


def test_two_processes_that_start_together_cause_one_issue(client_and_broker, token_reply, tmp_path):
    async def scenario(client, broker):
        broker.answer(TOKEN, *((200, token_reply(t, "2099-01-01 00:00:00")) for t in ("ONE", "TWO")))
        broker.answer(APPROVAL, *((200, {"approval_key": key}) for key in ("KEY1", "KEY2")))
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROCESS,
                client.host.rest,
                str(tmp_path / "shared"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ,
            )
            for _ in range(2)
        ]
        for worker in workers:
            assert await worker.stdout.readline() == b"ready\n"
        outputs = await asyncio.gather(*(worker.communicate(b"go\n") for worker in workers))
        return [out for out, _ in outputs], broker.count(TOKEN), broker.count(APPROVAL)

    assert client_and_broker(scenario) == ([b"ONE KEY1\n"] * 2, 1, 1)
