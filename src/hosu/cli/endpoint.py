"""Health over HTTP on this machine alone: ``/alive``, ``/ready`` and ``/health``, answered by a thread of its own.

The thread answers while the event loop hangs, and that is when the answer matters.
"""

from __future__ import annotations

import errno
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar, Final

from hosu.errors import InputError, PortInUseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.collect.health import Health

ADDRESS: Final = "127.0.0.1"
_PATIENCE_S: Final = 5.0
_ROUTES: Final[dict[str, Callable[[Health], tuple[bool, str]]]] = {
    "/alive": lambda health: (health.alive, health.sentence + "\n"),
    "/ready": lambda health: (health.ready, health.sentence + "\n"),
    "/health": lambda health: (health.ready, json.dumps(health.as_json(), ensure_ascii=False) + "\n"),
}
"""What each path answers: whether all is well (200, else 503), and the body. Further formats are further paths."""


class Endpoint:
    """A server on 127.0.0.1; ``ask`` gives the health, in the server's thread.

    Raises:
        PortInUseError, InputError: somebody has the port, or we may not have it.
    """

    def __init__(self, port: int, ask: Callable[[], Health]) -> None:
        handler = type("Handler", (_Handler,), {"ask": staticmethod(ask)})
        try:
            self._server = _Server((ADDRESS, port), handler)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(ADDRESS, port) from None
            fault = error.strerror or str(error)
            raise InputError(f"port {port}", f"cannot be had ({fault})", "choose one above 1023") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="hosu-health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Answers no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True  # a restart finds the last one's connections in TIME_WAIT

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever hangs up in the middle is no news."""


class _Handler(BaseHTTPRequestHandler):
    ask: ClassVar[Callable[[], Health]]
    timeout = _PATIENCE_S
    server_version = "hosu"
    sys_version = ""

    def do_GET(self) -> None:
        answer = _ROUTES.get(self.path.split("?")[0])
        if answer is None:
            self._reply(404, f"choose one of {', '.join(_ROUTES)}\n")
            return
        well, body = answer(type(self).ask())
        self._reply(200 if well else 503, body)

    do_HEAD = do_GET  # noqa: N815 - as the library calls it

    def _reply(self, code: int, text: str) -> None:
        body = text.encode("utf-8", "backslashreplace")
        self.send_response(code)
        kind = "application/json" if text.startswith("{") else "text/plain; charset=utf-8"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """A probe every second is no news."""
