"""The program's own doors: SQL text, frames to explain, a status to show, a lake whose files were damaged, and what
clients send to the simulator."""

import asyncio
import json
import shutil

import pytest
from hostile import LEAVES, accepted_or_refused, mutated, mutated_json, nested, patience
from hypothesis import example, given
from hypothesis import strategies as st

from effort import examples
from hosu.cli.checking import checked
from hosu.cli.output import Format, emit_reader
from hosu.cli.status import _show
from hosu.collect.sinks import EventBatch
from hosu.errors import QueryError
from hosu.kis.layouts import LAYOUTS
from hosu.kis.simulator.account import Accounts
from hosu.kis.simulator.oauth import approve, issue_token, revoke_token
from hosu.kis.simulator.sessions import Session as SimulatorSession
from hosu.kis.simulator.sessions import SlotConfig, Slots
from hosu.lake.lake import Lake
from hosu.lake.sql import Session, SqlConfig
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink
from hosu.market.events import EVENT_SCHEMAS

import pyarrow as pa  # isort: skip

# --- SQL ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The folder of a small lake. Not to be changed."""
    folder = tmp_path_factory.mktemp("stored") / "lake"
    fill(Lake.open(str(folder)))
    return folder


def fill(lake):
    schema = EVENT_SCHEMAS["trades"]
    rows = [
        {"date": "2025-09-15", "wal_id": "w1", "lsn": i, "record_no": 0, "scope": "KRX", "symbol": "005930",
         "price": 70_000.0, "size": 1, "cum_volume": i + 1, "source": "ws"}
        for i in range(4)
    ]  # fmt: skip
    events = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    sink = LakeSink(lake)
    sink.write(EventBatch("w1", 0, 3, {"trades": events}, 4))
    sink.close()


@pytest.fixture(scope="module")
def session(stored):
    with Session(Lake.open(str(stored), create=False), SqlConfig(memory_mib=256, threads=1)) as opened:
        yield opened


SOUND = b"WITH t AS (SELECT symbol, sum(size) AS shares FROM trades GROUP BY 1) SELECT * FROM t ORDER BY 2 DESC LIMIT 3"
TOKENS = ["SELECT", "FROM", "trades", "(", ")", "*", ",", "'", '"', ";", "--", "/*", "EXPLAIN", "ANALYZE", "COPY", "TO",
          "'/etc/passwd'", "read_csv", "ATTACH", "PRAGMA", "SET", "1e999", "9" * 400, "\0", "\ud800", "한글", "$1", "?",
          "x'", "[", "{", "::", "HUGEINT", "INTERVAL", "WHERE", "AND", "LIMIT", "-1", "NULL", "DATE", "'290000-01-01'",
          "TIMESTAMP", "'infinity'", "CAST", "AS", "getenv('HOME')", "read_text"]  # fmt: skip
QUERIES = st.one_of(
    mutated(SOUND, 3).map(lambda raw: raw.decode("utf-8", "replace")),
    st.lists(st.sampled_from(TOKENS), max_size=12).map(" ".join),
    st.sampled_from(TOKENS).map(lambda token: f"SELECT {token} FROM trades"),
    st.text(max_size=40),
)


@examples(300)
@given(QUERIES)
@example("SELECT " + "(" * 20_000 + "1" + ")" * 20_000)
@example("SELECT " + "-" * 10_000 + "1")
@example("SELECT '" + "\ud800" + "'")
@example("SELECT 1;\0 DROP TABLE trades")
@example("SELECT repeat('x', 1000000000000)")
@example("EXPLAIN " * 2_000 + "SELECT 1")
@example("SELECT * FROM read_text('/etc/passwd')")
def test_sql_is_answered_or_refused(session, text):
    with accepted_or_refused(lines=True):
        session.query(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("DATE '290000-01-01'", None),
        ("DATE '0044-03-15 (BC)'", None),
        ("DATE 'infinity'", None),
        ("TIMESTAMP 'infinity'", None),
        ("TIMESTAMP '290000-01-01 00:00:00'", None),
        ("TIMESTAMPTZ '290000-01-01 00:00:00+00'", None),
        ("INTERVAL '1000000000 days'", None),
        ("TIME '24:00:00'", None),
        ("170141183460469231731687303715884105727::HUGEINT", None),
        ("'NaN'::DOUBLE", None),
        ("'\\xFF'::BLOB", None),
        ("{'a': [1, NULL]}", None),
        ("MAP {'a': 1}", None),
        ("'1'::BIT", None),
        ("uuid()", None),
        ("''", ""),
        ("chr(0)", "\0"),
        ("chr(27) || '[2J'", "\x1b[2J"),
    ],
)
@pytest.mark.parametrize("format_", list(Format))
def test_every_value_that_sql_can_make_can_be_printed(session, capsys, value, shown, format_):
    with accepted_or_refused(lines=True):
        emit_reader(session.reader(f"SELECT {value} AS v"), format_)
    out = capsys.readouterr().out
    if format_ is Format.json and out:
        (row,) = json.loads(out)
        assert shown is None or row["v"] == shown
    assert format_ is Format.json or "\x1b" not in out


