"""A backfill's manners towards a broker that refuses."""

import asyncio
from datetime import date
from pathlib import Path

import pytest

from hosu.clock import SimulatedClock
from hosu.collect.backfill import Backfill, BackfillReport
from hosu.collect.backfill_plan import Task
from hosu.collect.backfill_progress import Progress
from hosu.collect.wal import Log
from hosu.errors import BrokerReplyError, BrokerUnreachableError
from hosu.kis.replies import DailyBar, MinuteBar

DAYS = (date(2026, 9, 14), date(2026, 9, 15))


class Broker:
    """Answers by symbol: an error, or the days of which it has bars."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    async def daily_chart(self, symbol, start, end, scope="KRX", *, adjusted=False):
        self.asked.append(symbol)
        answer = self.answers[symbol]
        if isinstance(answer, Exception):
            raise answer
        return [DailyBar(f"{day:%Y%m%d}", 1.0, 1.0, 1.0, 1.0, 1, 1, None, None, None) for day in answer]


def run(tmp_path: Path, broker: Broker) -> tuple[BackfillReport, list[str]]:
    """The report, and the symbols noted as answered."""

    async def main():
        log = Log.open(tmp_path / "wal", SimulatedClock(0))
        try:
            with Progress(tmp_path / "done.jsonl") as progress:
                tasks = [Task(("daily", "KRX", symbol, False), DAYS, 1) for symbol in broker.answers]
                report = await Backfill(broker, log, progress, workers=1).run(tasks)
                noted = [s for s in broker.answers if progress.days("daily", "KRX", s, adjusted=False)]
                return report, noted
        finally:
            log.close()

    return asyncio.run(main())


def test_what_one_symbol_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    refused = BrokerReplyError("OPSQ2001", "no", call="chart")
    report, noted = run(tmp_path, Broker({"A": DAYS, "B": refused, "C": DAYS[:1], "D": ()}))
    assert noted == ["A", "C", "D"]
    assert (report.tasks, report.bars, report.stopped) == (4, 3, None)
    assert [(miss.symbol, miss.first, miss.days, miss.final) for miss in report.missing] == [
        ("B", DAYS[0], 2, True),
        ("C", DAYS[1], 1, True),
        ("D", DAYS[0], 2, True),
    ]


def test_a_broker_that_is_gone_is_not_asked_for_ever(tmp_path: Path) -> None:
    gone = BrokerUnreachableError("http://there", "refused")
    broker = Broker({"A": DAYS, **{f"B{n}": gone for n in range(9)}})
    report, noted = run(tmp_path, broker)
    assert noted == ["A"]
    assert len(broker.asked) == 6
    assert "http://there cannot be reached" in (report.stopped or "")
    assert not any(miss.final for miss in report.missing)


def test_refusals_of_different_kinds_are_not_one_trouble(tmp_path: Path) -> None:
    faults = [BrokerUnreachableError("x", "y"), BrokerReplyError("OPSQ2001", "no", call="chart")]
    broker = Broker({f"B{n}": faults[n % 2] for n in range(12)})
    report, _ = run(tmp_path, broker)
    assert (len(broker.asked), report.stopped) == (12, None)


class Minutes:
    """A broker's minutes of one day, 120 a page, oldest at nine; at ``spoiled`` it writes a time that is none."""

    def __init__(self, count: int, spoiled: tuple[str, ...]) -> None:
        self.times = [f"{9 + m // 60:02}{m % 60:02}00" for m in range(count)]
        self.spoiled = spoiled

    async def dated_minute_chart(self, symbol, day, until, scope="KRX"):
        upto = [each for each in self.times if each <= f"{until:%H%M%S}"][-120:][::-1]
        written = ["99:9" if each in self.spoiled else each for each in upto]
        return [MinuteBar(f"{day:%Y%m%d}", each, 1.0, 1.0, 1.0, 1.0, 1, 1) for each in written]


@pytest.mark.parametrize(("spoiled", "bars"), [((), 300), (("130000",), 299), (("130000", "120100"), 298)])
def test_a_minute_that_cannot_be_read_does_not_keep_the_earlier_ones_away(tmp_path: Path, spoiled, bars) -> None:
    async def main() -> BackfillReport:
        log = Log.open(tmp_path / "wal", SimulatedClock(0))
        try:
            with Progress(tmp_path / "done.jsonl") as progress:
                task = Task(("minutes", "KRX", "A", False), DAYS[:1], 4)
                return await Backfill(Minutes(300, spoiled), log, progress, workers=1).run([task])
        finally:
            log.close()

    report = asyncio.run(main())
    assert (report.bars, report.missing) == (bars, [])
