import json
from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from rich.console import Console

from hosu.cli import output
from hosu.cli.output import Format, cell, counted, emit_json, emit_reader, emit_rows
from hosu.errors import BrokerReplyError


def test_json_is_for_any_reader_nan_and_infinity_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    emit_json([{"a": float("nan"), "b": [float("inf"), 1.5], "c": Decimal(12)}])
    assert capsys.readouterr().out == '[{"a": null, "b": [null, 1.5], "c": 12}]\n'


def test_a_result_streams_as_one_json_array(capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"n": list(range(5))})
    emit_reader(pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=2)), Format.json)
    assert json.loads(capsys.readouterr().out) == [{"n": n} for n in range(5)]
    emit_reader(pa.RecordBatchReader.from_batches(table.schema, []), Format.json)
    assert json.loads(capsys.readouterr().out) == []


def test_a_table_shows_the_first_rows_and_says_that_there_are_more(capsys: pytest.CaptureFixture[str]) -> None:
    table = pa.table({"n": list(range(5))})
    emit_reader(pa.RecordBatchReader.from_batches(table.schema, table.to_batches(2)), Format.table, most=3)
    said = capsys.readouterr()
    assert [line.strip() for line in said.out.splitlines()][2:] == ["0", "1", "2"]
    assert said.err.startswith("the first 3 rows are shown")


def test_a_map_is_an_object_whatever_its_keys_are(capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect() as duck:
        found = duck.sql(
            "SELECT map {'close': 70000.5, 'volume': 5.0} AS ohlcv, map {1: 'a'} AS number, "
            "map {DATE '2026-09-15': 1} AS day, [map {'a': 1}] AS inner, map {[1, 2]: 'x'} AS listed, "
            "NULL::MAP(VARCHAR, INT) AS nothing"
        ).to_arrow_table()
    emit_reader(found.to_reader(), Format.json)
    assert json.loads(capsys.readouterr().out) == [
        {
            "ohlcv": {"close": 70000.5, "volume": 5},
            "number": {"1": "a"},
            "day": {"2026-09-15": 1},
            "inner": [{"a": 1}],
            "listed": [[[1, 2], "x"]],
            "nothing": None,
        }
    ]
    emit_reader(found.to_reader(), Format.table)
    cells = [each.strip() for each in capsys.readouterr().out.splitlines()[-1].split("│")]
    shown = ['{"close": 70000.5, "volume": 5}', '{"1": "a"}', '{"2026-09-15": 1}', '[{"a": 1}]', '[[[1, 2], "x"]]', ""]
    assert cells == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (True, "yes"), (1234567, "1,234,567"), (0.5, "0.5"), (12.0, "12"), (Decimal(1000), "1,000")],
)
def test_cells_read_well(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_one_is_no_plural() -> None:
    assert [counted(n, "commit") for n in (0, 1, 2, 1_536)] == ["0 commits", "1 commit", "2 commits", "1,536 commits"]


def test_a_brokers_text_cannot_break_a_terminal_or_a_log() -> None:
    error = BrokerReplyError("EGW\ud800", "bad\x1b[31m \udfff 오류", call="inquire-price")
    assert str(error) == "inquire-price: the broker answered EGW? bad?[31m ? 오류"


def test_half_a_surrogate_pair_is_escaped_and_everything_else_is_as_it_was(capsys) -> None:
    emit_json({"a": "\ud800", "b": "삼성전자", "c": float("nan")})
    out = capsys.readouterr().out
    assert out == '{"a": "\\ud800", "b": "삼성전자", "c": null}\n'
    assert json.loads(out)["a"] == "\ud800"


_DAY = {"date": "2026-09-15", "certified": 3, "missing_shares": 1200, "why": "end of the day not seen"}


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            60,
            [
                "date       ┃ certified ┃ missing_shares ┃ why",
                "━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━",
                "2026-09-15 │         3 │          1,200 │ end of the day not",
                "           │           │                │ seen",
            ],
        ),
        (
            44,
            [
                "           ┃           ┃ missing_ ┃",
                "date       ┃ certified ┃   shares ┃ why",
                "━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━━",
                "2026-09-15 │         3 │    1,200 │ end of",
                "           │           │          │ the day",
                "           │           │          │ not seen",
            ],
        ),
        (
            36,
            [
                "row 1          ┃",
                "━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━",
                "date           │ 2026-09-15",
                "certified      │ 3",
                "missing_shares │ 1,200",
                "why            │ end of the day not",
                "               │ seen",
            ],
        ),
    ],
)
def test_a_narrow_terminal_breaks_no_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, lines: list[str]
) -> None:
    monkeypatch.setattr(output, "stdout", lambda: Console(width=width))
    emit_rows([_DAY], Format.table)
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == lines


def test_the_name_of_a_column_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    emit_rows([{"\x1b[2Ja": 1}], Format.table)
    assert "\x1b" not in capsys.readouterr().out
