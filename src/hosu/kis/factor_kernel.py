"""Numbers equal values alike, for dictionary-encoded columns."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hosu.kis.byte_kernel import compiled, types

_FEW: Final = 8
_I64 = types.int64[::1]
_I32 = types.int32[::1]


@compiled(types.int64(types.int64, types.int64))
def _slot(value: Any, mask: Any) -> Any:
    mixed = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(mixed ^ (mixed >> np.uint64(29))) & mask


@compiled(types.int64(_I64, _I32, _I64, types.int64, types.int64))
def _hashed(values: Any, codes: Any, uniques: Any, done: Any, known: Any) -> Any:
    size = 16
    while size < 2 * (values.shape[0] - done + known):
        size *= 2
    slots = np.full(size, -1, np.int32)
    for k in range(known):
        h = _slot(uniques[k], size - 1)
        while slots[h] >= 0:
            h = (h + 1) & (size - 1)
        slots[h] = k
    for i in range(done, values.shape[0]):
        h = _slot(values[i], size - 1)
        while slots[h] >= 0 and uniques[slots[h]] != values[i]:
            h = (h + 1) & (size - 1)
        if slots[h] < 0:
            slots[h] = known
            uniques[known] = values[i]
            known += 1
        codes[i] = slots[h]
    return known


@compiled(types.int64(_I64, _I32, _I64))
def factorize(values: Any, codes: Any, uniques: Any) -> Any:
    """Fills ``codes`` with one number a value, from 0 in the order of first appearance; how many values differ.

    ``uniques``, as long as ``values``, receives the values they stand for. Most columns of the market hold one or
    two different values: a table is built only for more.
    """
    known = 0
    for i in range(values.shape[0]):
        k = known - 1
        while k >= 0 and uniques[k] != values[i]:
            k -= 1
        if k < 0:
            if known == _FEW:
                return _hashed(values, codes, uniques, i, known)
            k = known
            uniques[k] = values[i]
            known += 1
        codes[i] = k
    return known
