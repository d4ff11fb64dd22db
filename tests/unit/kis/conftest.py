"""Real servers that answer as the test tells them: of HTTP for the client's REST side, of WebSocket for its feed."""

import asyncio
import contextlib
import json
import socket
import sys
from pathlib import Path
from random import Random

import pytest
from aiohttp import web
from uvloop import new_event_loop as new_uvloop

from hosu.clock import SimulatedClock
from hosu.kis.auth import Auth
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http, HttpConfig
from hosu.kis.limits import Governor, Pace
from hosu.kis.rest import RestClient

sys.path.insert(0, str(Path(__file__).parent))

from feed_stage import START_US, Server, Stage


class Broker:
    """Answers each request with the next of ``answers`` for its path: (status, body), "drop", or "hang"."""

    def __init__(self):
        self.answers = {}
        self.requests = []
        self.connections = set()
        self.headers = {}
        self._released = asyncio.Event()

    def answer(self, path, *answers):
        self.answers.setdefault(path, []).extend(answers)

    def count(self, path):
        return sum(request["path"] == path for request in self.requests)

    async def handle(self, request):
        self.connections.add(request.transport.get_extra_info("peername"))
        body = await request.text()
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = {"path": request.path, "query": dict(request.query), "headers": headers, "body": body}
        self.requests.append(seen)
        answers = self.answers.get(request.path, [(404, "no such path")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer == "drop":
            request.transport.abort()
            await asyncio.sleep(0)
            return web.Response()
        if answer == "hang":
            await self._released.wait()
            return web.Response()
        status, content = answer
        if isinstance(content, dict):
            content = json.dumps(content)
        return web.Response(status=status, text=content, headers=self.headers)

    @contextlib.asynccontextmanager
    async def serving(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            self._released.set()
            await runner.cleanup()


class Client:
    """The client's parts, wired to a broker under a simulated clock."""

    def __init__(self, url, cache_dir, clock, http):
        self.clock = clock
        self.host = Host("simulator", url, "ws://127.0.0.1:1")
        self.credentials = Credentials("PSappkey", "TOPSECRETappsecret")
        self.governor = Governor(cache_dir / "governor", Pace(12, 1.0), clock)
        self.http = http
        self.auth = Auth(self.host, self.credentials, http, self.governor, cache_dir=cache_dir, clock=clock)
        self.replies = []
        self.rest = RestClient(
            self.host,
            self.credentials,
            self.auth,
            self.governor,
            http,
            clock=clock,
            random=Random(1),
            on_reply=self.replies.append,
        )

    async def wait_for(self, awaitable, step_s=0.5):
        """The result, with the clock moving on whenever the work has nothing else to do."""
        task = asyncio.ensure_future(awaitable)
        while not task.done():
            await asyncio.wait([task], timeout=0.005)
            await self.clock.advance(step_s)
        return task.result()


@pytest.fixture
def client_and_broker(tmp_path):
    """Runs ``scenario(client, broker)`` against a served broker; returns what it returns."""

    def run(scenario, *, start_us=START_US, http=None, uvloop=False):
        async def main():
            broker = Broker()
            async with broker.serving() as url, Http(http or HttpConfig(total_timeout_s=5)) as connections:
                client = Client(url, tmp_path / "cache", SimulatedClock(start_us), connections)
                return await scenario(client, broker)

        with asyncio.Runner(loop_factory=new_uvloop if uvloop else None) as runner:
            return runner.run(main())

    return run


@pytest.fixture(params=["asyncio", "uvloop"])
def stage(request, client_and_broker, tmp_path):
    """Runs ``scenario(stage)`` on both event loops."""

    def run(scenario):
        async def with_server(client, broker):
            async with Server().serving() as server:
                result = await scenario(Stage(client, broker, server, tmp_path / "cache"))
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [task for task in others if task.get_name().startswith("kis-")]
            return result

        return client_and_broker(with_server, uvloop=request.param == "uvloop")

    return run


def token_reply(token="TOKEN1", expires="2025-09-16 09:00:00"):
    return {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": 1,  # known to be wrong at times; the text counts
        "access_token_token_expired": expires,
    }


@pytest.fixture(name="token_reply")
def _token_reply():
    return token_reply


@pytest.fixture
def unused_port():
    """A port on which nobody listens: bound for a moment, and let go of."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