def test_a_query_beyond_its_memory_says_so(session):
    with pytest.raises(QueryError):
        session.query("SELECT list(range) FROM range(200000000)")


# --- frames to explain, a status to show ----------------------------------------------------------------------------


@examples(60)
@given(st.lists(st.one_of(mutated(b"0|H0STASP0|001|005930^093354"), mutated_json({"raw": "0|H0STCNT0|001|1"}),
                          st.sampled_from([20_000, *range(900, 1_000, 9)]).map(lambda n: nested(n).encode())),
                max_size=4))  # fmt: skip
def test_hosu_decode_prints_json_whatever_it_reads(tmp_path, capsys, lines):
    import typer

    from hosu.cli.decode import decode

    path = tmp_path / "frames.txt"
    path.write_bytes(b"\n".join(line.replace(b"\n", b"") for line in lines))
    with accepted_or_refused(typer.Exit):
        decode(path)
    for line in capsys.readouterr().out.encode("utf-8", "backslashreplace").split(b"\n"):
        assert not line or json.loads(line) is not None


STATUS = {
    "state": "running", "reason": "", "pid": 1, "runtime_s": 1.5, "records": 5, "records_per_s": 2.0,
    "success_rate": 1.0,
    "quarantined": 0, "latency_us": {"p50": 5, "p99": 9, "max": 10}, "business_date": 20250915, "durable_lsn": 5,
    "commits": 2, "bytes_written": 900, "buffers": {"log_queue_bytes": 0, "lag_records": {"lake": 0}},
    "connections": {"1": {"registered": 2}}, "reconnects": 0, "trouble": {},
    "sinks": {"lake": {"commits": 1, "bytes": 5}},
}  # fmt: skip


@examples(150)
@given(st.sampled_from(sorted(STATUS)), LEAVES, st.booleans(), st.sampled_from(list(Format)))
def test_a_status_is_shown_or_refused(capsys, name, value, drop, format_):
    found = {**STATUS, name: value}
    if drop:
        del found[name]
    with accepted_or_refused():
        _show(checked(found), format_)


# --- a damaged lake -------------------------------------------------------------------------------------------------

PARTS = ("_delta_log/*.json", "date=*/*.parquet", "../../_hosu/lake.json")


@pytest.mark.slow
@examples(100)
@given(st.sampled_from(PARTS), st.data())
def test_a_lake_with_a_damaged_file_is_read_or_refused_and_never_panics(tmp_path, stored, data_of_part, data):
    folder = tmp_path / "lake"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stored, folder)
    found = sorted((folder / "raw" / "trades").glob(data_of_part))
    path = data.draw(st.sampled_from(found))
    path.write_bytes(data.draw(mutated(path.read_bytes())))
    with accepted_or_refused():
        lake = Lake.open(str(folder), create=False)
        with Session(lake, SqlConfig(memory_mib=256, threads=1)) as opened:
            opened.query("SELECT symbol, sum(size), max(ts_recv) FROM trades GROUP BY 1")
    with accepted_or_refused():
        sink = LakeSink(Lake.open(str(folder)))
        sink.resume_after("w1")
    with accepted_or_refused():
        verify(Lake.open(str(folder), create=False))


# --- what clients send to the simulator -------------------------------------------------------------------------------

REQUEST = {"header": {"approval_key": "K", "custtype": "P", "tr_type": "1", "content-type": "utf-8"},
           "body": {"input": {"tr_id": "H0STCNT0", "tr_key": "005930"}}}  # fmt: skip
KEYS = {
    "grant_type": "client_credentials",
    "appkey": "PSkey",
    "appsecret": "secret",
    "secretkey": "secret",
    "token": "t",
}


@examples(150)
@example([json.dumps({**REQUEST, "body": {"input": {"tr_id": "H0STCNT0", "tr_key": "\ud800"}}}).encode()])
@given(st.lists(st.one_of(mutated_json(REQUEST), mutated(json.dumps(REQUEST).encode())), max_size=4))
def test_the_simulator_answers_any_request_with_a_code(requests):
    slots = Slots(SlotConfig(), Stopped())
    client = SimulatorSession(1, slots, frozenset(LAYOUTS), lambda key: "PSkey" if key == "K" else None)
    for request in requests:
        with patience():
            answer = client.answer(request.decode("utf-8", "replace"))
        assert answer.code
        if answer.text is not None:
            json.loads(answer.text)


class Stopped:
    """A clock that stands."""

    def now_us(self):
        return 1_757_894_400_000_000

    def monotonic(self):
        return 5.0

    async def sleep(self, seconds):
        await asyncio.sleep(0)


@examples(100)
@example([json.dumps({**KEYS, "appkey": "\ud800", "appsecret": "\ud800", "token": "\ud800"}).encode()], approve)
@given(st.lists(mutated_json(KEYS), max_size=4), st.sampled_from([issue_token, revoke_token, approve]))
def test_the_simulator_gives_out_keys_or_refuses(bodies, act):
    accounts = Accounts(Stopped())
    for raw in bodies:
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(body, dict):
            status, answer = act(body, accounts, 5) if act is issue_token else act(body, accounts)
            assert status in (200, 403)
            json.dumps(answer)
