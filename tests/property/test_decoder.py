"""The decoder: the same rows, in the same order, however the log is cut into blocks, and nothing left out."""

import json
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from effort import examples
from hosu.collect.block import RecordKind
from hosu.collect.decode import Decoder
from hosu.collect.runs import pack_records, read_run, slice_block

START_US = 1_757_894_400_000_000  # 2025-09-15T09:00:00+09:00
SECOND_US = 1_000_000
TRADE = (
    "0|H0STCNT0|{count:03d}|"
    "{symbol}^{time}^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^{volume}^219853241700^5105^6937^1832"
    "^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^{date}^20^N^65945^216924^1118750"
    "^2199206^0.05^2424142^125.92^0^^72100"
)
DATES = st.sampled_from(
    ["20250912", "20250915", "20250915", "20250915", "20250916", "20251001", "00000000", "2025091x"]
)


def trade(symbol, volume, date, count=1):
    return TRADE.format(count=count, symbol=symbol, time="093354", volume=volume, date=date).encode()


def snapshot(symbol, volume):
    body = json.dumps(
        {"rt_cd": "0", "output": [{"inter_shrn_iscd": symbol, "inter2_prpr": "71900", "acml_vol": volume}]}
    )
    params = {"FID_COND_MRKT_DIV_CODE_1": "J", "FID_INPUT_ISCD_1": symbol}
    return json.dumps({"tr_id": "FHKST11300006", "path": "/x", "params": params, "status": 200, "body": body}).encode()


def pingpong(date):
    return json.dumps({"header": {"tr_id": "PINGPONG", "datetime": f"{date}090000"}}).encode()


def begin(date):
    told = int(date) if date.isdigit() else 0
    return json.dumps({"event": "segment", "date": told, "dates": {"1": told}, "pings": {"1": told}}).encode()


SYMBOLS = st.sampled_from(["005930", "000660"])
FRAMES = st.one_of(
    st.builds(trade, SYMBOLS, st.integers(1, 10**6), DATES),
    st.builds(trade, SYMBOLS, st.integers(1, 10**6), DATES, st.just(2)),  # says two records, holds one
    st.builds(lambda symbol: f"0|H0STASP0|001|{symbol}^093354".encode(), SYMBOLS),
    st.just("0|H0STMKO0|001|005930^N^VI 발동^1^^^^^^^".encode()),
    st.just(b"1|H0STCNI0|001|abc"),
    st.builds(pingpong, DATES),
    st.sampled_from([b"{", b"garbage", b"", b"0|H0XXXXX0|001|a"]),
)
RECORDS = st.one_of(
    st.tuples(st.just(RecordKind.FRAME), FRAMES),
    st.tuples(st.just(RecordKind.REST), st.builds(snapshot, SYMBOLS, st.integers(0, 10**6))),
    st.tuples(
        st.just(RecordKind.SESSION), st.one_of(st.builds(begin, DATES), st.just(b'{"event":"end"}'), st.just(b"{}"))
    ),
    st.tuples(st.just(RecordKind.CLOCK), st.just(b'{"offset_us":1}')),
)
PAUSES = st.sampled_from([0, 0, 1_000, SECOND_US, 20 * SECOND_US, 40 * SECOND_US, 70 * SECOND_US, 3_600 * SECOND_US])
LOGS = st.lists(st.tuples(RECORDS, st.integers(0, 2), PAUSES), min_size=1, max_size=20)


def block_of(log):
    items, now_us = [], START_US
    for (kind, payload), connection, pause_us in log:
        now_us += pause_us
        items.append((int(kind), connection, now_us, payload))
    buffer, _ = pack_records(items, 0)
    return read_run("w1", np.frombuffer(buffer, np.uint8), 0, len(buffer)).block


def decoded(blocks):
    """Rows by table, in order; market records and unfiled ones counted; and the ranges of the batches."""
    decoder, rows, ranges, counts = Decoder("w1"), {}, [], np.zeros(2, np.int64)
    for batch in [*map(decoder.decode, blocks), decoder.finish()]:
        if batch is None:
            continue
        ranges.append((batch.first_lsn, batch.last_lsn))
        counts += (batch.records, batch.unfiled)
        for name, table in batch.tables.items():
            table.validate(full=True)
            rows.setdefault(name, []).extend(table.to_pylist())
    return rows, counts.tolist(), ranges


@examples(200)
@given(LOGS, st.sets(st.integers(1, 19)))
def test_the_rows_are_the_same_however_the_log_is_cut(log, cuts):
    whole = block_of(log)
    edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    pieces = [slice_block(whole, begin, end) for begin, end in pairwise(edges)]
    rows, counts, ranges = decoded(pieces)
    expected, expected_counts, _ = decoded([whole])
    assert rows == expected
    assert counts == expected_counts
    assert [first for first, _ in ranges] == [0, *(last + 1 for _, last in ranges[:-1])]
    assert ranges[-1][1] == len(log) - 1


@examples(200)
@given(LOGS)
def test_every_market_record_is_in_one_table_or_counted_as_unfiled(log):
    rows, (records, unfiled), _ = decoded([block_of(log)])
    filed = {name: found for name, found in rows.items() if name != "snapshots"}
    assert records == unfiled + sum(map(len, filed.values()))
    sent = sum(1 for (kind, payload), _, _ in log if kind == RecordKind.FRAME and not payload.startswith(b'{"'))
    assert records == sent
    for name, found in rows.items():
        places = [(row["lsn"], row["record_no"] or 0) for row in found]
        assert places == sorted(places), name
        assert all(row["date"] is not None for row in found), name
