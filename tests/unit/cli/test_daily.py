"""Weeks of days under a clock that runs as fast as it is asked."""

import asyncio
import datetime as dt
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hosu.cli.attended import Attendant
from hosu.cli.daily import Days, leave_where_asked
from hosu.cli.notify import Notifier
from hosu.clock import SimulatedClock
from hosu.errors import BrokerUnreachableError, LogWriteError
from hosu.market.agenda import Turn
from hosu.market.calendar import KST
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from collections.abc import Callable


def at(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=KST).timestamp() * 1e6)


class Fast(SimulatedClock):
    """Sleeps at once; at ``until`` it sends this process the signal. ``jumps`` set it, in the middle of a sleep that
    reaches a time: (that time, to which)."""

    def __init__(self, start: str, until: str, jumps: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(at(start))
        self._until_us = at(until)
        self._jumps = [(at(when), at(to)) for when, to in jumps]
        self.longest_s = 0.0

    async def sleep(self, seconds: float) -> None:
        self.longest_s = max(self.longest_s, seconds)
        self.pass_to(self._now_us + round(seconds * 1e6))
        if self._now_us >= self._until_us:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(3_600)  # until the handler has run
        await asyncio.sleep(0)

    def pass_to(self, us: int) -> None:
        """Lets time pass; a jump that falls due on the way is made."""
        self._now_us = us
        if self._jumps and self._jumps[0][0] <= us:
            _, self._now_us = self._jumps.pop(0)

    def offset_us(self) -> int:
        return 0


class Diary:
    """What was done when, in Korea: ``work`` are the beginnings of collecting."""

    def __init__(self, clock: Fast) -> None:
        self._clock = clock
        self.work: list[str] = []
        self.all: list[str] = []
        self.faults: dict[str, Exception] = {}
        self.last: Callable[[Turn], dict[str, Any]] = self._whole_day

    def prepare(self, turn: Turn) -> None:
        self._note("prepare", turn)

    def ask(self, turn: Turn) -> None:
        if "ask" in self.faults:
            self._note("ask", turn)

    def collect(self, turn: Turn) -> dict[str, Any]:
        self.work.append(self._now())
        self._note("collect", turn)
        return self.last(turn)

    def finish(self, turn: Turn) -> None:
        self._note("finish", turn)

    def _whole_day(self, turn: Turn) -> dict[str, Any]:
        self._clock.pass_to(turn.end_us)
        return {"state": "stopped", "reason": "the market's day is over"}

    def _note(self, what: str, turn: Turn) -> None:
        self.all.append(f"{what} {turn.day}")
        if what in self.faults:
            raise self.faults[what]

    def _now(self) -> str:
        return dt.datetime.fromtimestamp(self._clock.now_us() / 1e6, KST).strftime("%Y-%m-%d %H:%M")


def days(clock: Fast, diary: Diary, scope: Scope = Scope.KRX, path: Path | None = None) -> Days:
    return Days(
        scope,
        clock,
        Attendant(path, Notifier(), clock),  # type: ignore[arg-type]
        lead_s=1_800,
        prepare=[("fetching the instruments", diary.prepare), ("asking", diary.ask)],
        collect=diary.collect,
        finish=diary.finish,
        run_loop=asyncio.run,
    )


@pytest.mark.slow
def test_three_weeks_with_a_week_of_holidays_and_no_day_twice(capsys: pytest.CaptureFixture[str]):
    clock = Fast("2025-09-29 03:00", "2025-10-18 03:00")
    diary = Diary(clock)
    last = days(clock, diary).run()
    assert diary.work == [
        *(f"2025-09-{day} 08:00" for day in (29, 30)),
        *(f"2025-10-{day} 08:00" for day in ("01", "02", "10", "13", "14", "15", "16", "17")),
    ]
    assert diary.all[:4] == ["prepare 2025-09-29", "collect 2025-09-29", "finish 2025-09-29", "prepare 2025-09-30"]
    assert last["reason"] == "the market's day is over"
    assert clock.longest_s <= 20
    said = capsys.readouterr().err
    assert "hosu: waiting for 2025-10-10, from 2025-10-10 08:00 in Korea" in said


def test_late_days_begin_late_and_say_why(capsys: pytest.CaptureFixture[str]):
    clock = Fast("2025-11-12 20:00", "2025-11-14 23:00")
    diary = Diary(clock)
    days(clock, diary).run()
    assert diary.work == ["2025-11-13 09:00", "2025-11-14 08:00"]
    assert "2025-11-13, from 2025-11-13 09:00 in Korea (college entrance exam (CSAT))" in capsys.readouterr().err


@pytest.mark.slow
def test_beyond_the_calendar_it_goes_on_by_assumption_and_says_so(capsys: pytest.CaptureFixture[str]):
    clock = Fast("2027-12-30 03:00", "2028-01-05 03:00")
    diary = Diary(clock)
    days(clock, diary).run()
    assert diary.work == ["2027-12-30 07:50", "2028-01-03 07:50", "2028-01-04 07:50"]
    assert "2028-01-03 lies beyond the known calendar (to 2027-12-31)" in capsys.readouterr().err


def test_started_in_the_middle_of_a_day_it_collects_what_is_left_of_it():
    clock = Fast("2025-03-12 11:17", "2025-03-13 03:00")
    diary = Diary(clock)
    days(clock, diary).run()
    assert diary.work == ["2025-03-12 11:17"]


def test_a_machine_that_slept_into_the_session_is_at_work_at_once():
    clock = Fast("2025-03-12 06:00", "2025-03-13 03:00", jumps=(("2025-03-12 07:00", "2025-03-12 10:30"),))
    diary = Diary(clock)
    days(clock, diary).run()
    assert diary.work == ["2025-03-12 10:30"]


def test_a_machine_that_slept_through_a_day_says_so_and_waits_for_the_next(capsys: pytest.CaptureFixture[str]):
    clock = Fast("2025-03-12 06:00", "2025-03-14 03:00", jumps=(("2025-03-12 07:00", "2025-03-12 22:00"),))
    diary = Diary(clock)
    days(clock, diary).run()
    assert diary.work == ["2025-03-13 08:00"]
    assert "hosu: 2025-03-12 is over and was not collected" in capsys.readouterr().err


def test_a_clock_that_is_not_set_at_first_is_believed_once_it_is():
    clock = Fast("1970-01-01 09:00", "2025-03-13 03:00", jumps=(("1970-01-01 09:05", "2025-03-12 07:30"),))
    diary = Diary(clock)
    days(clock, diary).run()
    assert diary.work == ["2025-03-12 08:00"]


def test_a_day_ended_by_a_clock_that_was_ahead_is_gone_on_with_and_one_ended_otherwise_is_not():
    clock = Fast("2025-03-12 17:30", "2025-03-13 03:00", jumps=(("2025-03-12 18:10", "2025-03-12 09:10"),))
    diary = Diary(clock)
    days(clock, diary).run()
    assert diary.work == ["2025-03-12 17:30", "2025-03-12 09:10"]
    clock = Fast("2025-03-12 09:00", "2025-03-13 03:00")
    diary = Diary(clock)
    diary.last = lambda _: {"state": "stopped", "reason": "every feed has ended"}
    days(clock, diary).run()
    assert diary.work == ["2025-03-12 09:00"]


def test_without_instruments_or_bars_it_goes_on_and_says_so(capsys: pytest.CaptureFixture[str]):
    clock = Fast("2025-03-12 06:00", "2025-03-14 03:00")
    diary = Diary(clock)
    diary.faults["prepare"] = BrokerUnreachableError("new.real.download.dws.co.kr", "no network")
    diary.faults["ask"] = diary.faults["prepare"]
    diary.faults["finish"] = OSError("no room")
    days(clock, diary).run()
    assert diary.work == ["2025-03-12 08:00", "2025-03-13 08:00"]
    assert diary.all[:3] == ["prepare 2025-03-12", "ask 2025-03-12", "collect 2025-03-12"]
    said = capsys.readouterr().err
    assert "fetching the instruments failed: new.real.download.dws.co.kr cannot be reached (no network)" in said
    assert "building bars failed: no room; going on without" in said


def test_what_ends_a_day_for_good_ends_the_process(tmp_path: Path):
    clock = Fast("2025-03-12 06:00", "2025-03-14 03:00")
    diary = Diary(clock)
    diary.faults["collect"] = LogWriteError(tmp_path, "no room", 7)
    with pytest.raises(LogWriteError):
        days(clock, diary).run()
    assert diary.work == ["2025-03-12 08:00"]


def test_a_day_stopped_by_a_signal_is_the_last_and_has_no_bars():
    clock = Fast("2025-03-12 06:00", "2025-03-14 03:00")
    diary = Diary(clock)
    diary.last = lambda _: {"state": "stopped", "reason": "SIGTERM"}
    assert days(clock, diary).run()["reason"] == "SIGTERM"
    assert diary.all == ["prepare 2025-03-12", "collect 2025-03-12"]


def test_a_signal_that_stopped_what_is_done_in_the_morning_ends_the_program():
    with pytest.raises(SystemExit):
        leave_where_asked("SIGTERM")
    with pytest.raises(KeyboardInterrupt):
        leave_where_asked("SIGINT")
    leave_where_asked("its time is over")
    leave_where_asked(None)


def test_what_may_pass_is_tried_again_ever_more_slowly_as_long_as_the_day_lasts(capsys: pytest.CaptureFixture[str]):
    clock = Fast("2025-03-12 17:50", "2025-03-13 03:00")
    diary = Diary(clock)
    diary.faults["collect"] = BrokerUnreachableError("s3://lake", "no network")
    assert days(clock, diary).run() == {}
    assert diary.work == [f"2025-03-12 {time}" for time in ("17:50", "17:50", "17:51", "17:53", "17:57", "18:05")]
    assert "s3://lake cannot be reached (no network); check the network and the address; trying again in 480 s" in (
        capsys.readouterr().err
    )
