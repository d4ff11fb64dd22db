"""Order and fill notices (체결통보) come encrypted: AES-256 in CBC mode, PKCS7 padding, base64 (KIS portal).

Key (32 characters) and iv (16) come with the acknowledgement of the registration and hold until the next one.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from hosu.errors import FrameError

_BLOCK_BITS: Final = 128


def _cipher(key: str, iv: str) -> Cipher[CBC]:
    raw_key, raw_iv = key.encode(), iv.encode()
    if len(raw_key) != 32 or len(raw_iv) != 16:
        # Lengths only: the key is a secret.
        raise FrameError(f"a notice needs a key of 32 bytes and an iv of 16, got {len(raw_key)} and {len(raw_iv)}")
    return Cipher(AES(raw_key), CBC(raw_iv))


def encrypt(text: str, key: str, iv: str) -> str:
    """The payload that carries ``text``, as the broker sends it behind ``1|H0STCNI0|001|``.

    Raises:
        FrameError: key or iv have not 32 and 16 bytes.
    """
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = _cipher(key, iv).encryptor()
    padded = padder.update(text.encode()) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode("ascii")


def decrypt(text: str, key: str, iv: str) -> str:
    """The plain record inside a payload.

    Raises:
        FrameError: not base64, not whole blocks, or key and iv are not those it was encrypted with.
    """
    decryptor = _cipher(key, iv).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    try:
        padded = decryptor.update(base64.b64decode(text, validate=True)) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode("utf-8")
    except binascii.Error:
        raise FrameError("the notice is not base64") from None
    except ValueError:
        raise FrameError("the notice does not decrypt with the key and iv of the last acknowledgement") from None
