"""Hostile input made from sound input: what is changed is one place or a few, so that it gets past the first check.

The contract of everything that reads what others wrote: it is accepted, or refused with an error of ours whose
sentence a person can read. Never another exception, never a hang, never memory beyond a bound.
"""

from __future__ import annotations

import copy
import json
import signal
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from hosu.errors import HosuError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 60
"""Nothing here may take this long; a hundredth of it would do."""

SENTENCE = 2_000
"""Characters that a message to a person may have at most."""

NESTED = "nested:{}"
"""A text that becomes JSON lists within lists, so many deep."""

DEPTHS = (50, 400, 900, 930, 950, 960, 965, 970, 975, 980, 985, 990, 2_000, 20_000)
NUMBERS = ("1e999", "-1e999", "NaN", "Infinity", "9" * 30, "9" * 400, "9" * 5_000, "1e-999", "-0", "0.1", "1E+2")
LEAVES = st.one_of(
    st.sampled_from(
        [None, True, False, 0, -1, 2**31, 2**63, -(2**63), 10**30, "", " ", "0", "-", "\0", "a\0b", "\ud800",
         "\udfff x",
         "\r\nX: y", "\x1b[2J", "한글", "½", "²", "٣", "1" * 5_000, "A" * 20_000, [], {}, [[]], [None], {"": None},
         {"output": {}}, "20250915", "99999999", "00010101", "(null)", "1e5", "0x10", "+7", "1,2,3", "Y", "N"]
    ),
    st.sampled_from(DEPTHS).map(NESTED.format),
    st.sampled_from(NUMBERS).map(lambda number: f"number:{number}"),
    st.text(max_size=20),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(
        [b"\0", b"\xff", b"\xed\xa0\x80", b"^", b"|", b"{", b"}", b"[", b'"', b"\\u0000", b"\\ud800", b"\n", b"\r\n",
         b"9" * 40, b"0|H0STCNT0|001|", b"PK\x03\x04", b"HOSULOG\x01", b"\x28\xb5\x2f\xfd", b"\x7f" * 8, b"\xff" * 8]
    ),
    st.binary(max_size=6),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, valid: bytes, most: int = 4) -> bytes:
    """Bytes with a few places flipped, cut out, doubled, moved or overwritten; now and then the untouched ones."""
    raw = bytearray(valid)
    for _ in range(draw(st.integers(0, most))):
        if not raw:
            break
        place = draw(st.integers(0, len(raw) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                raw[place] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del raw[place : place + draw(st.integers(1, 40))]
            case 2:
                raw[place:place] = draw(PIECES)
            case 3:
                piece = draw(PIECES)
                raw[place : place + len(piece)] = piece
            case 4:
                raw[place:place] = raw[place : place + draw(st.integers(1, 200))]
            case _:
                del raw[place:]
    return bytes(raw)


@st.composite
def mutated_json(draw: st.DrawFn, valid: Any) -> bytes:
    """JSON like ``valid`` with other values, names or rows at a few places; sometimes with its bytes damaged too."""
    holder = [copy.deepcopy(valid)]
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, holder)
    text = _written(holder[0])
    raw = text.encode("utf-8", "surrogatepass")
    return draw(mutated(raw, 2)) if draw(st.integers(0, 4)) == 0 else raw


def _change(draw: st.DrawFn, holder: list[Any]) -> None:
    places = list(_places(holder))
    parent, name = draw(st.sampled_from(places))
    match draw(st.integers(0, 5)):
        case 0 if isinstance(parent, dict):
            del parent[name]
        case 1 if isinstance(parent, dict):
            parent[draw(st.sampled_from(["", "\ud800", "iv", "key", "output", "x" * 5_000]))] = parent.pop(name)
        case 2 if isinstance(parent, list) and parent is not holder:
            parent += [copy.deepcopy(parent[name])] * draw(st.integers(1, 3))
        case _:
            parent[name] = draw(LEAVES)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    names = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in names:
        yield value, name
        yield from _places(value[name])


def _written(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    for depth in DEPTHS:
        text = text.replace(f'"{NESTED.format(depth)}"', nested(depth))
    for number in NUMBERS:
        text = text.replace(f'"number:{number}"', number)
    return text


def nested(depth: int) -> str:
    """JSON lists within lists."""
    return "[" * depth + "]" * depth


@contextmanager
def accepted_or_refused(*also: type[BaseException], lines: bool = False) -> Iterator[None]:
    """The contract. ``also`` names further exceptions that this door says it raises; ``lines`` allows line ends."""
    with patience():
        try:
            yield
        except HosuError as error:
            assert_readable(str(error), lines=lines)
        except also:
            pass


def assert_readable(sentence: str, *, lines: bool = False) -> None:
    """Whether a message may be shown to a person: it says something, is not endless, and steers no terminal."""
    assert sentence.strip()
    assert len(sentence) <= SENTENCE, f"a message of {len(sentence)} characters: {sentence[:300]!r}"
    steering = [letter for letter in sentence if not letter.isprintable() and not (lines and letter in "\n\t")]
    assert not steering, f"{steering[:5]!r} in {sentence[:300]!r}"


@contextmanager
def patience() -> Iterator[None]:
    """Fails what hangs, instead of hanging with it."""

    def give_up(*_: object) -> None:
        raise AssertionError(f"still busy after {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def memory_within(mebibytes: int) -> Iterator[None]:
    """Fails what allocates more than that at any one time, as far as Python's allocators see it."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= mebibytes << 20, f"{peak >> 20} MiB at one time, more than {mebibytes}"
