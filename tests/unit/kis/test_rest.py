import asyncio
from datetime import date, time

import pytest

from hosu.errors import (
    BrokerReplyError,
    BrokerUnreachableError,
    InputError,
    RateLimitedError,
    TokenExpiredError,
)
from hosu.kis.http import HttpConfig
from hosu.kis.rest import download_master
from hosu.market.instruments import Market

TOKEN = "/oauth2/tokenP"
BASE = "/uapi/domestic-stock/v1/quotations"
PRICE = f"{BASE}/inquire-price"
SLOW = (500, {"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "초당 거래건수를 초과하였습니다."})
EXPIRED = {"rt_cd": "1", "msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."}


def ok(**output):
    return 200, {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다!   ", **output}


GOOD = ok(output={"stck_shrn_iscd": "005930", "stck_prpr": "70000", "temp_stop_yn": "N"})


@pytest.fixture(name="run")
def _run(client_and_broker, token_reply):
    def run(scenario, **options):
        async def with_token(client, broker):
            tokens = ((200, token_reply(f"TOKEN{n}", "2099-01-01 00:00:00")) for n in range(9))
            broker.answer(TOKEN, *tokens)
            return await scenario(client, broker)

        return client_and_broker(with_token, **options)

    return run


def test_a_call_carries_the_headers_of_the_portal(run):
    async def scenario(client, broker):
        broker.answer(PRICE, GOOD)
        price = await client.rest.price("005930", "UN")
        return price, broker.requests[1]

    price, request = run(scenario)
    assert (price.symbol, price.price, price.halted, price.open) == ("005930", 70000.0, False, None)
    assert request["query"] == {"FID_COND_MRKT_DIV_CODE": "UN", "FID_INPUT_ISCD": "005930"}
    sent = request["headers"]
    assert sent["authorization"] == "Bearer TOKEN0"
    assert (sent["appkey"], sent["appsecret"]) == ("PSappkey", "TOPSECRETappsecret")
    assert (sent["tr_id"], sent["custtype"], sent["tr_cont"]) == ("FHKST01010100", "P", "")
    assert sent["content-type"] == "application/json; charset=utf-8"


def test_every_reply_is_handed_on_without_secrets(run):
    async def scenario(client, broker):
        echo = (500, {"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "TOKEN0 PSappkey TOPSECRETappsecret"})
        broker.answer(PRICE, echo, GOOD)
        await client.wait_for(client.rest.price("005930"))
        return client.replies

    first, second = run(scenario)
    assert (first.tr_id, first.path, first.status) == ("FHKST01010100", PRICE, 500)
    assert first.params == {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}
    assert first.body == '{"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "*** *** ***"}'
    assert (second.status, second.ts_recv_us > first.ts_recv_us) == (200, True)


def test_a_refusal_for_pace_slows_down_and_is_tried_again(run):
    async def scenario(client, broker):
        broker.answer(PRICE, SLOW, SLOW, GOOD)
        price = await client.wait_for(client.rest.price("005930"))
        return price.price, broker.count(PRICE), client.governor.slowness()

    assert run(scenario) == (70000.0, 3, 2.25)


def test_a_pace_that_never_suits_ends_in_an_error(run):
    async def scenario(client, broker):
        broker.answer(PRICE, SLOW)
        with pytest.raises(RateLimitedError, match="EGW00201"):
            await client.wait_for(client.rest.price("005930"))
        return broker.count(PRICE)

    assert run(scenario) == 5


@pytest.mark.parametrize("status", [200, 401, 403, 500])
def test_an_expired_token_is_replaced_once_whatever_the_status(run, status):
    async def scenario(client, broker):
        await client.auth.access_token()
        await client.clock.advance(120)
        broker.answer(PRICE, (status, EXPIRED), GOOD)
        await client.wait_for(client.rest.price("005930"))
        return [request["headers"].get("authorization") for request in broker.requests if request["path"] == PRICE]

    assert run(scenario) == ["Bearer TOKEN0", "Bearer TOKEN1"]


def test_a_new_token_that_is_refused_too_is_an_error(run):
    async def scenario(client, broker):
        broker.answer(PRICE, (500, EXPIRED))
        with pytest.raises(TokenExpiredError):
            await client.wait_for(client.rest.price("005930"), step_s=5)
        return broker.count(PRICE)

    assert run(scenario) == 2


def test_many_calls_with_an_expired_token_cause_one_issue(run):
    async def scenario(client, broker):
        await client.auth.access_token()
        await client.clock.advance(120)
        broker.answer(PRICE, *[(500, EXPIRED)] * 8, GOOD)
        await client.wait_for(asyncio.gather(*(client.rest.price("005930") for _ in range(8))))
        return broker.count(TOKEN), broker.count(PRICE)

    assert run(scenario) == (2, 16)


@pytest.mark.parametrize(
    "trouble",
    [
        "drop",
        (502, "<html>bad gateway</html>"),
        (500, {"rt_cd": "1", "msg_cd": "EGW00002", "msg1": "서버 에러"}),
        (503, {}),
    ],
    ids=["drop", "html", "broker", "empty"],
)
def test_the_brokers_own_trouble_is_tried_again(run, trouble):
    async def scenario(client, broker):
        broker.answer(PRICE, trouble, trouble, GOOD)
        price = await client.wait_for(client.rest.price("005930"))
        return price.price, broker.count(PRICE)

    assert run(scenario) == (70000.0, 3)


def test_after_a_broken_connection_a_new_one_is_used(run):
    async def scenario(client, broker):
        broker.answer(PRICE, GOOD, "drop", GOOD)
        await client.rest.price("005930")
        before = len(broker.connections)
        await client.wait_for(client.rest.price("005930"))
        return len(broker.connections) - before

    # aiohttp itself tries a kept connection once more; whichever way, the answer came over a connection of its own.
    assert run(scenario) == 1


def test_no_answer_in_time_ends_in_an_error(run):
    async def scenario(client, broker):
        broker.answer(PRICE, "hang")
        with pytest.raises(BrokerUnreachableError, match="no answer in time"):
            await client.wait_for(client.rest.price("005930"))
        return broker.count(PRICE)

    assert run(scenario, http=HttpConfig(total_timeout_s=0.1)) == 5


def test_any_other_code_is_raised_at_once(run):
    async def scenario(client, broker):
        broker.answer(PRICE, (200, {"rt_cd": "1", "msg_cd": "OPSQ2001", "msg1": "INPUT FIELD NOT FOUND [X]  "}))
        with pytest.raises(BrokerReplyError) as caught:
            await client.rest.price("005930")
        return caught.value, broker.count(PRICE)

    error, calls = run(scenario)
    assert (error.code, error.status, calls) == ("OPSQ2001", 200, 1)
    assert str(error) == f"{PRICE} FHKST01010100: the broker answered OPSQ2001 INPUT FIELD NOT FOUND [X]"


@pytest.mark.parametrize("symbol", ["", "005930&x=1", "00 5930", "삼성전자", "A" * 13])
def test_what_is_no_symbol_is_not_sent(run, symbol):
    async def scenario(client, broker):
        with pytest.raises(InputError, match="not a short code"):
            await client.rest.price(symbol)
        return broker.requests

    assert run(scenario) == []


def test_many_prices_leave_out_unused_pairs(run):
    async def scenario(client, broker):
        rows = [{"inter_shrn_iscd": "000660", "inter2_prpr": "1"}, {"inter_shrn_iscd": "005930"}]
        broker.answer(f"{BASE}/intstock-multprice", ok(output=rows))
        prices = await client.rest.multi_price(["005930", "000660"])
        with pytest.raises(InputError, match="31 symbols"):
            await client.rest.multi_price(["005930"] * 31)
        return [price.symbol for price in prices], broker.requests[-1]["query"]

    assert run(scenario) == (
        ["000660", "005930"],
        {
            "FID_COND_MRKT_DIV_CODE_1": "J",
            "FID_INPUT_ISCD_1": "005930",
            "FID_COND_MRKT_DIV_CODE_2": "J",
            "FID_INPUT_ISCD_2": "000660",
        },
    )


def test_adjusted_has_opposite_codes_in_the_two_daily_calls(run):
    async def scenario(client, broker):
        broker.answer(f"{BASE}/inquire-daily-price", ok(output=[]))
        broker.answer(f"{BASE}/inquire-daily-itemchartprice", ok(output2=[]))
        for adjusted in (False, True):
            await client.rest.daily_price("005930", adjusted=adjusted)
            await client.rest.daily_chart("005930", date(2025, 1, 1), date(2025, 2, 1), adjusted=adjusted)
        return [request["query"]["FID_ORG_ADJ_PRC"] for request in broker.requests[1:]]

    assert run(scenario) == ["0", "1", "1", "0"]


def test_a_long_chart_is_paged_backwards_and_comes_in_order(run):
    days = [date.fromordinal(date(2025, 1, 1).toordinal() + n) for n in range(230)]

    def page(last):
        rows = [{"stck_bsop_date": f"{day:%Y%m%d}", "stck_clpr": "1"} for day in reversed(days) if day <= last]
        return ok(output1={}, output2=rows[:100])

    async def scenario(client, broker):
        path = f"{BASE}/inquire-daily-itemchartprice"
        broker.answer(path, page(days[229]), page(days[129]), page(days[29]))
        bars = await client.wait_for(client.rest.daily_chart("005930", days[0], date(2025, 8, 19)))
        asked = [(r["query"]["FID_INPUT_DATE_1"], r["query"]["FID_INPUT_DATE_2"]) for r in broker.requests[1:]]
        return [bar.date for bar in bars], asked

    dates, asked = run(scenario)
    assert dates == [f"{day:%Y%m%d}" for day in days]
    assert asked == [("20250101", "20250818"), ("20250101", "20250510"), ("20250101", "20250130")]


def test_a_chart_that_never_moves_back_ends(run):
    async def scenario(client, broker):
        rows = [{"stck_bsop_date": "20250301", "stck_clpr": "1"}] * 100
        broker.answer(f"{BASE}/inquire-daily-itemchartprice", ok(output2=rows))
        bars = await client.wait_for(client.rest.daily_chart("005930", date(2025, 1, 1), date(2025, 4, 1)))
        return len(bars), broker.count(f"{BASE}/inquire-daily-itemchartprice")

    assert run(scenario) == (1, 2)


def test_times_and_days_are_sent_as_the_broker_writes_them(run):
    async def scenario(client, broker):
        for name in ("inquire-time-itemchartprice", "inquire-time-dailychartprice", "inquire-time-itemconclusion"):
            broker.answer(f"{BASE}/{name}", ok(output2=[{"stck_cntg_hour": "090000", "stck_prpr": "92500"}]))
        minute = await client.rest.minute_chart("000660", time(9, 30))
        dated = await client.rest.dated_minute_chart("000660", date(2025, 9, 15), time(15, 30))
        trades = await client.rest.time_conclusions("000660", time(9, 0, 1))
        queries = [request["query"] for request in broker.requests[1:]]
        return minute[0].close, dated[0].time, trades[0].price, queries

    close, at, price, (minute, dated, trades) = run(scenario)
    assert (close, at, price) == (92500.0, "090000", 92500.0)
    assert minute["FID_INPUT_HOUR_1"] == "093000"
    assert (dated["FID_INPUT_DATE_1"], dated["FID_INPUT_HOUR_1"]) == ("20250915", "153000")
    assert dated["FID_FAKE_TICK_INCU_YN"] == ""
    assert trades["FID_INPUT_HOUR_1"] == "090001"


def test_holidays_follow_the_pages_they_are_asked_for(run):
    async def scenario(client, broker):
        row = {"bass_dt": "20250731", "wday_dvsn_cd": "05", "opnd_yn": "Y", "bzdy_yn": "N"}
        broker.headers = {"tr_cont": "M"}
        areas = {"ctx_area_fk": "20250731            ", "ctx_area_nk": "20250823            "}
        broker.answer(f"{BASE}/chk-holiday", (200, {**areas, "output": [row]}))
        days = await client.rest.holidays(date(2025, 7, 31), pages=2)
        second = broker.requests[2]
        return days, second["query"]["CTX_AREA_NK"], second["headers"]["tr_cont"]

    days, area, cont = run(scenario)
    assert [(day.date, day.open, day.business, day.trading) for day in days] == [("20250731", True, False, None)] * 2
    assert (area, cont) == ("20250823            ", "N")


def test_the_other_calls_read_their_rows(run):
    async def scenario(client, broker):
        broker.answer(f"{BASE}/inquire-ccnl", ok(output=[{"stck_cntg_hour": "155955", "cntg_vol": "2"}]))
        broker.answer(f"{BASE}/inquire-asking-price-exp-ccn", ok(output1=[{"askp1": "5"}], output2={"antc_vol": "7"}))
        broker.answer(f"{BASE}/inquire-vi-status", ok(output={"mksc_shrn_iscd": "005930", "vi_count": "1"}))
        broker.answer(f"{BASE}/search-stock-info", ok(output={"pdno": "005930", "prdt_abrv_name": "삼성전자", "x": ""}))
        broker.answer(f"{BASE}/volume-rank", ok(output=[{"data_rank": "1", "mksc_shrn_iscd": "005930"}]))
        book = await client.rest.asking_price("005930")
        info = await client.rest.stock_info("005930")
        return (
            (await client.rest.conclusions("005930"))[0].size,
            (book.ask_prices[0], book.expected_volume),
            (await client.rest.vi_status(date(2025, 9, 15)))[0].count,
            (info.name, dict(info.fields)),
            (await client.rest.volume_rank())[0].rank,
        )

    expected_info = ("삼성전자", {"pdno": "005930", "prdt_abrv_name": "삼성전자"})
    assert run(scenario) == (2, (5.0, 7), 1, expected_info, 1)


def test_a_master_file_comes_without_a_key(run):
    async def scenario(client, broker):
        broker.answer("/common/master/kospi_code.mst.zip", (200, "PK"))
        data = await download_master(client.http, Market.KOSPI, f"{client.host.rest}/common/master")
        with pytest.raises(BrokerUnreachableError, match="HTTP 404"):
            await download_master(client.http, Market.KONEX, f"{client.host.rest}/common/master")
        return data, {"appkey", "authorization"} & {*broker.requests[0]["headers"]}

    assert run(scenario) == (b"PK", set())
