"""What the simulated broker answers over HTTP: prices as of now, days past, and refusals with their code."""

import asyncio

import pytest
from broker_parts import KEYS, PRICE, STILL, SYMBOLS, Broker, records_of, run

from hosu.kis.masters import parse_master
from hosu.kis.simulator.rest import RestConfig
from hosu.market.instruments import Market


def test_rest_answers_from_the_market_as_of_now() -> None:
    async def ask(broker: Broker) -> None:
        client = await broker.connect()
        client.register(await broker.approval(), *KEYS)
        await client.ended
        headers = await broker.headers()
        last = [r.split(b"^") for tr, code, r in records_of(client.frames) if (tr, code) == ("H0STCNT0", "005930")]
        price = (await broker.get("inquire-price", headers, "FHKST01010100", **PRICE))[1]["output"]
        told = [
            price[name] for name in ("stck_prpr", "acml_vol", "acml_tr_pbmn", "stck_oprc", "stck_hgpr", "stck_lwpr")
        ]
        assert told == [last[-1][i].decode() for i in (2, 13, 14, 7, 8, 9)]
        assert len(price) == 82
        trades = (await broker.get("inquire-ccnl", headers, "FHKST01010300", **PRICE))[1]["output"]
        assert len(trades) == 30
        assert last[-1][13] == last[-2][13], "the last value is repeated after the close"
        assert [row["cntg_vol"] for row in trades] == [fields[12].decode() for fields in last[-2::-1][:30]]
        book = (await broker.get("inquire-asking-price-exp-ccn", headers, "FHKST01010200", **PRICE))[1]
        assert (len(book["output1"]), len(book["output2"])) == (71, 13)
        minutes = {"FID_INPUT_HOUR_1": "100000", "FID_PW_DATA_INCU_YN": "Y", "FID_ETC_CLS_CODE": "", **PRICE}
        rows = (await broker.get("inquire-time-itemchartprice", headers, "FHKST03010200", **minutes))[1]["output2"]
        assert len(rows) == 30
        assert (rows[0]["stck_cntg_hour"], rows[-1]["stck_cntg_hour"]) == ("100000", "093100")
        nine_forty = [f for f in last if f[1].startswith(b"0940")]
        row = next(row for row in rows if row["stck_cntg_hour"] == "094000")
        assert int(row["cntg_vol"]) == sum(int(f[12]) for f in nine_forty)
        dated = {"FID_INPUT_DATE_1": "20250915", "FID_INPUT_HOUR_1": "153000", **PRICE}
        rows = (await broker.get("inquire-time-dailychartprice", headers, "FHKST03010230", **dated))[1]["output2"]
        assert (len(rows), rows[0]["stck_cntg_hour"]) == (120, "153000")
        many = {"FID_COND_MRKT_DIV_CODE_1": "J", "FID_INPUT_ISCD_1": "000660"}
        many |= {"FID_COND_MRKT_DIV_CODE_2": "J", "FID_INPUT_ISCD_2": "005930"}
        rows = (await broker.get("intstock-multprice", headers, "FHKST11300006", **many))[1]["output"]
        assert {row["inter_shrn_iscd"]: row["acml_vol"] for row in rows}["005930"] == last[-1][13].decode()
        rank = {"FID_COND_MRKT_DIV_CODE": "J", "FID_COND_SCR_DIV_CODE": "20171"}
        rows = (await broker.get("volume-rank", headers, "FHPST01710000", **rank))[1]["output"]
        assert sorted(row["mksc_shrn_iscd"] for row in rows) == sorted(SYMBOLS)

    run(ask, calls_per_s=None)


