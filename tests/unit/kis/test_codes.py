import pytest

from hosu.errors import (
    AppkeyInUseError,
    BrokerReplyError,
    BrokerUnreachableError,
    RateLimitedError,
    RegistrationLimitError,
    RegistrationRefusedError,
    TokenExpiredError,
    TokenIssueTooSoonError,
)
from hosu.kis.codes import Verdict, code_of, error_of, may_succeed_later, verdict


@pytest.mark.parametrize(
    ("code", "what", "error", "later"),
    [
        ("EGW00201", Verdict.SLOW_DOWN, RateLimitedError, True),
        ("EGW00121", Verdict.NEW_TOKEN, TokenExpiredError, True),
        ("EGW00123", Verdict.NEW_TOKEN, TokenExpiredError, True),
        ("EGW00133", Verdict.WAIT_A_MINUTE, TokenIssueTooSoonError, True),
        ("EGW00002", Verdict.RETRY, BrokerReplyError, True),
        ("HTTP 502", Verdict.RETRY, BrokerReplyError, True),
        ("HTTP 404", Verdict.REFUSED, BrokerReplyError, False),
        ("EGW00103", Verdict.FATAL, BrokerReplyError, False),
        ("OPSQ2001", Verdict.REFUSED, BrokerReplyError, False),
        ("OPSP0008", Verdict.NO_SLOT, RegistrationLimitError, False),
        ("OPSP8996", Verdict.WAIT_A_MINUTE, AppkeyInUseError, True),
        ("OPSP8992", Verdict.REFUSED, RegistrationRefusedError, False),
        ("OPSP0002", Verdict.DONE, BrokerReplyError, False),
        ("NEW12345", Verdict.REFUSED, BrokerReplyError, False),
    ],
)
def test_each_code_has_one_verdict_and_one_error(code, what, error, later):
    assert verdict(code) is what
    raised = error_of(code, "text ", call="/path", status=500)
    assert type(raised) is error
    assert (raised.code, raised.status) == (code, 500)
    assert may_succeed_later(raised) is later


def test_an_error_says_what_to_do():
    text = str(error_of("OPSP8996", "ALREADY IN USE appkey", call="registration"))
    assert text.startswith("registration: the broker answered OPSP8996 ALREADY IN USE appkey; another program")
    assert may_succeed_later(BrokerUnreachableError("ws://a", "gone"))


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        ("OPSP0000", "anything", "OPSP0000"),
        ("", "SUBSCRIBE SUCCESS", "OPSP0000"),
        ("", "UNSUBSCRIBE SUCCESS", "OPSP0001"),
        (None, "ALREADY IN SUBSCRIBE", "OPSP0002"),
        ("", "max subscribe over", "OPSP0008"),
        ("", "ALREADY IN USE appkey", "OPSP8996"),
        ("", "something new", ""),
    ],
)
def test_a_missing_code_is_read_from_the_text(code, text, expected):
    assert code_of(code, text) == expected
