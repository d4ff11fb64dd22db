"""A synthetic exchange: order books, trades, auctions, volatility interruptions and halts, drawn from a seed.

The same seed, date, symbols, layouts and size of the day always give the same frames. Each event is somebody who
trades one symbol, in one or more fills that travel in one frame; the book follows in a frame of its own. The prices
mean nothing, but every number of every record agrees with the others as the broker's do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import InputError
from hosu.kis.codec import encode
from hosu.kis.layouts import layout_on
from hosu.kis.records import pack
from hosu.kis.registrations import Registration
from hosu.kis.simulator import market_kernels as kernel
from hosu.kis.simulator.ground import codes_of, columns_of, lay_ground
from hosu.kis.simulator.tape import KeyTable, Part, merge
from hosu.kis.simulator.universe import default_symbols, list_instruments, past_days, trades_on_nxt
from hosu.market.calendar import instant_us, sessions_on
from hosu.market.day_plan import Phase

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import numpy.typing as npt

    from hosu.kis.layouts import Layout
    from hosu.kis.records import Ints
    from hosu.kis.simulator.tape import Burst, DailyBar
    from hosu.market.day_plan import PhaseSpan
    from hosu.market.instruments import Instrument

    Floats = npt.NDArray[np.float64]

FEEDS: Final = ("trades", "quotes", "expected", "market_events")
_TR_IDS: Final[dict[str, dict[str, str]]] = {
    "KRX": {"trades": "H0STCNT0", "quotes": "H0STASP0", "expected": "H0STANC0", "market_events": "H0STMKO0"},
    "UN": {"trades": "H0UNCNT0", "quotes": "H0UNASP0", "expected": "H0UNANC0", "market_events": "H0UNMKO0"},
}
_EVENTS_A_CHUNK: Final = 1024
_SHARES_OF_DAY: Final = {
    Phase.OPENING_AUCTION: 0.05,
    Phase.REGULAR: 0.88,
    Phase.CLOSING_AUCTION: 0.04,
    Phase.AFTER_MARKET: 0.03,
}
_CODES: Final = {  # NEW_MKOP_CLS_CODE, HOUR_CLS_CODE, MARKET_CLS_CODE
    Phase.OPENING_AUCTION: ("00", "B", "2"),
    Phase.REGULAR: ("20", "0", "2"),
    Phase.CLOSING_AUCTION: ("00", "A", "2"),
    Phase.AFTER_MARKET: ("40", "0", "3"),
}
_OPENING_SPREAD_S: Final = 25  # the exchange works through its symbols; opening prints of 09:00:17 to 26 are recorded
_HALT_S: Final = 600


@dataclass(frozen=True, slots=True)
class ExchangeConfig:
    """What is traded, and how much of it.

    ``records`` is about how many market records the whole day has, over all ``feeds`` and scopes.
    ``fills`` is the most records a trade frame holds; 1 makes every frame hold one. ``scopes`` may add ``UN``, in
    which the symbols that NXT trades too have the same records once more, as if all trading were on KRX.
    ``layouts`` is the date whose record widths are sent; None takes the day's own. ``repeats`` sends every symbol's
    last trade once more after the close, as the broker does.
    """

    day: date
    seed: int = 1
    symbols: tuple[str, ...] = default_symbols(20)
    records: int = 1_000_000
    feeds: tuple[str, ...] = FEEDS
    scopes: tuple[str, ...] = ("KRX",)
    fills: int = 19
    layouts: date | None = None
    repeats: bool = True


class Exchange:
    """A tape of a day that never was."""

    source = "synthetic"

    def __init__(self, config: ExchangeConfig) -> None:
        """Raises NoSessionError where the day is none, InputError where the config makes no sense."""
        _check(config)
        self._config = config
        self._plan = sessions_on(config.day)
        self.day, self.seed = config.day, config.seed
        self.keys = KeyTable()
        listed = list_instruments(config.symbols, config.day, config.seed)
        self.instruments: dict[str, Instrument] = {each.symbol: each for each in listed}
        self.nxt = frozenset(symbol for symbol in config.symbols if trades_on_nxt(symbol))
        self._ground = lay_ground(listed, config.day, limits=True)
        self._rng = np.random.default_rng(config.seed)
        self._layouts = _layouts(config)
        self._key_numbers = {(tr_id, s): self._number(tr_id, s) for tr_id in self._layouts for s in config.symbols}
        self._on_nxt = np.array([symbol in self.nxt for symbol in config.symbols])
        self._halts = self._draw_halts()
        self._closing: tuple[Ints, Ints] | None = None

    @property
    def start_us(self) -> int:
        first = self._plan.span(Phase.OPENING_AUCTION)
        assert first is not None, "every plan of KRX has an opening auction"
        return instant_us(self.day, first.start_s)

    def history(self, symbol: str, days: int) -> list[DailyBar]:
        instrument = self.instruments.get(symbol)
        return past_days(instrument, self.day, days, self.seed) if instrument is not None else []

    def impossible_bars(self) -> list[dict[str, object]]:
        return []

    def __iter__(self) -> Iterator[Burst]:
        self._tend_to_a_close()
        for phase in (Phase.OPENING_AUCTION, Phase.REGULAR, Phase.CLOSING_AUCTION, Phase.AFTER_MARKET):
            span = self._plan.span(phase)
            if span is not None:
                yield from self._phase(span)

    # --- the day's plan -----------------------------------------------------------------------------------------

    def _phase(self, span: PhaseSpan) -> Iterator[Burst]:
        yield merge(self._begin(span))
        codes = self._codes(span.phase)
        events = self._events_in(span.phase)
        chunks = -(-events // _EVENTS_A_CHUNK)
        start = span.start_s + (30 if span.phase is Phase.REGULAR else 0)
        for chunk in range(chunks):
            size = min(_EVENTS_A_CHUNK, events - chunk * _EVENTS_A_CHUNK)
            sorted_draws = np.sort(self._rng.random(size))
            when = start + (span.end_s - start) * _pace(span.phase, (chunk + sorted_draws) / chunks)
            halts = self._halt(float(when[0])) if span.phase is Phase.REGULAR else []
            yield merge([*halts, *self._play(when, codes)])
        if span.phase is Phase.CLOSING_AUCTION:
            yield merge(self._close(span.end_s))
            yield merge(self._repeat(span.end_s))

    def _begin(self, span: PhaseSpan) -> list[Part]:
        ground, state = self._ground, self._ground.state
        if span.phase is Phase.OPENING_AUCTION:
            state[:, kernel.S_MODE] = kernel.AUCTION
            self._fresh_books()
            return self._operation(span.start_s, mkop="110", expected="311")
        if span.phase is Phase.REGULAR:
            prints = self._print_auction(np.arange(len(ground.fixed)), span.start_s, _OPENING_SPREAD_S)
            state[:, kernel.S_MODE] = kernel.CONTINUOUS
            return [*prints, *self._operation(span.start_s, mkop="112", expected="112")]
        if span.phase is Phase.CLOSING_AUCTION:
            state[:, kernel.S_EXPECTED] = state[:, kernel.S_LAST]
            state[:, kernel.S_EXPECTED_SIZE] = state[:, kernel.S_AUCTION_END] = 0
            state[state[:, kernel.S_MODE] != kernel.HALTED, kernel.S_MODE] = kernel.AUCTION
            return self._operation(span.start_s, mkop="121", expected="121")
        state[:, kernel.S_MODE] = kernel.CONTINUOUS
        state[:, kernel.S_EXPECTED] = state[:, kernel.S_LAST]
        self._fresh_books()
        return []

    def _close(self, at_s: int) -> list[Part]:
        state = self._ground.state
        met = np.flatnonzero((state[:, kernel.S_MODE] == kernel.AUCTION) & (state[:, kernel.S_EXPECTED_SIZE] > 0))
        prints = self._print_auction(met, at_s, 0)
        state[:, kernel.S_MODE] = kernel.SILENT
        return [*prints, *self._operation(at_s, mkop="129", expected="129")]

    def _repeat(self, closed_s: int) -> list[Part]:
        if not self._config.repeats or self._closing is None:
            return []
        rows, who = self._closing
        at_s = np.sort(closed_s + 60 + self._rng.random(len(who)) * 480)
        return self._parts("trades", rows, self._codes(Phase.REGULAR), who, at_s, np.arange(len(who)))

    def _print_auction(self, who: Ints, at_s: int, spread_s: int) -> list[Part]:
        ground, codes = self._ground, self._codes(Phase.REGULAR)
        when = at_s + np.sort(self._rng.random(len(who)) * spread_s)
        who = np.ascontiguousarray(self._rng.permutation(who))
        rows = np.empty((kernel.TRADE_WIDTH, len(who)), np.int64)
        kernel.auction_prints(
            who, when.astype(np.int64), self._rng.random(len(who)), ground.fixed, ground.state, ground.book, codes,
            ground.ticks, rows,
        )  # fmt: skip
        self._closing = (rows, who)
        return self._parts("trades", rows, codes, who, when, np.arange(len(who)))

    def _events_in(self, phase: Phase) -> int:
        """How many events the phase has, so that the day's records are about as many as asked for."""
        rows = self._rows_an_event(phase)
        there = [each for each in _SHARES_OF_DAY if self._plan.span(each) is not None and self._rows_an_event(each)]
        if not rows:
            return 0
        share = _SHARES_OF_DAY[phase] / sum(_SHARES_OF_DAY[each] for each in there)
        return round(self._config.records * share / rows)

    def _rows_an_event(self, phase: Phase) -> float:
        feeds = self._config.feeds
        fills = float(np.dot(np.arange(1, self._config.fills + 1), _fill_odds(self._config.fills)))
        continuous = phase in {Phase.REGULAR, Phase.AFTER_MARKET}
        first = fills * ("trades" in feeds) if continuous else float("expected" in feeds)
        activity = _odds(len(self.instruments))
        copies = sum(activity[self._on_nxt].sum() if scope == "UN" else 1.0 for scope in self._config.scopes)
        return float((first + ("quotes" in feeds)) * copies)

    def _codes(self, phase: Phase) -> Ints:
        return codes_of(self.day, _CODES[phase], self._plan.open_s, self._plan.close_s)

    # --- what happens -------------------------------------------------------------------------------------------

    def _play(self, when: Floats, codes: Ints) -> list[Part]:
        ground, rng, n = self._ground, self._rng, len(when)
        who = np.searchsorted(np.cumsum(_odds(len(self.instruments)))[:-1], rng.random(n)).astype(np.int64)
        fills = (1 + np.searchsorted(np.cumsum(_fill_odds(self._config.fills))[:-1], rng.random(n))).astype(np.int64)
        most = int(fills.sum()) + n
        draws = rng.random((most, 2))
        trades = np.empty((kernel.TRADE_WIDTH, most), np.int64)
        books = np.empty((kernel.BOOK_WIDTH, n), np.int64)
        expected = np.empty((kernel.TRADE_WIDTH, n), np.int64)
        events = [np.empty(most, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)]
        happened = np.empty((n, 3), np.int64)
        n_trades, n_books, n_expected, n_happened = kernel.exchange_events(
            who, when.astype(np.int64), fills, draws, ground.fixed, ground.state, ground.book, codes, ground.ticks,
            trades, events[0], books, events[1], expected, events[2], happened,
        )  # fmt: skip
        parts = self._parts("trades", trades[:, :n_trades], codes, who, when, events[0][:n_trades])
        parts += self._parts("quotes", books[:, :n_books], codes, who, when, events[1][:n_books])
        parts += self._parts("expected", expected[:, :n_expected], codes, who, when, events[2][:n_expected])
        for event, symbol, change in happened[:n_happened].tolist():
            parts += self._operation(float(when[event]), who=[symbol], vi="Y" if change == kernel.VI_START else "N")
        return parts

    def _parts(  # noqa: PLR0917  rows, and what says whose they are and when
        self, feed: str, rows: Ints, codes: Ints, who: Ints, when: Floats, event: Ints
    ) -> list[Part]:
        """Rows as frames, in every scope. ``event`` numbers who and when; rows of one event share a frame."""
        if feed not in self._config.feeds or not len(event):
            return []
        parts = []
        for scope in self._config.scopes:
            layout = self._layouts[_TR_IDS[scope][feed]]
            if scope == "KRX":
                some, columns = event, columns_of(layout, rows, codes)
            else:
                chosen = np.flatnonzero(self._on_nxt[who[event]])
                some, columns = event[chosen], columns_of(layout, rows[:, chosen], codes)
            if len(some):
                first = np.flatnonzero(np.diff(some, prepend=-1))
                frames = encode(layout, columns, group=np.diff(first, append=len(some)))
                events = some[first]
                at_us = instant_us(self.day, 0) + (when[events] * 1e6).astype(np.int64)
                order = events * 2 + (feed == "quotes")
                parts.append(Part(layout, frames, at_us, order, self._numbers(layout, who[events]), columns))
        return parts

    def _operation(
        self, at_s: float, *, mkop: str = "", expected: str = "", who: list[int] | None = None, vi: str = "N",
        halted: bool = False,
    ) -> list[Part]:  # fmt: skip
        """Market operation messages for some symbols, or for all."""
        if "market_events" not in self._config.feeds:
            return []
        symbols = np.arange(len(self.instruments)) if who is None else np.array(who, np.int64)
        parts = []
        for scope in self._config.scopes:
            layout = self._layouts[_TR_IDS[scope]["market_events"]]
            some = symbols if scope == "KRX" else symbols[self._on_nxt[symbols]]
            if not len(some):
                continue
            texts = {name: pack(text) for name, text in _operation_texts(mkop, expected, vi, halted=halted).items()}
            columns = {name: np.full(len(some), value) for name, value in texts.items() if layout.has(name)}
            columns["MKSC_SHRN_ISCD"] = self._ground.fixed[some, kernel.F_SYMBOL]
            reason = "거래정지" if halted else "(null)"
            frames = encode(layout, columns, texts={"TR_SUSP_REAS_CNTT": [reason] * len(some)})
            at_us = np.full(len(some), instant_us(self.day, at_s), np.int64)
            parts.append(Part(layout, frames, at_us, np.arange(len(some)), self._numbers(layout, some), columns))
        return parts

    def _draw_halts(self) -> list[tuple[float, int, bool]]:
        """(second, symbol, halted): one symbol in fifty stops for ten minutes."""
        rng = np.random.default_rng([self.seed, 2])
        count = len(self.instruments) // 50
        symbols = rng.choice(len(self.instruments), count, replace=False)
        starts = rng.uniform(self._plan.open_s + 1800, self._plan.close_s - 3600, count)
        stops = [(float(start), int(symbol), True) for start, symbol in zip(starts, symbols, strict=True)]
        return sorted(stops + [(start + _HALT_S, symbol, False) for start, symbol, _ in stops])

    def _halt(self, now_s: float) -> list[Part]:
        parts: list[Part] = []
        while self._halts and self._halts[0][0] <= now_s:
            _, symbol, halted = self._halts.pop(0)
            self._ground.state[symbol, kernel.S_MODE] = kernel.HALTED if halted else kernel.CONTINUOUS
            self._ground.state[symbol, kernel.S_AUCTION_END] = 0
            parts += self._operation(now_s, who=[symbol], halted=halted)
        return parts

    # --- arrays -------------------------------------------------------------------------------------------------

    def _fresh_books(self) -> None:
        ground = self._ground
        kernel.lay_out_books(ground.fixed, ground.state, ground.book, ground.ticks, self._rng.random(len(ground.fixed)))

    def _tend_to_a_close(self) -> None:
        """Where each symbol's price is drawn to in the day: a few per cent from the previous close."""
        fixed = self._ground.fixed
        drift = fixed[:, kernel.F_PREVIOUS_CLOSE] * np.exp(self._rng.normal(0, 0.04, len(fixed)))
        fixed[:, kernel.F_DRIFT] = drift.astype(np.int64)

    def _number(self, tr_id: str, symbol: str) -> int:
        return self.keys.number(Registration(tr_id, symbol))

    def _numbers(self, layout: Layout, who: Ints) -> Ints:
        numbers = np.array([self._key_numbers[layout.tr_id, symbol] for symbol in self._config.symbols], np.int64)
        return numbers[who]


