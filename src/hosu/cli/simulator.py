"""``hosu simulator``: a broker on this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hosu.cli.options import day_of
from hosu.cli.output import emit_json, note

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator

    from hosu.kis.simulator.app import Simulator, SimulatorConfig
    from hosu.kis.simulator.fault_spec import Clause
    from hosu.kis.simulator.tape import Tape

_SYNTHETIC_SYMBOLS = 20
_OPENING_S = 9 * 3600


@dataclass(frozen=True, slots=True)
class Source:
    """What the options say about where the market comes from."""

    bars: Path | None
    frames: Path | None
    day: dt.date | None
    symbols: str | None
    records: int
    books: bool
    layouts: dt.date | None
    fills: int
    seed: int
    feeds: str


def simulator(
    synthetic: Annotated[bool, typer.Option("--synthetic", help="A made-up market (the default).")] = False,
    bars: Annotated[
        Path | None,
        typer.Option("--bars", metavar="FILE", help="Minute bars in Parquet, turned into trades; needs --date."),
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option("--frames", metavar="DIR", help="Recorded frames: a log, an archive, or a file of lines."),
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The market's date; synthetic: the last session.")
    ] = None,
    symbols: Annotated[
        str | None,
        typer.Option("--symbols", metavar="A,B|N", help="These symbols, or so many of the synthetic market."),
    ] = None,
    slots: Annotated[int, typer.Option("--slots", min=1, help="Registrations a session may hold.")] = 41,
    speed: Annotated[str, typer.Option("--speed", metavar="X|max", help="Market seconds in a real one.")] = "1",
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Records a second, evenly, instead of --speed.")
    ] = None,
    records: Annotated[
        int, typer.Option("--records", min=1, help="About how many records a synthetic day has.")
    ] = 1_000_000,
    feeds: Annotated[
        str, typer.Option("--feeds", metavar="A,B", help="Synthetic: of trades, quotes, expected, market_events.")
    ] = "trades,quotes,expected,market_events",
    books: Annotated[bool, typer.Option("--books", help="With --bars: an order book around each trade.")] = False,
    layouts: Annotated[
        str | None, typer.Option("--layouts", metavar="YYYY-MM-DD", help="Send the field layouts of this date.")
    ] = None,
    fills: Annotated[int, typer.Option("--fills", min=1, max=19, help="Most records in one frame.")] = 19,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same market.")] = 1,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65534, help="REST; WebSocket is the next one. 0: free ones.")
    ] = 0,
    expect: Annotated[
        int, typer.Option("--expect", min=1, help="With --rate or max: begin once so many registrations are there.")
    ] = 1,
    away: Annotated[
        str, typer.Option("--away", metavar="run|hold", help="What the day does while nobody listens.")
    ] = "run",
    token_interval: Annotated[
        float, typer.Option("--token-interval", min=0, help="Seconds between two tokens of a key.")
    ] = 60.0,
    faults: Annotated[
        str | None,
        typer.Option("--faults", metavar="SPEC|@FILE", help="What goes wrong, as in 'drop=1/1000; close@10:30'."),
    ] = None,
    linger: Annotated[
        str, typer.Option("--linger", metavar="S|forever", help="How long REST is served after the day is over.")
    ] = "0",
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Where the report goes; default: stdout.")
    ] = None,
) -> None:
    """Serves the broker's protocol on 127.0.0.1: REST with OAuth and limits, WebSocket with registrations.

    Its first line on stdout is JSON with the addresses `rest` and `ws`; its last, the report, says exactly what it
    sent: records, shares and a checksum for each symbol, and what it withheld by the faults asked for.
    """
    import asyncio

    from hosu.errors import InputError

    if sum((synthetic, bars is not None, frames is not None)) > 1:
        raise typer.BadParameter("choose one of --synthetic, --bars and --frames")
    if away not in ("run", "hold"):
        raise typer.BadParameter("--away is run or hold")
    linger_s = _linger_s(linger)
    on, of = (None if text is None else day_of(text) for text in (day, layouts))
    source = Source(bars, frames, on, symbols, records, books, of, fills, seed, feeds)
    config = _config(slots, speed, rate, port, expect, away, token_interval)
    config = replace(config, faults=faults_of(faults), fault_seed=seed)
    if report is not None and not report.parent.is_dir():
        raise InputError(str(report), "its folder does not exist", "make the folder first")
    asyncio.run(_serve(config, tape_maker(source), report, linger_s))


def _linger_s(text: str) -> float | None:
    """Seconds; None is for ever."""
    try:
        seconds = None if text == "forever" else float(text)
    except ValueError:
        seconds = -1.0
    if seconds is not None and not 0 <= seconds < float("inf"):
        raise typer.BadParameter("--linger is a number of seconds, or forever")
    return seconds


def _config(
    slots: int, speed: str, rate: float | None, port: int, expect: int, away: str, token_interval_s: float
) -> SimulatorConfig:
    from hosu.kis.simulator.app import SimulatorConfig
    from hosu.kis.simulator.pacing import Pace, parse_speed
    from hosu.kis.simulator.player import PlayConfig
    from hosu.kis.simulator.rest import RestConfig
    from hosu.kis.simulator.sessions import SlotConfig
    from hosu.kis.simulator.ws import WsConfig

    pace = parse_speed(speed) if rate is None else Pace("rate", rate)
    return SimulatorConfig(
        play=PlayConfig(pace, expect=expect, away="hold" if away == "hold" else "run"),
        slots=SlotConfig(registrations=slots),
        rest=RestConfig(port=port),
        ws=WsConfig(port=port + 1 if port else 0),
        token_interval_s=token_interval_s,
    )


def faults_of(text: str | None) -> tuple[Clause, ...]:
    """The faults of a specification, or of the file named behind ``@``.

    Raises:
        InputError: a clause makes no sense, or the file cannot be read.
    """
    from hosu.errors import InputError
    from hosu.kis.simulator.fault_spec import parse_faults

    if text is None:
        return ()
    if not text.startswith("@"):
        return parse_faults(text)
    try:
        return parse_faults(Path(text[1:]).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(text[1:], f"cannot be read ({fault})", "name a text file of faults") from fault


def tape_maker(source: Source) -> Callable[[], Tape]:
    """What makes the tape of ``source``, once the simulator asks for it.

    Raises:
        InputError: an option that the source needs is missing, or a file is not there.
    """
    from hosu.errors import InputError

    for path in (source.bars, source.frames):
        if path is not None and not path.exists():
            raise InputError(str(path), "does not exist", "name an existing file or folder")
    if source.bars is not None:
        return _bars(source, source.bars)
    if source.frames is not None:
        return _frames(source.frames, source.day)
    return _synthetic(source)


def _synthetic(source: Source) -> Callable[[], Tape]:
    from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
    from hosu.kis.simulator.universe import default_symbols

    text = source.symbols or str(_SYNTHETIC_SYMBOLS)
    count = int(text) if text.isdecimal() and len(text) < 6 else None
    config = ExchangeConfig(
        day=source.day or _last_session(),
        seed=source.seed,
        symbols=default_symbols(count) if count is not None else _listed(text),
        records=source.records,
        feeds=tuple(source.feeds.split(",")),
        fills=source.fills,
        layouts=source.layouts,
    )
    return lambda: Exchange(config)


def _listed(symbols: str) -> tuple[str, ...]:
    """The symbols of a list with commas, each once.

    Raises:
        InputError: one is not spelled like a symbol.
    """
    from hosu.market.instruments import validate_symbol

    return tuple(dict.fromkeys(validate_symbol(symbol.strip()) for symbol in symbols.split(",")))


def _bars(source: Source, path: Path) -> Callable[[], Tape]:
    from hosu.kis.simulator.bars import Bars, BarsConfig

    if source.day is None:
        raise typer.BadParameter("--bars needs --date")
    config = BarsConfig(
        path,
        source.day,
        _listed(source.symbols) if source.symbols else None,
        fills=source.fills,
        books=source.books,
        layouts=source.layouts,
        seed=source.seed,
    )
    return lambda: Bars(config)


def _frames(path: Path, day: dt.date | None) -> Callable[[], Tape]:
    from hosu.kis.simulator.frames import FramesTape

    return lambda: FramesTape(_recorded(path, day))


def _recorded(path: Path, day: dt.date | None) -> Iterator[tuple[int, bytes]]:
    """Receive time and bytes of every frame of a log or an archive, or of a text file with one frame a line.

    A text file has no times: its frames come a millisecond apart from the opening of ``day``, or of the last session.
    """
    from hosu.cli.decode import frame_lines
    from hosu.collect.block import RecordKind
    from hosu.collect.replay import segments_in
    from hosu.collect.segment import read_segment
    from hosu.market.calendar import instant_us

    if path.is_file() and not path.name.endswith((".log", ".log.zst")):
        opening_us = instant_us(day or _last_session(), _OPENING_S)
        yield from ((opening_us + i * 1000, line) for i, line in enumerate(frame_lines(path)))
        return
    for segment in segments_in(path):
        for block in read_segment(segment):
            for i in range(len(block)):
                if block.kind[i] == RecordKind.FRAME:
                    yield int(block.ts_recv_us[i]), block.payload(i)


def _last_session() -> dt.date:
    from hosu.clock import SystemClock
    from hosu.market.calendar import business_day, is_session, previous_session

    today, _ = business_day(SystemClock().now_us())
    return today if is_session(today) else previous_session(today)


async def _serve(
    config: SimulatorConfig, make_tape: Callable[[], Tape], report: Path | None, linger_s: float | None
) -> None:
    """Serves until the day is over, and REST for a while after it, or until a signal comes.

    The report is written when the day is over, and once more in the end, for REST may have had faults since.
    """
    import asyncio
    import signal

    from hosu.clock import SystemClock
    from hosu.kis.simulator.app import Simulator

    server = Simulator(config, make_tape, SystemClock())
    await server.start()
    emit_json({"rest": server.rest_url, "ws": server.ws_url})
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    over = asyncio.create_task(server.wait(), name="simulator-over")
    ended = asyncio.create_task(stopped.wait(), name="simulator-stopped")
    try:
        await asyncio.wait({over, ended}, return_when=asyncio.FIRST_COMPLETED)
        if over.done():
            over.result()
            if linger_s != 0 and not ended.done():
                _write(server, report, "the day is over; REST is served on")
                await asyncio.wait({ended}, timeout=linger_s)
    finally:
        ended.cancel()
        over.cancel()
        await server.stop()
        if report is None:
            emit_json(server.report())
        else:
            _write(server, report, "the end")


def _write(server: Simulator, report: Path | None, when: str) -> None:
    """Writes the report to its file, if it has one: whole or not at all, for others may be waiting for it."""
    import json

    from hosu.replacing import replace_file

    if report is not None:
        text = json.dumps(server.report(), ensure_ascii=False, indent=1)
        if report.exists() and not report.is_file():  # a device or a pipe
            report.write_text(text)
        else:
            replace_file(report, text.encode())
        note(f"{when}: report written to {report}")
