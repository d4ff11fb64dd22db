"""The broker's field names, in the order in which they are sent, once for every family of real-time messages.

Names and Korean terms are those of the KIS portal (실시간시세) and of the broker's public samples. A field whose
name or meaning only one source gives, or where sources disagree, has ``verified=False``; a field that no source
names is called by its position (``F45``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final


class Kind(IntEnum):
    """How the text of a field becomes an int64."""

    INT = 0  # a whole number
    PRICE = 1  # won or a rate with at most two decimals, counted in hundredths
    CODE = 2  # printable ASCII of at most eight bytes, packed little-endian
    SYMBOL = 3  # as CODE, but never empty
    TIME = 4  # HHMMSS in KST, as seconds of the day
    DATE = 5  # YYYYMMDD as a number; 00000000 means none
    TEXT = 6  # any text; it has no number


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a record.

    ``decimals`` is how many the broker always prints (2 for rates and averages, ``-0.14``, ``0.00``); with 0 a PRICE
    is printed without decimals where it is whole.
    """

    name: str
    kind: Kind
    korean: str = ""
    verified: bool = True
    decimals: int = 0


def _int(name: str, korean: str = "") -> Field:
    return Field(name, Kind.INT, korean)


def _price(name: str, korean: str = "") -> Field:
    return Field(name, Kind.PRICE, korean)


def _rate(name: str, korean: str = "") -> Field:
    return Field(name, Kind.PRICE, korean, decimals=2)


def _code(name: str, korean: str = "") -> Field:
    return Field(name, Kind.CODE, korean)


def _time(name: str, korean: str = "") -> Field:
    return Field(name, Kind.TIME, korean)


def _text(name: str, korean: str = "") -> Field:
    return Field(name, Kind.TEXT, korean)


def unverified(*fields: Field) -> tuple[Field, ...]:
    """The same fields, marked as known from one source only."""
    return tuple(replace(field, verified=False) for field in fields)


def numbered(make: str, kind: Kind, korean: str, levels: int = 10) -> tuple[Field, ...]:
    """``make`` with 1 to ``levels`` behind it, as in ``ASKP1`` to ``ASKP10``."""
    return tuple(Field(f"{make}{i}", kind, f"{korean}{i}") for i in range(1, levels + 1))


SYMBOL: Final = Field("MKSC_SHRN_ISCD", Kind.SYMBOL, "유가증권 단축 종목코드")
MARKET_CODE: Final = _code("MARKET_CLS_CODE", "장구분코드")


def trade_fields(side: str) -> tuple[Field, ...]:
    """The 46 fields of 실시간체결가 until 2026-09-13; KRX calls the side CCLD_DVSN, the others CNTG_CLS_CODE."""
    return (
        SYMBOL,
        _time("STCK_CNTG_HOUR", "주식 체결 시간"),
        _price("STCK_PRPR", "주식 현재가"),
        _code("PRDY_VRSS_SIGN", "전일 대비 부호"),
        _price("PRDY_VRSS", "전일 대비"),
        _rate("PRDY_CTRT", "전일 대비율"),
        _rate("WGHN_AVRG_STCK_PRC", "가중 평균 주식 가격"),
        _price("STCK_OPRC", "주식 시가"),
        _price("STCK_HGPR", "주식 최고가"),
        _price("STCK_LWPR", "주식 최저가"),
        _price("ASKP1", "매도호가1"),
        _price("BIDP1", "매수호가1"),
        _int("CNTG_VOL", "체결 거래량"),
        _int("ACML_VOL", "누적 거래량"),
        _int("ACML_TR_PBMN", "누적 거래 대금"),
        _int("SELN_CNTG_CSNU", "매도 체결 건수"),
        _int("SHNU_CNTG_CSNU", "매수 체결 건수"),
        _int("NTBY_CNTG_CSNU", "순매수 체결 건수"),
        _rate("CTTR", "체결강도"),
        _int("SELN_CNTG_SMTN", "총 매도 수량"),
        _int("SHNU_CNTG_SMTN", "총 매수 수량"),
        _code(side, "체결구분"),
        _rate("SHNU_RATE", "매수비율"),
        _rate("PRDY_VOL_VRSS_ACML_VOL_RATE", "전일 거래량 대비 등락율"),
        _time("OPRC_HOUR", "시가 시간"),
        _code("OPRC_VRSS_PRPR_SIGN", "시가대비구분"),
        _price("OPRC_VRSS_PRPR", "시가대비"),
        _time("HGPR_HOUR", "최고가 시간"),
        _code("HGPR_VRSS_PRPR_SIGN", "고가대비구분"),
        _price("HGPR_VRSS_PRPR", "고가대비"),
        _time("LWPR_HOUR", "최저가 시간"),
        _code("LWPR_VRSS_PRPR_SIGN", "저가대비구분"),
        _price("LWPR_VRSS_PRPR", "저가대비"),
        Field("BSOP_DATE", Kind.DATE, "영업 일자"),
        _code("NEW_MKOP_CLS_CODE", "신 장운영 구분 코드"),
        _code("TRHT_YN", "거래정지 여부"),
        _int("ASKP_RSQN1", "매도호가 잔량1"),
        _int("BIDP_RSQN1", "매수호가 잔량1"),
        _int("TOTAL_ASKP_RSQN", "총 매도호가 잔량"),
        _int("TOTAL_BIDP_RSQN", "총 매수호가 잔량"),
        _rate("VOL_TNRT", "거래량 회전율"),
        _int("PRDY_SMNS_HOUR_ACML_VOL", "전일 동시간 누적 거래량"),
        _rate("PRDY_SMNS_HOUR_ACML_VOL_RATE", "전일 동시간 누적 거래량 비율"),
        _code("HOUR_CLS_CODE", "시간 구분 코드"),
        _code("MRKT_TRTM_CLS_CODE", "임의종료구분코드"),
        _price("VI_STND_PRC", "정적VI발동기준가"),
    )


