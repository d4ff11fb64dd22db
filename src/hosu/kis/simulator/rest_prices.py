"""What the quotation calls answer about now: price, book, last trades, many symbols at once. Pure.

Every number is text, prices are whole won; the names are the broker's (KIS portal, 국내주식시세).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hosu.kis.records import NULL
from hosu.market.calendar import business_day
from hosu.market.rules import limits_of, tick_size

if TYPE_CHECKING:
    from hosu.kis.simulator.prints import Print
    from hosu.kis.simulator.state import MarketState
    from hosu.kis.simulator.tape import Tape
    from hosu.market.instruments import Instrument

Row = dict[str, str]
PAGE: Final = 30
"""Rows of one page of trades. The broker's documents say it of inquire-ccnl; of inquire-time-itemconclusion they say
only "trades before that time": that a page of it holds 30 too, and that the second asked for is within it, is assumed.
So where one second has more prints than a page holds, those beyond it cannot be had: an earlier time skips them."""


@dataclass(frozen=True, slots=True)
class View:
    """One symbol of one scope at this moment; prices in hundredths of a won, as in the feed."""

    instrument: Instrument
    trade: dict[str, int]
    quote: dict[str, int]
    expected: dict[str, int]
    tape: Tape
    name: str
    """Scope and symbol whose series these are, as in ``KRX:005930``."""

    @property
    def price(self) -> int:
        """The last price; before the first trade the previous close."""
        return self.trade.get("STCK_PRPR", self.instrument.base_price * 100)

    @property
    def change(self) -> int:
        """Against the previous close."""
        return self.price - self.instrument.base_price * 100

    @property
    def sign(self) -> str:
        """1 upper limit, 2 up, 3 unchanged, 4 lower limit, 5 down."""
        limits = limits_of(self.instrument, self.tape.day)
        if limits is not None and self.change and self.price in {limits.upper * 100, limits.lower * 100}:
            return "1" if self.change > 0 else "4"
        return sign_of(self.change)

    @property
    def rate(self) -> str:
        """The change in per cent."""
        return rate(self.change, self.instrument.base_price * 100)

    def number(self, name: str) -> str:
        """A count of the last trade; 0 before the first."""
        return str(max(0, self.trade.get(name, 0)))

    def won(self, name: str) -> str:
        """A price of the last trade; 0 before the first."""
        return won(self.trade.get(name, 0))


def view_of(tape: Tape, state: MarketState, symbol: str, market: str) -> View | None:
    """What is known of a symbol: ``market`` is J (KRX), NX or UN. None where it is not traded there.

    Where the unified series is not played, KRX's stands for it.
    """
    instrument = tape.instruments.get(symbol)
    if instrument is None or (market == "NX" and symbol not in tape.nxt):
        return None
    for scope in {"J": ("KRX",), "NX": ("NXT",), "UN": ("UN", "KRX")}.get(market, ()):
        name = f"{scope}:{symbol}"
        trade, quote, expected = (state.last(name, part) for part in ("trades", "quotes", "expected"))
        if trade or quote or expected or scope == "KRX":
            return View(instrument, trade or {}, quote or {}, expected or {}, tape, name)
    return None


def price_reply(view: View | None, symbol: str) -> Row:
    """inquire-price; zeros for a symbol that is not traded."""
    if view is None:
        names = "stck_prpr prdy_vrss prdy_ctrt acml_tr_pbmn acml_vol stck_oprc stck_hgpr stck_lwpr stck_mxpr stck_llam"
        return dict.fromkeys(names.split(), "0") | {"stck_shrn_iscd": symbol, "prdy_vrss_sign": "3"}
    listing = view.instrument
    limits, day = limits_of(listing, view.tape.day), view.tape.day
    high, low = view.trade.get("STCK_HGPR", 0), view.trade.get("STCK_LWPR", 0)
    pivot = (high + low + view.price) // 3 if view.trade else view.price
    year_high, year_low = max(high, view.price), min(low or view.price, view.price)
    today = f"{day:%Y%m%d}"
    capital = listing.par_value * listing.listed_shares // 100_000_000
    return {
        "iscd_stat_cls_code": "58" if listing.halted else "55",
        "marg_rate": "20.00",
        "rprs_mrkt_kor_name": "KOSPI" if listing.market == "KOSPI" else "KOSDAQ",
        "new_hgpr_lwpr_cls_code": "",
        "bstp_kor_isnm": "",
        "temp_stop_yn": "Y" if listing.halted else "N",
        "oprc_rang_cont_yn": "N",
        "clpr_rang_cont_yn": "N",
        "crdt_able_yn": "Y",
        "grmn_rate_cls_code": "40",
        "elw_pblc_yn": "N",
        "stck_prpr": won(view.price),
        "prdy_vrss": won(view.change),
        "prdy_vrss_sign": view.sign,
        "prdy_ctrt": view.rate,
        "acml_tr_pbmn": view.number("ACML_TR_PBMN"),
        "acml_vol": view.number("ACML_VOL"),
        "prdy_vrss_vol_rate": rate(view.trade.get("ACML_VOL", 0), listing.previous_volume),
        "stck_oprc": view.won("STCK_OPRC"),
        "stck_hgpr": view.won("STCK_HGPR"),
        "stck_lwpr": view.won("STCK_LWPR"),
        "stck_mxpr": str(limits.upper) if limits else "0",
        "stck_llam": str(limits.lower) if limits else "0",
        "stck_sdpr": str(listing.base_price),
        "wghn_avrg_stck_prc": decimal(view.trade.get("WGHN_AVRG_STCK_PRC", 0)),
        "hts_frgn_ehrt": "0.00",
        "frgn_ntby_qty": "0",
        "pgtr_ntby_qty": "0",
        "pvt_scnd_dmrs_prc": won(pivot + high - low),
        "pvt_frst_dmrs_prc": won(2 * pivot - low if view.trade else pivot),
        "pvt_pont_val": won(pivot),
        "pvt_frst_dmsp_prc": won(2 * pivot - high if view.trade else pivot),
        "pvt_scnd_dmsp_prc": won(pivot - high + low),
        "dmrs_val": won(pivot + (high - low) // 2),
        "dmsp_val": won(pivot - (high - low) // 2),
        "cpfn": str(capital),
        "rstc_wdth_prc": str(limits.upper - listing.base_price) if limits else "0",
        "stck_fcam": str(listing.par_value),
        "stck_sspr": str(listing.base_price * 7 // 10),
        "aspr_unit": str(tick_size(max(1, view.price // 100), day, listing.market, listing.type)),
        "hts_deal_qty_unit_val": str(listing.lot),
        "lstn_stcn": str(listing.listed_shares),
        "hts_avls": str(listing.listed_shares * view.price // 10_000_000_000),
        "per": "0.00",
        "pbr": "0.00",
        "stac_month": str(listing.fiscal_month),
        "vol_tnrt": rate(view.trade.get("ACML_VOL", 0), listing.listed_shares),
        "eps": "0.00",
        "bps": "0.00",
        **_extreme("d250", "prpr_rate", year_high, year_low, price=view.price, day=today),
        "stck_dryy_hgpr": won(year_high),
        "dryy_hgpr_vrss_prpr_rate": rate(view.price - year_high, year_high),
        "dryy_hgpr_date": today,
        "stck_dryy_lwpr": won(year_low),
        "dryy_lwpr_vrss_prpr_rate": rate(view.price - year_low, year_low),
        "dryy_lwpr_date": today,
        **_extreme("w52", "prpr_ctrt", year_high, year_low, price=view.price, day=today),
        "whol_loan_rmnd_rate": "0.00",
        "ssts_yn": "Y",
        "stck_shrn_iscd": listing.symbol,
        "apprch_rate": "",
        "fcam_cnnm": f"{listing.par_value:,}",
        "cpfn_cnnm": f"{capital:,} 억",
        "frgn_hldn_qty": "0",
        "vi_cls_code": "Y" if view.quote.get("HOUR_CLS_CODE") == ord("C") else "N",
        "ovtm_vi_cls_code": "N",
        "last_ssts_cntg_qty": "0",
        "invt_caful_yn": "N",
        "mrkt_warn_cls_code": "00",
        "short_over_yn": "N",
        "sltr_yn": "N",
        "mang_issu_cls_code": "N",
    }


def price_2_reply(view: View | None, symbol: str) -> Row:
    """inquire-price-2: what it shares with inquire-price, and how far the price is from open, high and low."""
    row = price_reply(view, symbol)
    shared = """rprs_mrkt_kor_name new_hgpr_lwpr_cls_code crdt_able_yn stck_mxpr elw_pblc_yn marg_rate stck_lwpr
    stck_hgpr short_over_yn mrkt_warn_cls_code invt_caful_yn vi_cls_code stck_llam stck_sdpr
    stck_prpr prdy_vrss prdy_vrss_sign prdy_ctrt acml_tr_pbmn acml_vol prdy_vrss_vol_rate
    bstp_kor_isnm sltr_yn oprc_rang_cont_yn stck_oprc"""
    reply = {name: row[name] for name in shared.split() if name in row}
    if view is not None:
        base = view.instrument.base_price * 100
        for name, column in (("oprc", "STCK_OPRC"), ("hgpr", "STCK_HGPR"), ("lwpr", "STCK_LWPR")):
            level = view.trade.get(column, view.price)
            reply[f"{name}_vrss_prpr"] = won(view.price - level)
            reply[f"{name}_vrss_prpr_sign"] = sign_of(view.price - level)
            reply[f"prdy_clpr_vrss_{name}_rate"] = rate(level - base, base)
        reply["stck_prdy_clpr"] = won(base)
        reply["prdy_vol"] = str(view.instrument.previous_volume)
        reply["trht_yn"] = "Y" if view.instrument.halted else "N"
        reply["mang_issu_yn"] = "N"
    return reply


def book_reply(view: View | None) -> tuple[Row, Row]:
    """inquire-asking-price-exp-ccn: the book, and the price with the expected match; empty where nothing trades."""
    if view is None:
        return {}, {}
    quote, after = view.quote, view.trade.get("ACML_VOL", 0) > 0
    levels = range(1, 11)
    book = {"aspr_acpt_hour": clock(quote.get("BSOP_HOUR", 0))}
    for name in ("askp", "bidp"):
        book |= {f"{name}{i}": won(quote.get(f"{name.upper()}{i}", 0)) for i in levels}
    for name in ("askp_rsqn", "bidp_rsqn"):
        book |= {f"{name}{i}": str(quote.get(f"{name.upper()}{i}", 0)) for i in levels}
    for name in ("askp_rsqn_icdc", "bidp_rsqn_icdc"):
        book |= {f"{name}{i}": "0" for i in levels}
    asks, bids = quote.get("TOTAL_ASKP_RSQN", 0), quote.get("TOTAL_BIDP_RSQN", 0)
    book |= {
        "total_askp_rsqn": str(asks),
        "total_bidp_rsqn": str(bids),
        "total_askp_rsqn_icdc": str(quote.get("TOTAL_ASKP_RSQN_ICDC", 0)),
        "total_bidp_rsqn_icdc": str(quote.get("TOTAL_BIDP_RSQN_ICDC", 0)),
        "ovtm_total_askp_icdc": "0",
        "ovtm_total_bidp_icdc": "0",
        "ovtm_total_askp_rsqn": "0",
        "ovtm_total_bidp_rsqn": "0",
        "ntby_aspr_rsqn": str(bids - asks),
        "new_mkop_cls_code": "20" if after else "00",
    }
    expected, base = quote.get("ANTC_CNPR", 0), view.instrument.base_price * 100
    return book, {
        "antc_mkop_cls_code": "112" if after else "311",
        "stck_prpr": won(view.price),
        "stck_oprc": view.won("STCK_OPRC"),
        "stck_hgpr": view.won("STCK_HGPR"),
        "stck_lwpr": view.won("STCK_LWPR"),
        "stck_sdpr": won(base),
        "antc_cnpr": won(expected),
        "antc_cntg_vrss_sign": sign_of(expected - base),
        "antc_cntg_vrss": won(expected - base),
        "antc_cntg_prdy_ctrt": rate(expected - base, base),
        "antc_vol": str(quote.get("ANTC_VOL", 0)),
        "stck_shrn_iscd": view.instrument.symbol,
        "vi_cls_code": "Y" if quote.get("HOUR_CLS_CODE") == ord("C") else "N",
    }


def trades_reply(view: View | None, prints: list[Print]) -> list[Row]:
    """inquire-ccnl: the last 30 trades, newest first."""
    return [] if view is None else [_print(view, each) for each in prints[:PAGE]]


def trades_before_reply(view: View | None, prints: list[Print]) -> tuple[Row, list[Row]]:
    """inquire-time-itemconclusion: the price, and ``prints``, a page of the day's trades up to the time asked for."""
    if view is None:
        return {}, []
    head = {
        "stck_prpr": won(view.price),
        "prdy_vrss": won(view.change),
        "prdy_vrss_sign": view.sign,
        "prdy_ctrt": view.rate,
        "acml_vol": view.number("ACML_VOL"),
        "prdy_vol": str(view.instrument.previous_volume),
        "rprs_mrkt_kor_name": str(view.instrument.market),
    }
    rows = []
    for each in prints:
        row = _print(view, each)
        size = row.pop("cntg_vol")
        row |= {"askp": won(each.ask), "bidp": won(each.bid), "acml_vol": str(each.volume), "cnqn": size}
        rows.append(row)
    return head, rows


