"""The mirror's manners: where the server is, who may know the password, and what a server may answer."""

import base64
import json
import logging
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hosu.cli.mirroring import mirror_if_set
from hosu.cli.models import mirror as by_hand
from hosu.cli.output import Format
from hosu.clock import SimulatedClock
from hosu.errors import InputError, MirrorError, MirrorNamesError, NotInstalledError
from hosu.lake.lake import Lake
from hosu.models import mlflow_mirror, mlflow_server
from hosu.models.mlflow_mirror import Mirrored, mirror
from hosu.models.mlflow_server import Server
from hosu.models.registry import Registry

SECRET = "p@ss:word/1"
HEADER = base64.b64encode(f"me:{SECRET}".encode()).decode()
HOSTILE = {
    "a page": (200, b"<html>hello</html>"),
    "nothing": (200, b""),
    "an array": (200, b"[]"),
    "another object": (200, b'{"hello": 1}'),
    "a wrong type": (200, b'{"experiment": 3}'),
    "wrong types within": (200, b'{"experiment": {"experiment_id": [1], "tags": 7}}'),
    "bytes": (200, b"\xff\xfe\x00"),
    "depth": (200, b'{"experiment":' * 100_000),
    "a fault": (500, b"<html>proxy error</html>"),
    "an echo of the header": (400, f'{{"error_code": "X", "message": "Basic {HEADER}"}}'.encode()),
    "an echo without form": (418, f"you said Basic {HEADER}".encode()),
    "an echo": (400, f'{{"error_code": "X", "message": "you said {SECRET}"}}'.encode()),
    "another experiment": (
        200,
        b'{"experiment": {"experiment_id": "1", "name": "other", "lifecycle_stage": "active"}}',
    ),
}


class Answers(ThreadingHTTPServer):
    """Answers every request alike; ``asked`` has their Authorization headers.

    Status 0: hangs up. ``drips``: the last byte comes when that is set.
    """

    daemon_threads = True

    def __init__(self, status: int, body: bytes, headers: dict[str, str], drips: threading.Event | None) -> None:
        asked: list[str | None] = []
        self.asked = asked

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                asked.append(self.headers.get("Authorization"))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + (drips is not None)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if drips is not None:
                    drips.wait()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def answering():
    """Starts servers that answer so."""
    begun, ended = [], threading.Event()

    def start(status, body=b"", headers=None, *, drips=False):
        made = Answers(status, body, headers or {}, ended if drips else None)
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        begun.append((made, thread))
        return made

    yield start
    ended.set()
    for made, thread in begun:
        made.shutdown()
        made.server_close()
        thread.join()


@pytest.fixture
def registry(tmp_path) -> Registry:
    made = Registry(Lake.open(str(tmp_path / "lake")), SimulatedClock())
    made.register("day-1", {"direction.onnx": b"1"}, {"kind": "gbdt"}, "edge")
    return made


def at(answers):
    return Server.of(f"http://me:p%40ss%3Aword%2F1@127.0.0.1:{answers.server_port}/base/")


@pytest.fixture(autouse=True)
def with_client(request):
    if "answering" in request.fixturenames:
        pytest.importorskip("mlflow")


@pytest.mark.parametrize("what", HOSTILE)
def test_a_server_that_answers_anything_is_told_in_one_sentence_without_the_password(answering, registry, what):
    answers = answering(*HOSTILE[what])
    with pytest.raises(MirrorError) as told:
        mirror(registry, "lake", at(answers))
    text = str(told.value)
    assert text.startswith(
        f"the MLflow server at http://127.0.0.1:{answers.server_port}/base was not brought up to date ("
    )
    assert text.endswith("put the server right and run `hosu models mirror`")
    assert SECRET not in text
    assert HEADER not in text
    assert text.isprintable()
    assert len(text) < 400


def test_a_model_whose_names_are_taken_keeps_no_other_from_the_mirror(registry, monkeypatch, tmp_path, capsys):
    pytest.importorskip("mlflow")
    registry.register("minute-10", {"direction.onnx": b"1"}, {"kind": "gbdt"}, "edge")

    def brought(side):
        if side.model == "day-1":
            raise InputError("experiment hosu-day-1", "was deleted on the server", "restore it there")
        return Mirrored(side.model, 1, 2, 1, {})

    monkeypatch.setattr(mlflow_mirror._Side, "bring_up_to_date", brought)
    with pytest.raises(MirrorNamesError) as told:
        mirror(registry, "lake", Server.of("http://127.0.0.1:1"))
    assert [each.model for each in told.value.done] == ["minute-10"]
    assert str(told.value) == (
        "not mirrored: day-1: experiment hosu-day-1: was deleted on the server; restore it there; mirrored: minute-10"
    )

    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.setenv("HOSU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOSU_MLFLOW_URI", "http://127.0.0.1:1")
    mirror_if_set(Lake.open(str(tmp_path / "lake")), registry)
    assert capsys.readouterr().err.splitlines() == [
        "minute-10: mirrored, 2 added, 1 aliases moved", f"warning: {told.value}",
    ]  # fmt: skip
    with pytest.raises(MirrorNamesError):
        by_hand(str(tmp_path / "lake"), Format.json)
    assert [row["model"] for row in json.loads(capsys.readouterr().out)] == ["minute-10"]


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"You are not authenticated.", b'{"error_code": "UNAUTHENTICATED", "message": "no"}'])
def test_a_server_that_wants_a_user_says_where_to_put_one(answering, registry, status, body):
    answers = answering(status, body)
    with pytest.raises(MirrorError, match=r"it refuses .*HOSU_MLFLOW_URI=http://user:password@host:port"):
        mirror(registry, "lake", at(answers))
    wanted = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
    assert set(answers.asked) == {wanted}