TRADE_KRX: Final = trade_fields("CCLD_DVSN")
TRADE_OTHER: Final = trade_fields("CNTG_CLS_CODE")

EXPECTED: Final = TRADE_OTHER[:45]
EXPECTED_46_KRX: Final = (*EXPECTED, Field("F45", Kind.PRICE, "미사용", verified=False))
EXPECTED_46_OTHER: Final = TRADE_OTHER
EXPECTED_47_OTHER: Final = (*TRADE_OTHER, Field("F46", Kind.CODE, "미사용", verified=False))


def _book(levels: int, *, after_expected: tuple[Field, ...]) -> tuple[Field, ...]:
    return (
        SYMBOL,
        _time("BSOP_HOUR", "영업 시간"),
        _code("HOUR_CLS_CODE", "시간 구분 코드"),
        *numbered("ASKP", Kind.PRICE, "매도호가", levels),
        *numbered("BIDP", Kind.PRICE, "매수호가", levels),
        *numbered("ASKP_RSQN", Kind.INT, "매도호가 잔량", levels),
        *numbered("BIDP_RSQN", Kind.INT, "매수호가 잔량", levels),
        _int("TOTAL_ASKP_RSQN", "총 매도호가 잔량"),
        _int("TOTAL_BIDP_RSQN", "총 매수호가 잔량"),
        _int("OVTM_TOTAL_ASKP_RSQN", "시간외 총 매도호가 잔량"),
        _int("OVTM_TOTAL_BIDP_RSQN", "시간외 총 매수호가 잔량"),
        _price("ANTC_CNPR", "예상 체결가"),
        _int("ANTC_CNQN", "예상 체결량"),
        _int("ANTC_VOL", "예상 거래량"),
        _price("ANTC_CNTG_VRSS", "예상 체결 대비"),
        _code("ANTC_CNTG_VRSS_SIGN", "예상 체결 대비 부호"),
        _rate("ANTC_CNTG_PRDY_CTRT", "예상 체결 전일 대비율"),
        _int("ACML_VOL", "누적 거래량"),
        _int("TOTAL_ASKP_RSQN_ICDC", "총 매도호가 잔량 증감"),
        _int("TOTAL_BIDP_RSQN_ICDC", "총 매수호가 잔량 증감"),
        _int("OVTM_TOTAL_ASKP_ICDC", "시간외 총 매도호가 증감"),
        _int("OVTM_TOTAL_BIDP_ICDC", "시간외 총 매수호가 증감"),
        *after_expected,
    )


def _mid(prefix: str, korean: str) -> tuple[Field, ...]:
    return (
        _price(f"{prefix}_PRC", f"{korean} 중간가"),
        _int(f"{prefix}_TOTAL_RSQN", f"{korean} 중간가 잔량 합계"),
        _code(f"{prefix}_CLS_CODE", f"{korean} 중간가 매수매도 구분"),
    )


BOOK: Final = _book(10, after_expected=(_code("STCK_DEAL_CLS_CODE", "주식 매매 구분 코드"),))
BOOK_62_KRX: Final = (
    *BOOK,
    _price("MID_PRC", "중간가"),
    _int("MIDP_TOTAL_RSQN", "중간가 잔량 합계"),
    _code("MIDP_CLS_CODE", "중간가 매수매도 구분"),
)
BOOK_63_KRX: Final = (*BOOK_62_KRX, MARKET_CODE)
BOOK_62_NXT: Final = (*BOOK, *_mid("NMID", "NXT"))
BOOK_65: Final = (*BOOK, *_mid("KMID", "KRX"), *_mid("NMID", "NXT"))
BOOK_66_UN: Final = (*BOOK_65, _code("ANTC_EXCH_CLS_CODE", "예상체결 거래소 구분"))
AFTER_HOURS_BOOK_54: Final = _book(9, after_expected=())
AFTER_HOURS_BOOK_58: Final = unverified(*_book(10, after_expected=()))