def _print(view: View, trade: Print) -> Row:
    change = trade.price - view.instrument.base_price * 100
    return {
        "stck_cntg_hour": clock(trade.time),
        "stck_prpr": won(trade.price),
        "prdy_vrss": won(change),
        "prdy_vrss_sign": sign_of(change),
        "cntg_vol": str(trade.size),
        "tday_rltv": decimal(trade.strength),
        "prdy_ctrt": rate(change, view.instrument.base_price * 100),
    }


def multi_reply(view: View) -> Row:
    """One symbol's object of intstock-multprice."""
    limits, base, quote = limits_of(view.instrument, view.tape.day), view.instrument.base_price * 100, view.quote
    expected = quote.get("ANTC_CNPR", 0)
    return {
        "kospi_kosdaq_cls_name": str(view.instrument.market),
        "mrkt_trtm_cls_name": "",
        "hour_cls_code": chr(quote.get("HOUR_CLS_CODE", 48)),
        "inter_shrn_iscd": view.instrument.symbol,
        "inter_kor_isnm": view.instrument.name,
        "inter2_prpr": won(view.price),
        "inter2_prdy_vrss": won(view.change),
        "prdy_vrss_sign": view.sign,
        "prdy_ctrt": view.rate,
        "acml_vol": view.number("ACML_VOL"),
        "inter2_oprc": view.won("STCK_OPRC"),
        "inter2_hgpr": view.won("STCK_HGPR"),
        "inter2_lwpr": view.won("STCK_LWPR"),
        "inter2_llam": str(limits.lower) if limits else "0",
        "inter2_mxpr": str(limits.upper) if limits else "0",
        "inter2_askp": won(quote.get("ASKP1", view.trade.get("ASKP1", 0))),
        "inter2_bidp": won(quote.get("BIDP1", view.trade.get("BIDP1", 0))),
        "seln_rsqn": str(quote.get("ASKP_RSQN1", view.trade.get("ASKP_RSQN1", 0))),
        "shnu_rsqn": str(quote.get("BIDP_RSQN1", view.trade.get("BIDP_RSQN1", 0))),
        "total_askp_rsqn": str(quote.get("TOTAL_ASKP_RSQN", view.trade.get("TOTAL_ASKP_RSQN", 0))),
        "total_bidp_rsqn": str(quote.get("TOTAL_BIDP_RSQN", view.trade.get("TOTAL_BIDP_RSQN", 0))),
        "acml_tr_pbmn": view.number("ACML_TR_PBMN"),
        "inter2_prdy_clpr": won(base),
        "oprc_vrss_hgpr_rate": rate(
            view.trade.get("STCK_HGPR", 0) - view.trade.get("STCK_OPRC", 0), view.trade.get("STCK_OPRC", 0)
        ),
        "intr_antc_cntg_vrss": won(expected - base),
        "intr_antc_cntg_vrss_sign": sign_of(expected - base),
        "intr_antc_cntg_prdy_ctrt": rate(expected - base, base),
        "intr_antc_vol": str(quote.get("ANTC_VOL", 0)),
        "inter2_sdpr": won(base),
    }