def test_days_past_are_capped_newest_first_and_end_at_the_previous_close() -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        daily = {"FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "0", **PRICE}
        rows = (await broker.get("inquire-daily-price", headers, "FHKST01010400", **daily))[1]["output"]
        assert (len(rows), rows[0]["stck_bsop_date"], rows[0]["stck_clpr"]) == (30, "20250912", "71900")
        chart = {"FID_INPUT_DATE_1": "20240101", "FID_INPUT_DATE_2": "20251231", **daily}
        rows = (await broker.get("inquire-daily-itemchartprice", headers, "FHKST03010100", **chart))[1]["output2"]
        assert len(rows) == 100
        older = {**chart, "FID_INPUT_DATE_2": "20250905"}
        rows = (await broker.get("inquire-daily-itemchartprice", headers, "FHKST03010100", **older))[1]["output2"]
        assert rows[0]["stck_bsop_date"] == "20250905"
        holidays = (await broker.get("chk-holiday", headers, "CTCA0903R", BASS_DT="20251003"))[1]["output"]
        assert holidays[0] == {
            "bass_dt": "20251003", "wday_dvsn_cd": "06", "bzdy_yn": "N", "tr_day_yn": "Y", "opnd_yn": "N",
            "sttl_day_yn": "N",
        }  # fmt: skip

    run(ask, STILL, calls_per_s=None)


def test_wrong_calls_are_refused_with_their_code() -> None:
    async def ask(broker: Broker) -> None:
        good = await broker.headers()
        cases: list[tuple[dict[str, str], str, dict[str, str], tuple[int, str]]] = [
            ({**good, "authorization": ""}, "FHKST01010100", PRICE, (500, "EGW00122")),
            ({**good, "authorization": "Basic x"}, "FHKST01010100", PRICE, (500, "EGW00205")),
            ({**good, "authorization": "Bearer x"}, "FHKST01010100", PRICE, (500, "EGW00121")),
            ({**good, "appsecret": "wrong"}, "FHKST01010100", PRICE, (500, "EGW00105")),
            ({**good, "custtype": "X"}, "FHKST01010100", PRICE, (500, "EGW00208")),
            (good, "FHKST01010200", PRICE, (500, "OPSQ0002")),
            (good, "FHKST01010100", {"FID_INPUT_ISCD": "005930"}, (200, "OPSQ2001")),
            (good, "FHKST01010100", {**PRICE, "FID_COND_MRKT_DIV_CODE": "Z"}, (200, "OPSQ2001")),
        ]
        for headers, tr_id, query, answer in cases:
            status, body = await broker.get("inquire-price", headers, tr_id, **query)
            assert (status, body["msg_cd"], body["rt_cd"]) == (*answer, "1")
        lower = {name.lower(): value for name, value in PRICE.items()}
        assert (await broker.get("inquire-price", good, "FHKST01010100", **lower))[1]["output"]["stck_prpr"] == "71900"
        unknown = {**PRICE, "FID_INPUT_ISCD": "999999"}
        assert (await broker.get("inquire-price", good, "FHKST01010100", **unknown))[1]["output"]["stck_prpr"] == "0"

    run(ask, STILL, calls_per_s=None)


@pytest.mark.parametrize("status", [500, 200])
def test_an_expired_token_is_refused_with_the_status_chosen(status: int) -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        broker.simulator.expire_tokens()
        answer = await broker.get("inquire-price", headers, "FHKST01010100", **PRICE)
        body = {"rt_cd": "1", "msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."}
        assert answer == (status, body)

    run(ask, STILL, rest=RestConfig(token_fault_status=status))


def test_too_many_calls_in_a_second_are_refused() -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        answers = [await broker.get("inquire-price", headers, "FHKST01010100", **PRICE) for _ in range(3)]
        codes = [(status, body["msg_cd"]) for status, body in answers]
        assert codes == [(200, "MCA00000"), (200, "MCA00000"), (500, "EGW00201")]

    # A limit of two a second cannot be met by three calls on loopback.
    run(ask, STILL, calls_per_s=2)


def test_paper_refuses_what_it_does_not_serve() -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        status, body = await broker.get("volume-rank", headers, "FHPST01710000")
        assert (status, body["msg_cd"]) == (500, "EGW00213")

    run(ask, STILL, rest=RestConfig(paper=True))


def test_the_master_file_lists_the_symbols_without_a_key() -> None:
    async def ask(broker: Broker) -> None:
        async with broker.http.get(broker.simulator.rest_url + "/common/master/kospi_code.mst.zip") as reply:
            listed = parse_master(await reply.read(), Market.KOSPI)
        assert {each.symbol: each.base_price for each in listed} == {"005930": 71900, "000660": 308000}
        async with broker.http.get(broker.simulator.rest_url + "/common/master/other.zip") as reply:
            assert reply.status == 404

    run(ask, STILL)


def test_whoever_asks_for_prices_may_take_breath_between_the_last_questions() -> None:
    async def play(broker: Broker) -> None:
        headers = await broker.headers()
        client = await broker.connect()
        client.register(await broker.approval(), ("H0STCNT0", SYMBOLS[0]))
        await client.ended
        over = asyncio.create_task(broker.simulator.wait())
        for symbol in SYMBOLS:
            query = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": symbol}
            assert (await broker.get("inquire-price", headers, "FHKST01010100", **query))[0] == 200
            await asyncio.wait({over}, timeout=0.5)
            assert not over.done()
        await broker.http.close()
        await asyncio.wait_for(over, 20)

    run(play)