OPERATION_TAIL: Final = (
    _code("TRHT_YN", "거래정지 여부"),
    _text("TR_SUSP_REAS_CNTT", "거래 정지 사유 내용"),
    _code("MKOP_CLS_CODE", "장운영 구분 코드"),
    _code("ANTC_MKOP_CLS_CODE", "예상 장운영 구분 코드"),
    _code("MRKT_TRTM_CLS_CODE", "임의연장 구분코드"),
    _code("DIVI_APP_CLS_CODE", "동시호가 배분처리 구분코드"),
    _code("ISCD_STAT_CLS_CODE", "종목상태 구분 코드"),
    _code("VI_CLS_CODE", "VI적용 구분코드"),
    _code("OVTM_VI_CLS_CODE", "시간외단일가 VI적용 구분코드"),
)
OPERATION_10: Final = (SYMBOL, *OPERATION_TAIL)
OPERATION_11: Final = (*OPERATION_10, _code("EXCH_CLS_CODE", "거래소 구분코드"))
OPERATION_WITHOUT_SYMBOL: Final = unverified(*OPERATION_TAIL, _code("EXCH_CLS_CODE", "거래소 구분코드"))

_NOTICE_18: Final = (
    _text("CUST_ID", "고객 ID"),
    _text("ACNT_NO", "계좌번호"),
    _text("ODER_NO", "주문번호"),
    _text("OODER_NO", "원주문번호"),
    _code("SELN_BYOV_CLS", "매도매수구분"),
    _code("RCTF_CLS", "접수구분"),
    _code("ODER_KIND", "주문종류"),
    _code("ODER_COND", "주문조건"),
    _code("STCK_SHRN_ISCD", "종목코드"),
    _int("CNTG_QTY", "체결수량"),
    _price("CNTG_UNPR", "체결단가"),
    _time("STCK_CNTG_HOUR", "주식체결시간"),
    _code("RFUS_YN", "거부여부"),
    _code("CNTG_YN", "체결여부"),
    _code("ACPT_YN", "접수여부"),
    _code("BRNC_NO", "지점번호"),
    _int("ODER_QTY", "주문수량"),
    _text("ACNT_NAME", "계좌명"),
)
NOTICE_23: Final = (
    *_NOTICE_18,
    _text("CNTG_ISNM", "체결종목명"),
    _code("CRDT_CLS", "신용거래구분"),
    _text("CRDT_LOAN_DATE", "신용대출일자"),
    _text("CNTG_ISNM40", "체결종목명40"),
    _price("ODER_PRC", "주문가격"),
)
NOTICE_26: Final = (
    *_NOTICE_18,
    _price("ORD_COND_PRC", "호가조건가격"),
    _code("ORD_EXG_GB", "주문거래소 구분"),
    _code("POPUP_YN", "체결정보 표시"),
    _text("FILLER", "필러"),
    _code("CRDT_CLS", "신용거래구분"),
    _text("CRDT_LOAN_DATE", "신용대출일자"),
    *unverified(_text("CNTG_ISNM40", "체결종목명")),
    _price("ODER_PRC", "주문가격"),
)

PROGRAM: Final = (
    SYMBOL,
    _time("STCK_CNTG_HOUR", "주식 체결 시간"),
    _int("SELN_CNQN", "매도 체결량"),
    _int("SELN_TR_PBMN", "매도 거래 대금"),
    _int("SHNU_CNQN", "매수 체결량"),
    _int("SHNU_TR_PBMN", "매수 거래 대금"),
    _int("NTBY_CNQN", "순매수 체결량"),
    _int("NTBY_TR_PBMN", "순매수 거래 대금"),
    _int("SELN_RSQN", "매도호가 잔량"),
    _int("SHNU_RSQN", "매수호가 잔량"),
    _int("WHOL_NTBY_QTY", "전체 순매수 수량"),
)