def rank_reply(tape: Tape, ranked: list[tuple[str, dict[str, int]]]) -> list[Row]:
    """volume-rank: 30 rows by volume."""
    rows = []
    for place, (symbol, trade) in enumerate(ranked[:30], start=1):
        view = View(tape.instruments[symbol], trade, {}, {}, tape, symbol)
        listing, volume = view.instrument, trade["ACML_VOL"]
        rows.append(
            {
                "hts_kor_isnm": listing.name,
                "mksc_shrn_iscd": symbol,
                "data_rank": str(place),
                "stck_prpr": won(view.price),
                "prdy_vrss_sign": view.sign,
                "prdy_vrss": won(view.change),
                "prdy_ctrt": view.rate,
                "acml_vol": str(volume),
                "prdy_vol": str(listing.previous_volume),
                "lstn_stcn": str(listing.listed_shares),
                "avrg_vol": str(volume),
                "n_befr_clpr_vrss_prpr_rate": view.rate,
                "vol_inrt": rate(volume - listing.previous_volume, listing.previous_volume),
                "vol_tnrt": rate(volume, listing.listed_shares),
                "nday_vol_tnrt": rate(volume, listing.listed_shares),
                "avrg_tr_pbmn": view.number("ACML_TR_PBMN"),
                "tr_pbmn_tnrt": "0.00",
                "nday_tr_pbmn_tnrt": "0.00",
                "acml_tr_pbmn": view.number("ACML_TR_PBMN"),
            }
        )
    return rows