def test_a_server_that_hangs_up_and_one_that_is_not_there_cannot_be_reached(answering, registry):
    answers = answering(0)
    with pytest.raises(MirrorError, match="it cannot be reached"):
        mirror(registry, "lake", at(answers))
    with pytest.raises(MirrorError, match="it cannot be reached"):
        mirror(registry, "lake", Server.of("http://127.0.0.1:1"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_asks_for_an_hour_is_asked_once_more_at_once_and_its_status_told(answering, registry, status):
    answers = answering(status, b"slow", {"Retry-After": "3600"})
    with pytest.raises(MirrorError, match=rf"\(it answered {status}\)"):
        mirror(registry, "lake", at(answers))
    assert len(answers.asked) == 2


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed_and_told_without_where_it_leads(answering, registry, status):
    elsewhere = answering(200, b"{}")
    answers = answering(status, b"", {"Location": f"http://127.0.0.1:{elsewhere.server_port}/?{HEADER}"})
    with pytest.raises(MirrorError, match=f"it answered {status}: it is somewhere else") as told:
        mirror(registry, "lake", at(answers))
    assert HEADER not in str(told.value)
    assert elsewhere.asked == []


def test_a_server_whose_answer_never_ends_is_given_up(answering, registry, monkeypatch):
    # A timeout between two bytes says nothing of a server that drips; here the last byte comes after the test.
    monkeypatch.setattr(mlflow_server, "CALL_S", 0.3)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1000")
    with pytest.raises(MirrorError, match=r"it did not answer within 0\.3 s"):
        mirror(registry, "lake", at(answering(200, b"{", drips=True)))


def test_the_library_logs_nothing_of_its_own_and_may_again_afterwards(answering, registry, caplog):
    before = logging.getLogger("mlflow").level
    for status, body, headers in ((500, b"fault", {}), (400, b'{"error_code": "no such code"}', {})):
        with pytest.raises(MirrorError):
            mirror(registry, "lake", at(answering(status, body, headers)))
    assert [each for each in caplog.records if each.name.startswith(("mlflow", "urllib3"))] == []
    assert logging.getLogger("mlflow").level == before


def test_without_the_client_it_says_how_to_get_it(registry, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(NotInstalledError, match=r"pip install 'hosu\[mlflow\]'"):
        mirror(registry, "lake", Server.of("http://127.0.0.1:1"))


def test_the_environment_is_as_before_whatever_happened(answering, registry, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    before = dict(os.environ)
    with pytest.raises(MirrorError):
        mirror(registry, "lake", at(answering(500)))
    assert dict(os.environ) == before


def test_a_model_of_which_only_the_base_rates_are_known_asks_the_server_nothing(answering, tmp_path):
    answers = answering(500)
    registry = Registry(Lake.open(str(tmp_path / "other")), SimulatedClock())
    registry.count("day-1", {"prior": [0.3, 0.3, 0.4]}, "counted")
    assert mirror(registry, "lake", at(answers)) == []
    assert answers.asked == []


def test_a_lake_without_models_asks_the_server_nothing(answering, tmp_path):
    answers = answering(500)
    empty = Registry(Lake.open(str(tmp_path / "empty")), SimulatedClock())
    assert mirror(empty, "lake", at(answers)) == []
    assert answers.asked == []


def test_user_and_password_are_taken_out_of_the_address_and_shown_nowhere():
    server = Server.of("https://me:p%40ss%3Aword%2F1@[::1]:5000/base/")
    assert (server.address, server.user, server.password) == ("https://[::1]:5000/base", "me", SECRET)
    assert SECRET not in repr(server)
    assert Server.of(" http://host ").address == "http://host"


@pytest.mark.parametrize(
    "uri",
    ["", "host:5000", "file:///tmp/secret", "sqlite:///secret", "http://", "http://me:secret@host:port", "http://[secret",
     "http://host/?token=secret", "databricks://secret", "http://me:1/secret@host:5000", "http://me:/secret@host:5000",
     "http://me:secret@ho st", "http://me:secret@ho\nst", "http://me:secret%00@host", "http://me%0d%0aX:secret@host"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_being_shown(uri):
    with pytest.raises(InputError, match="HOSU_MLFLOW_URI: is no address of a server; write it as") as told:
        Server.of(uri)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("name", ["", "a/b", "ä", "a" * 51, "-a", "a'b"])
def test_names_that_a_server_would_refuse_are_refused_before(name):
    with pytest.raises(InputError, match="is no name"):
        Server.of("http://host", name)


def test_the_setting_is_a_secret(monkeypatch):
    from hosu.settings import MlflowSettings, load

    monkeypatch.setenv("HOSU_MLFLOW_URI", "http://me:secret@host")
    assert "secret" not in repr(load(MlflowSettings)) + json.dumps(load(MlflowSettings).model_dump(mode="json"))
