"""Order and fill notices: the cipher, and what a wrong key gives."""

import pytest

from hosu.errors import FrameError
from hosu.kis.notice import decrypt, encrypt

# A public vector with invented values (26 fields), checked with openssl aes-256-cbc.
KEY = "0123456789abcdef0123456789abcdef"
IV = "abcdef9876543210"
PLAIN = (
    "myhtsid^12345678-01^0000012345^^02^1^00^^005930^3^70000^153001^N^2^Y^91234^5^TEST ACCOUNT^0^KRX^Y^^^^20260604"
    "^70000"
)
CIPHER = (
    "lt/2OVlwH03tstNbVo8JvqAP7Q1H5VofgPR5/ydyGcdKlJQBvUZ6T4kWyk9po2coCEzfjguWetOkVvj+eoPBDZrMWbSaY1zRXr26GyJ9HyYtOR5Sv9PW"
    "uFljujIdH6WgSYWsXbWclyTYGhdEbeQila4ZXE9CEs+k3grrpKBqVLE="
)


def test_the_public_vector_decrypts_to_its_record():
    assert decrypt(CIPHER, KEY, IV) == PLAIN


def test_the_public_vector_encrypts_to_its_payload():
    assert encrypt(PLAIN, KEY, IV) == CIPHER


def test_korean_text_survives_the_way_there_and_back():
    assert decrypt(encrypt("김한투^하림", KEY, IV), KEY, IV) == "김한투^하림"


@pytest.mark.parametrize("text", ["not base64!", "YWJj", "", CIPHER[:-4]])
def test_a_damaged_payload_is_an_error_of_ours(text):
    with pytest.raises(FrameError, match=r"not base64|does not decrypt"):
        decrypt(text, KEY, IV)


def test_a_key_of_the_wrong_length_is_named_by_length_and_never_shown():
    with pytest.raises(FrameError, match="key of 32 bytes and an iv of 16, got 5 and 16") as caught:
        decrypt(CIPHER, "s3cr3", IV)
    assert "s3cr3" not in str(caught.value)


def test_a_wrong_key_is_told_from_a_damaged_payload():
    with pytest.raises(FrameError, match="last acknowledgement"):
        decrypt(CIPHER, KEY[::-1], IV)