def interruptions_reply(tape: Tape, state: MarketState) -> list[Row]:
    """inquire-vi-status: the day's volatility interruptions, newest first."""
    rows = []
    for each in reversed(state.interruptions()):
        trade = state.last(f"KRX:{each.symbol}", "trades") or {}
        rows.append(
            {
                "hts_kor_isnm": tape.instruments[each.symbol].name,
                "mksc_shrn_iscd": each.symbol,
                "vi_cls_code": "Y" if each.end_us is None else "N",
                "bsop_date": f"{tape.day:%Y%m%d}",
                "cntg_vi_hour": clock(int(business_day(each.start_us)[1])),
                "vi_cncl_hour": "000000" if each.end_us is None else clock(int(business_day(each.end_us)[1])),
                "vi_kind_code": "1",
                "vi_prc": won(trade.get("STCK_PRPR", 0)),
                "vi_stnd_prc": won(trade.get("VI_STND_PRC", 0)),
                "vi_dprt": "10.00",
                "vi_dmc_stnd_prc": "0",
                "vi_dmc_dprt": "0.00",
                "vi_count": str(sum(1 for other in state.interruptions() if other.symbol == each.symbol)),
            }
        )
    return rows


def _extreme(prefix: str, ending: str, high: int, low: int, *, price: int, day: str) -> Row:
    return {
        f"{prefix}_hgpr": won(high),
        f"{prefix}_hgpr_date": day,
        f"{prefix}_hgpr_vrss_{ending}": rate(price - high, high),
        f"{prefix}_lwpr": won(low),
        f"{prefix}_lwpr_date": day,
        f"{prefix}_lwpr_vrss_{ending}": rate(price - low, low),
    }


# --- texts --------------------------------------------------------------------------------------------------------


def won(hundredths: int) -> str:
    """Whole won, as REST gives prices: ``won(7190000)`` is ``"71900"``."""
    return str(int(hundredths / 100)) if hundredths != NULL else "0"


def decimal(hundredths: int) -> str:
    """Two decimals: ``decimal(-14)`` is ``"-0.14"``."""
    return f"{hundredths / 100:.2f}" if hundredths != NULL else "0.00"


def rate(part: int, whole: int) -> str:
    """Per cent with two decimals; ``"0.00"`` of nothing."""
    return f"{part / whole * 100:.2f}" if whole else "0.00"


def clock(second: int) -> str:
    """HHMMSS of a second of the day."""
    return f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"


def sign_of(change: int) -> str:
    """2 up, 3 unchanged, 5 down."""
    return "2" if change > 0 else "5" if change < 0 else "3"
