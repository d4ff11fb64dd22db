"""What numba cannot say by itself, as instructions: eight bytes at once, carets among 64 bytes, the lowest bit.

They are plain LLVM vector operations, so they compile for any processor, and wide registers are used where there
are any. Bytes are taken little-endian, which every processor numba supports is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

types: Any = numba.types
"""numba's types, which no type checker knows."""

BYTES: Final = types.Array(types.uint8, 1, "C", readonly=True)
"""The one array type of frames: whoever calls a kernel passes a read-only, contiguous view."""


CARET: Final = 94

_ONES: Final = 0x0101010101010101
_HIGH: Final = np.uint64(_ONES * 0x80)
_ZEROS: Final = np.uint64(_ONES * 0x30)
_ABOVE_NINE: Final = np.uint64(_ONES * 0x76)
_TWO_BYTES: Final = np.uint64(16)


def compiled(*signatures: Any) -> Any:
    """Decorates a function that is compiled for these signatures when its module is first imported, then cached.

    Its arguments' types are those of the signature; a type checker sees Any.
    """
    return numba.njit(list(signatures), cache=True, nogil=True, error_model="numpy")


def inlined(*signatures: Any) -> Any:
    """As ``compiled``, for small functions whose calls would cost more than they do."""
    return numba.njit(list(signatures), cache=True, nogil=True, error_model="numpy", inline="always")


def _instruction(build: Callable[..., Any]) -> Any:
    # What is built is called with the arguments behind `typingctx`; no type checker can know.
    return intrinsic(build)


@_instruction
def address_of(typingctx: Any, data: Any) -> Any:  # noqa: ARG001
    """Where ``data`` lies in memory.

    Kernels pass this number on instead of the array: a call that takes an array counts references, atomically, and
    that costs more than reading a field.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, ir.IntType(64))

    return types.int64(data), codegen


def _loaded(builder: Any, address: Any, width: Any) -> Any:
    return builder.load(builder.inttoptr(address, width.as_pointer()), align=1)


@_instruction
def load1(typingctx: Any, address: Any) -> Any:  # noqa: ARG001
    """The byte at ``address``, as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.zext(_loaded(builder, args[0], ir.IntType(8)), ir.IntType(64))

    return types.int64(types.int64), codegen


@_instruction
def load4(typingctx: Any, address: Any) -> Any:  # noqa: ARG001
    """The int32 at ``address``, as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.sext(_loaded(builder, args[0], ir.IntType(32)), ir.IntType(64))

    return types.int64(types.int64), codegen


@_instruction
def store4(typingctx: Any, address: Any, value: Any) -> Any:  # noqa: ARG001
    """Writes ``value`` as an int32 to ``address``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        narrow = builder.trunc(args[1], ir.IntType(32))
        builder.store(narrow, builder.inttoptr(args[0], ir.IntType(32).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@_instruction
def load8(typingctx: Any, address: Any) -> Any:  # noqa: ARG001
    """The eight bytes from ``address`` on as one number; the caller knows that they may be read."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return _loaded(builder, args[0], ir.IntType(64))

    return types.uint64(types.int64), codegen


_SIXTY_FOUR: Final = ir.VectorType(ir.IntType(8), 64)


@_instruction
def carets64(typingctx: Any, address: Any) -> Any:  # noqa: ARG001
    """One bit for each of the 64 bytes from ``address`` on, set where it is a caret; lowest bit first."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        found = _loaded(builder, args[0], _SIXTY_FOUR)
        equal = builder.icmp_unsigned("==", found, ir.Constant(_SIXTY_FOUR, [CARET] * 64))
        return builder.bitcast(equal, ir.IntType(64))

    return types.uint64(types.int64), codegen


@_instruction
def high64(typingctx: Any, address: Any) -> Any:  # noqa: ARG001
    """One bit for each of the 64 bytes from ``address`` on, set where it is not ASCII; lowest bit first."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        found = _loaded(builder, args[0], _SIXTY_FOUR)
        below = builder.icmp_signed("<", found, ir.Constant(_SIXTY_FOUR, [0] * 64))
        return builder.bitcast(below, ir.IntType(64))

    return types.uint64(types.int64), codegen


@_instruction
def lowest_bit(typingctx: Any, bits: Any) -> Any:  # noqa: ARG001
    """The place of the lowest set bit; ``bits`` is not zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.int64(types.uint64), codegen


@inlined(types.UniTuple(types.int64, 2)(types.int64, types.int64))
def eight_digits(end: Any, length: Any) -> Any:
    """The number in the 1 to 8 bytes before the address ``end``, and 1 if all of them are digits.

    Multiplies and shifts eight digits at once. The digits are taken out by exclusive or, not by subtraction: a byte
    below "0" would borrow from its neighbour.
    """
    shift = np.uint64(64 - 8 * length)
    x = ((load8(end - 8) ^ _ZEROS) >> shift) << shift
    bad = ((x + _ABOVE_NINE) | x) & _HIGH
    x = x * np.uint64(10) + (x >> np.uint64(8))
    pairs = np.uint64(0x000000FF000000FF)
    high = (x & pairs) * np.uint64(0x000F424000000064)
    low = ((x >> np.uint64(16)) & pairs) * np.uint64(0x0000271000000001)
    return np.int64((high + low) >> np.uint64(32)) & 0xFFFFFFFF, np.int64(bad == np.uint64(0))


@inlined(types.UniTuple(types.int64, 2)(types.int64))
def clock_digits(end: Any) -> Any:
    """Seconds of the day from the six bytes HHMMSS before the address ``end``, and 1 if that is a time."""
    x = ((load8(end - 8) ^ _ZEROS) >> _TWO_BYTES) << _TWO_BYTES
    bad = ((x + _ABOVE_NINE) | x) & _HIGH
    x = x * np.uint64(10) + (x >> np.uint64(8))
    hour = np.int64(x >> np.uint64(16)) & 255
    minute = np.int64(x >> np.uint64(32)) & 255
    second = np.int64(x >> np.uint64(48)) & 255
    possible = (hour < 24) & (minute < 60) & (second < 60)
    return hour * 3600 + minute * 60 + second, np.int64((bad == np.uint64(0)) & possible)


@inlined(types.UniTuple(types.int64, 2)(types.uint64))
def two_digits(last: Any) -> Any:
    """The number in the two highest bytes of eight, and 1 if both are digits."""
    tens = (np.int64(last >> np.uint64(48)) & 255) - 48
    units = (np.int64(last >> np.uint64(56)) & 255) - 48
    return tens * 10 + units, np.int64((tens >= 0) & (tens <= 9) & (units >= 0) & (units <= 9))
