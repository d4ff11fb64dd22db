"""What a sink remembers as bytes, and back: facts and arrays, which a damaged byte never passes for.

Seven bytes of magic and one of format, version of the formulas, CRC-32 of what follows, length of a JSON object, the
object, then the arrays it names, one behind the other, little-endian.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.errors import InputError, LogCorruptError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

_HEAD: Final = struct.Struct("<7sBIII")
_NEXT: Final = "move it away to begin anew without it"


@dataclass(frozen=True, slots=True)
class KeptFormat:
    """One kind of content: seven bytes of magic, the version of its format, and that of the formulas."""

    magic: bytes
    format: int
    formulas: int

    def pack(self, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
        """Facts, as JSON takes them, and arrays, as bytes."""
        whole = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        shapes = [[name, values.dtype.str, list(values.shape)] for name, values in whole.items()]
        told = json.dumps({**facts, "arrays": shapes}).encode()
        body = b"".join([told, *(values.tobytes() for values in whole.values())])
        return _HEAD.pack(self.magic, self.format, self.formulas, zlib.crc32(body), len(told)) + body

    def unpack(self, content: bytes, source: object) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """The facts and the arrays, which are read-only.

        Raises:
            LogCorruptError: it is none, or damaged.
            InputError: another version of the formulas or of this format wrote it.
        """
        if len(content) < _HEAD.size or content[:7] != self.magic:
            raise LogCorruptError(source, 0, "it does not begin as a state of features does", _NEXT)
        _, version, formulas, crc, length = _HEAD.unpack_from(content)
        body = content[_HEAD.size :]
        if zlib.crc32(body) != crc:
            raise LogCorruptError(source, _HEAD.size, "the state of features does not match its checksum", _NEXT)
        if (version, formulas) != (self.format, self.formulas):
            found = f"a state of format {version} and kernel {formulas}, this is {self.format} and {self.formulas}"
            raise InputError(str(source), found, "let it be built anew")
        try:
            return _parts(body, length)
        except UNREADABLE as error:
            # The checksum is of the body alone: a length that is damaged takes the wrong part of it for the object.
            raise unreadable(source, error) from error


UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What facts and arrays that are not those expected give."""


def unreadable(source: object, error: Exception) -> LogCorruptError:
    """The error for content that is whole but not what it should be."""
    return LogCorruptError(source, _HEAD.size, f"the state of features cannot be read: {error}", _NEXT)


def _parts(body: bytes, length: int) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    facts = json.loads(body[:length])
    arrays, at = {}, length
    for name, kind, shape in facts.pop("arrays"):
        arrays[name] = np.frombuffer(body, kind, prod(shape), at).reshape(shape)
        at += arrays[name].nbytes
    return facts, arrays