def _check(config: ExchangeConfig) -> None:
    if not config.symbols or len(set(config.symbols)) < len(config.symbols):
        raise InputError("symbols", "are none, or one of them comes twice", "name each symbol once")
    if not set(config.feeds) <= set(FEEDS) or not config.feeds:
        raise InputError(f"feeds {config.feeds}", "are not all known", f"choose from {', '.join(FEEDS)}")
    if not set(config.scopes) <= set(_TR_IDS) or not config.scopes:
        raise InputError(f"scopes {config.scopes}", "are not all synthetic", f"choose from {', '.join(_TR_IDS)}")
    if not 1 <= config.fills <= 19 or config.records < 1:
        raise InputError(
            f"fills {config.fills}, records {config.records}", "are out of range", "give 1-19 and 1 or more"
        )


def _layouts(config: ExchangeConfig) -> dict[str, Layout]:
    widths = config.layouts or config.day
    return {tr: layout_on(tr, widths) for scope in config.scopes for tr in _TR_IDS[scope].values()}


def _odds(symbols: int) -> Floats:
    """How likely each symbol is to be the next that trades: the first trades most (Zipf, exponent 0.8)."""
    return _normed(np.arange(1, symbols + 1, dtype=np.float64) ** -0.8)


def _fill_odds(most: int) -> Floats:
    """Odds of 1 to ``most`` records in a frame: most hold one, few hold many."""
    return _normed(0.45 ** np.arange(most, dtype=np.float64))


def _normed(odds: Floats) -> Floats:
    return np.asarray(odds / odds.sum(), np.float64)


def _pace(phase: Phase, part: Floats) -> Floats:
    """Where in a phase (0 to 1) the given part of its events has happened: busy at the open and at the close."""
    if phase is not Phase.REGULAR:
        return part
    return np.interp(part, (0.0, 0.2, 0.85, 1.0), (0.0, 0.1, 0.9, 1.0))


def _operation_texts(mkop: str, expected: str, vi: str, *, halted: bool) -> dict[str, str]:
    return {
        "TRHT_YN": "Y" if halted else "N",
        "MKOP_CLS_CODE": mkop,
        "ANTC_MKOP_CLS_CODE": expected,
        "ISCD_STAT_CLS_CODE": "58" if halted else "55",
        "VI_CLS_CODE": vi,
        "OVTM_VI_CLS_CODE": "N",
        "EXCH_CLS_CODE": "1",
    }
