"""Order and fill notices of an account that trades now and then, for clients that want to try their decryption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hosu.kis.codec import encode
from hosu.kis.layouts import layout_on
from hosu.kis.notice import encrypt
from hosu.kis.records import pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date


def fill_notice(
    tr_id: str, hts_id: str, serial: int, *, symbol: str, name: str, price: int, second: int, widths: date
) -> Callable[[str, str], bytes]:
    """What makes the frame that says one share of ``symbol`` was bought, given the iv and key of the registration.

    ``price`` is in hundredths of a won; ``widths`` is the date whose layout is sent.
    """
    layout = layout_on(tr_id, widths)
    texts = {
        "CUST_ID": hts_id, "ACNT_NO": "1234567801", "ODER_NO": f"{serial:010d}", "OODER_NO": "",
        "ACNT_NAME": "모의계좌",
        "CNTG_ISNM": name, "FILLER": "", "CRDT_LOAN_DATE": "", "CNTG_ISNM40": name,
    }  # fmt: skip
    codes = {
        "SELN_BYOV_CLS": "02", "RCTF_CLS": "0", "ODER_KIND": "00", "ODER_COND": "0", "STCK_SHRN_ISCD": symbol,
        "RFUS_YN": "0", "CNTG_YN": "2", "ACPT_YN": "2", "BRNC_NO": "06010", "ORD_EXG_GB": "1", "POPUP_YN": "N",
        "CRDT_CLS": "10",
    }  # fmt: skip
    numbers = {"CNTG_QTY": 1, "CNTG_UNPR": price, "STCK_CNTG_HOUR": second, "ODER_QTY": 1, "ORD_COND_PRC": 0,
               "ODER_PRC": price}  # fmt: skip
    values = numbers | {field: pack(code) for field, code in codes.items()}
    columns = {field: np.array([value], np.int64) for field, value in values.items() if layout.has(field)}
    written = {field: [text] for field, text in texts.items() if layout.has(field)}
    record = encode(layout, columns, texts=written).frame(0).split(b"|", 3)[3].decode()

    def encrypted(iv: str, key: str) -> bytes:
        return f"1|{tr_id}|001|{encrypt(record, key, iv)}".encode()

    return encrypted