BROKERS: Final = (
    SYMBOL,
    *numbered("SELN2_MBCR_NAME", Kind.TEXT, "매도 회원사명", 5),
    *numbered("BYOV_MBCR_NAME", Kind.TEXT, "매수 회원사명", 5),
    *numbered("TOTAL_SELN_QTY", Kind.INT, "총 매도 수량", 5),
    *numbered("TOTAL_SHNU_QTY", Kind.INT, "총 매수 수량", 5),
    *numbered("SELN_MBCR_GLOB_YN_", Kind.CODE, "매도 외국계 여부", 5),
    *numbered("SHNU_MBCR_GLOB_YN_", Kind.CODE, "매수 외국계 여부", 5),
    *numbered("SELN_MBCR_NO", Kind.CODE, "매도 회원사 코드", 5),
    *numbered("SHNU_MBCR_NO", Kind.CODE, "매수 회원사 코드", 5),
    *numbered("SELN_MBCR_RLIM", Kind.PRICE, "매도 회원사 비중", 5),
    *numbered("SHNU_MBCR_RLIM", Kind.PRICE, "매수 회원사 비중", 5),
    *numbered("SELN_QTY_ICDC", Kind.INT, "매도 수량 증감", 5),
    *numbered("SHNU_QTY_ICDC", Kind.INT, "매수 수량 증감", 5),
    *(Field(f"F{i}", Kind.TEXT, verified=False) for i in range(61, 68)),
    *numbered("SELN2_MBCR_ENG_NAME", Kind.TEXT, "매도 영문 회원사명", 5),
    *numbered("BYOV_MBCR_ENG_NAME", Kind.TEXT, "매수 영문 회원사명", 5),
)

_INDEX_HEAD: Final = (
    Field("BSTP_CLS_CODE", Kind.SYMBOL, "업종 구분 코드"),
    _time("BSOP_HOUR", "영업 시간"),
    _rate("PRPR_NMIX", "현재가 지수"),
    _code("PRDY_VRSS_SIGN", "전일 대비 부호"),
    _rate("BSTP_NMIX_PRDY_VRSS", "업종 지수 전일 대비"),
    _int("ACML_VOL", "누적 거래량"),
    _int("ACML_TR_PBMN", "누적 거래 대금"),
    _int("PCAS_VOL", "건별 거래량"),
    _int("PCAS_TR_PBMN", "건별 거래 대금"),
    _rate("PRDY_CTRT", "전일 대비율"),
)
_INDEX_COUNTS: Final = (
    _int("UPLM_ISSU_CNT", "상한 종목 수"),
    _int("ASCN_ISSU_CNT", "상승 종목 수"),
    _int("STNR_ISSU_CNT", "보합 종목 수"),
    _int("DOWN_ISSU_CNT", "하락 종목 수"),
    _int("LSLM_ISSU_CNT", "하한 종목 수"),
)
INDEX_30: Final = (
    *_INDEX_HEAD,
    _rate("OPRC_NMIX", "시가 지수"),
    _rate("NMIX_HGPR", "지수 최고가"),
    _rate("NMIX_LWPR", "지수 최저가"),
    _rate("OPRC_VRSS_NMIX_PRPR", "시가 대비 지수 현재가"),
    _code("OPRC_VRSS_NMIX_SIGN", "시가 대비 지수 부호"),
    _rate("HGPR_VRSS_NMIX_PRPR", "최고가 대비 지수 현재가"),
    _code("HGPR_VRSS_NMIX_SIGN", "최고가 대비 지수 부호"),
    _rate("LWPR_VRSS_NMIX_PRPR", "최저가 대비 지수 현재가"),
    _code("LWPR_VRSS_NMIX_SIGN", "최저가 대비 지수 부호"),
    _rate("PRDY_CLPR_VRSS_OPRC_RATE", "전일 종가 대비 시가 비율"),
    _rate("PRDY_CLPR_VRSS_HGPR_RATE", "전일 종가 대비 최고가 비율"),
    _rate("PRDY_CLPR_VRSS_LWPR_RATE", "전일 종가 대비 최저가 비율"),
    *_INDEX_COUNTS,
    _int("QTQT_ASCN_ISSU_CNT", "기세 상승 종목 수"),
    _int("QTQT_DOWN_ISSU_CNT", "기세 하락 종목 수"),
    _rate("TICK_VRSS", "틱 대비"),
)
INDEX_15: Final = unverified(*_INDEX_HEAD, *_INDEX_COUNTS)
INDEX_PROGRAM: Final = unverified(_INDEX_HEAD[0])

NAV: Final = (
    SYMBOL,
    *unverified(
        _rate("NAV", "NAV"),
        _code("NAV_PRDY_VRSS_SIGN", "NAV 전일 대비 부호"),
        _rate("NAV_PRDY_VRSS", "NAV 전일 대비"),
        _rate("NAV_PRDY_CTRT", "NAV 전일 대비율"),
        _rate("OPRC_NAV", "시가 NAV"),
        _rate("HPRC_NAV", "고가 NAV"),
        _rate("LPRC_NAV", "저가 NAV"),
    ),
)
