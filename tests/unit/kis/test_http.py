import asyncio

import pytest

from hosu.errors import BrokerUnreachableError
from hosu.kis.http import Http, HttpConfig


def test_any_status_is_a_reply_with_its_headers(client_and_broker):
    async def scenario(client, broker):
        broker.headers = {"TR_CONT": "M"}
        broker.answer("/a", (500, "짐"))
        reply = await client.http.get(f"{client.host.rest}/a", {"X": "1 2&3"})
        return reply.status, reply.headers["tr_cont"], reply.body.decode(), broker.requests[0]["query"]

    assert client_and_broker(scenario) == (500, "M", "짐", {"X": "1 2&3"})


def test_the_user_agent_can_be_set(client_and_broker):
    async def scenario(client, broker):
        await client.http.get(f"{client.host.rest}/a")
        return broker.requests[0]["headers"]["user-agent"]

    assert client_and_broker(scenario) == "hosu"
    assert client_and_broker(scenario, http=HttpConfig(user_agent="Mozilla/5.0")) == "Mozilla/5.0"


def test_connections_are_reused_unless_a_new_one_is_wanted(client_and_broker):
    async def scenario(client, broker):
        counts = []
        for new in (False, False, True, True):
            await client.http.get(f"{client.host.rest}/a", new_connection=new)
            counts.append(len(broker.connections))
        return counts

    assert client_and_broker(scenario) == [1, 1, 2, 3]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ("drop", "the server closed the connection without an answer"),
        ("hang", "no answer in time"),
        ((200, "x" * 2000), "the reply exceeds 1000 bytes"),
    ],
)
def test_no_usable_reply_is_one_error_without_headers(client_and_broker, answer, cause):
    async def scenario(client, broker):
        broker.answer("/a", answer)
        with pytest.raises(BrokerUnreachableError) as caught:
            await client.http.get(f"{client.host.rest}/a", {"q": "1"}, {"appsecret": "TOPSECRET"}, new_connection=True)
        return caught.value, client.host.rest

    error, rest = client_and_broker(scenario, http=HttpConfig(total_timeout_s=0.3, max_reply_bytes=1000))
    assert (error.address, error.cause) == (f"{rest}/a", cause)
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__


def test_nobody_listening_is_said(unused_port):
    async def main():
        async with Http() as http:
            await http.get(f"http://127.0.0.1:{unused_port}/")

    with pytest.raises(BrokerUnreachableError, match="Connect"):
        asyncio.run(main())


def test_a_name_that_cannot_be_looked_up_is_said():
    async def scenario():
        async with Http() as http:
            await http.get("http://a..b:1/x")

    with pytest.raises(BrokerUnreachableError, match="its name is none that can be looked up"):
        asyncio.run(scenario())


def test_a_redirect_is_not_followed_with_the_keys(client_and_broker):
    async def scenario(client, broker):
        broker.headers = {"Location": "/elsewhere"}
        broker.answer("/a", (302, ""))
        reply = await client.http.get(f"{client.host.rest}/a", headers={"appsecret": "s"})
        return reply.status, broker.count("/elsewhere")

    assert client_and_broker(scenario) == (302, 0)
