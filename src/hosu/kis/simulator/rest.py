"""The HTTP side of the simulated broker: keys, quotation calls, master files."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from hosu.errors import PortInUseError
from hosu.kis.masters import encode_master
from hosu.kis.simulator import oauth
from hosu.kis.simulator.gateway_codes import GATEWAY
from hosu.kis.simulator.rest_calls import CALLS, QUOTATIONS, BadQueryError, Call, Market, answer
from hosu.market.instruments import Market as Listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.clock import Clock
    from hosu.kis.simulator.account import Accounts
    from hosu.kis.simulator.faults import Faults
    from hosu.kis.simulator.quota import Quota

_OK: Final = {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다.".ljust(40)}  # padded, as the broker's
_TEXTS: Final = GATEWAY | {
    "OPSQ0002": "없는 서비스 코드 입니다",
    "OPSQ9999": "JSON PARSING ERROR : tr_id not found",
}
_BODY_MAX: Final = 64 * 1024
_MASTER: Final = re.compile(r"(kospi|kosdaq|konex)_code\.mst\.zip")


@dataclass(frozen=True, slots=True)
class RestConfig:
    """``token_fault_status`` is the HTTP status of EGW00121 and EGW00123: 500, or 200 as some clients report it."""

    host: str = "127.0.0.1"
    port: int = 0
    paper: bool = False
    token_fault_status: int = 500


class RestServer:
    """Serves one market to any number of clients."""

    def __init__(
        self,
        config: RestConfig,
        market: Market,
        *,
        accounts: Accounts,
        quota: Quota,
        faults: Faults,
        clock: Clock,
    ) -> None:
        self._config, self._market, self._accounts = config, market, accounts
        self._quota, self._faults, self._clock = quota, faults, clock
        self._runner: web.AppRunner | None = None
        self._port: int | None = None
        self._serial = 0
        self.asked_s: float | None = None
        """When (monotonic) a quotation was last answered; None before the first."""

    @property
    def port(self) -> int:
        """The port it listens on, or listened on until it was stopped."""
        assert self._port is not None, "start it first"
        return self._port

    @property
    def connected(self) -> bool:
        """Whether any client holds a connection."""
        return self._runner is not None and self._runner.server is not None and bool(self._runner.server.connections)

    async def start(self) -> None:
        """Listens. Raises PortInUseError."""
        app = web.Application(client_max_size=_BODY_MAX, middlewares=[self._fail_on_purpose])
        app.router.add_post("/oauth2/tokenP", self._keys(self._issue))
        app.router.add_post("/oauth2/revokeP", self._keys(lambda body: oauth.revoke_token(body, self._accounts)))
        app.router.add_post("/oauth2/Approval", self._keys(lambda body: oauth.approve(body, self._accounts)))
        app.router.add_get(QUOTATIONS + "{name}", self._quote)
        app.router.add_get("/common/master/{file}", self._master)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        except OSError as fault:
            await self._runner.cleanup()
            raise PortInUseError(self._config.host, self._config.port) from fault
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stops listening and ends what is under way."""
        if self._runner is not None:
            await self._runner.cleanup()

    # --- keys -----------------------------------------------------------------------------------------------------

    def _issue(self, body: dict[str, Any]) -> oauth.Answer:
        return oauth.issue_token(body, self._accounts, self._clock.now_us())

    def _keys(self, act: Callable[[dict[str, Any]], oauth.Answer]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.Response:
            try:
                body = json.loads(await request.read())
            except (ValueError, RecursionError):
                body = None
            if not isinstance(body, dict):
                return _reply(403, {"error_description": "유효하지 않은 요청입니다.", "error_code": "EGW00101"})
            return _reply(*act(body))

        return handle

    # --- quotations -----------------------------------------------------------------------------------------------

    async def _quote(self, request: web.Request) -> web.Response:
        call = CALLS.get(request.match_info["name"])
        if call is None:
            return _reply(404, {"rt_cd": "1", "msg_cd": "OPSQ0002", "msg1": _TEXTS["OPSQ0002"]})
        fault = self._caller_fault(request) or self._call_fault(request, call)
        if fault is not None:
            return self._refuse(fault)
        if not self._quota.take(request.headers["appkey"], self._clock.monotonic()):
            return self._refuse("EGW00201")
        try:
            body = _OK | answer(call, self._market, request.query)
        except BadQueryError as fault_in_query:
            body = {"rt_cd": "1", "msg_cd": fault_in_query.code, "msg1": fault_in_query.text}
        self.asked_s = self._clock.monotonic()
        return _reply(200, body, self._headers(call))

    def _caller_fault(self, request: web.Request) -> str | None:
        headers = request.headers
        kind, _, token = headers.get("authorization", "").partition(" ")
        if not token:
            return "EGW00122"
        if kind.lower() != "bearer":
            return "EGW00205"
        appkey = headers.get("appkey", "")
        return self._accounts.check(appkey, headers.get("appsecret", "")) or self._accounts.check_token(token, appkey)

    def _call_fault(self, request: web.Request, call: Call) -> str | None:
        tr_id = request.headers.get("tr_id")
        if tr_id is None:
            return "OPSQ9999"
        if self._config.paper and not call.paper:
            return "EGW00213"
        if tr_id not in {call.tr_id, _paper_name(call.tr_id) if self._config.paper else call.tr_id}:
            return "OPSQ0002"
        # The broker lists custtype as required, but clients without it are served.
        return None if request.headers.get("custtype", "P") in {"P", "B"} else "EGW00208"

    def _refuse(self, code: str) -> web.Response:
        status = self._config.token_fault_status if code in {"EGW00121", "EGW00123"} else 500
        return _reply(status, {"rt_cd": "1", "msg_cd": code, "msg1": _TEXTS[code]})

    def _headers(self, call: Call) -> dict[str, str]:
        self._serial += 1
        return {"tr_id": call.tr_id, "tr_cont": "", "gt_uid": f"{self._serial:032x}"}

    # --- master files and faults ----------------------------------------------------------------------------------

    async def _master(self, request: web.Request) -> web.Response:
        named = _MASTER.fullmatch(request.match_info["file"])
        if named is None:
            raise web.HTTPNotFound
        listing = Listing(named.group(1).upper())
        instruments = [each for each in self._market.tape.instruments.values() if each.market is listing]
        if not instruments:  # the broker's files are never empty, so an empty one would be no imitation
            raise web.HTTPNotFound
        data = await asyncio.to_thread(encode_master, instruments, listing)
        return web.Response(body=data, content_type="application/zip")

    @web.middleware
    async def _fail_on_purpose(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        named = {name.upper(): value for name, value in request.query.items()}
        symbol, tr_id = named.get("FID_INPUT_ISCD", ""), request.headers.get("tr_id", "")
        fault = self._faults.on_rest(request.path, tr_id, symbol, self._market.now_us())
        if fault is not None:
            if fault.expires:
                self._accounts.expire_tokens()
            await self._clock.sleep(fault.delay_s)
        if fault is None or fault.status is None:
            answered: web.StreamResponse = await handler(request)
            return answered
        if fault.status == 0 and request.transport is not None:
            request.transport.abort()
        return web.Response(status=fault.status or 500, text=fault.body, content_type="application/json")


def _paper_name(tr_id: str) -> str:
    """In paper trading a TR id that begins with T, J or C begins with V."""
    return f"V{tr_id[1:]}" if tr_id[0] in "TJC" else tr_id


def _reply(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return web.Response(status=status, text=text, content_type="application/json", headers=headers)
