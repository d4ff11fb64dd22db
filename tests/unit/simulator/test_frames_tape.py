"""Recorded frames are played byte for byte."""

import pytest

from hosu.errors import InputError
from hosu.kis.registrations import Registration
from hosu.kis.simulator.frames import FramesTape, key_of

TRADE = (
    b"0|H0STCNT0|001|005930^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^3052507^219853241700"
    b"^5105^6937^1832^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20230612^20^N^65945"
    b"^216924^1118750^2199206^0.05^2424142^125.92^0^^72100"
)
BROKEN = b"0|H0STCNT0|004|005930^093354^71900"
PING = b'{"header":{"tr_id":"PINGPONG","datetime":"20230612093400"}}'
NOTICE = b"1|H0STCNI0|001|c2VjcmV0"
NINE = 1_686_528_000_000_000  # 2023-06-12 09:00 KST


def test_frames_keep_their_bytes_and_times_and_messages_are_left_out() -> None:
    tape = FramesTape([(NINE, PING), (NINE + 1, TRADE), (NINE + 2, NOTICE), (NINE + 3, BROKEN)])
    (burst,) = tape
    assert burst.frames.frames() == [TRADE, BROKEN]
    assert burst.at_us.tolist() == [NINE + 1, NINE + 3]
    assert burst.frames.records.tolist() == [1, 1]
    assert [tape.keys[k] for k in burst.key.tolist()] == [Registration("H0STCNT0", "005930")] * 2
    assert (str(tape.day), tape.left_out) == ("2023-06-12", 1)


def test_times_that_go_back_are_held() -> None:
    (burst,) = FramesTape([(NINE + 5, TRADE), (NINE, TRADE)])
    assert burst.at_us.tolist() == [NINE + 5, NINE + 5]


def test_a_symbol_is_known_from_its_first_trade() -> None:
    tape = FramesTape([(NINE, TRADE)])
    list(tape)
    assert tape.instruments["005930"].base_price == 72000


@pytest.mark.parametrize(
    "frame", [b"", b"0|H0STCNT0", b"0|H0STCNT0|001|", b"0||001|005930^1", b"1|H0STCNT0|001|abc", PING]
)
def test_a_frame_that_names_no_tr_and_symbol_has_no_key(frame: bytes) -> None:
    assert key_of(frame) is None


def test_no_frames_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="there are none"):
        FramesTape([])
