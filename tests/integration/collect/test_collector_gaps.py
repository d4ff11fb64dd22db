"""A collector whose sink lacks records that the log no longer has: it stops, and says how to go on."""

from pathlib import Path

import pytest
from collect_lives import ScriptedFeed, Setting, volumes
from collect_parts import MemorySink

from hosu.collect.collector import CollectorConfig
from hosu.collect.replay import replay
from hosu.collect.wal import LogConfig
from hosu.errors import LogGapError


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def copies_of(setting: Setting) -> Path:
    folder = setting.folder / "copies"
    folder.mkdir(exist_ok=True)
    for name, (_, data) in setting.archive.copies.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_sink_that_lacks_what_has_left_the_log_is_filled_from_the_archive_first(setting: Setting):
    status, _, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 50))
    setting.stored = {"covered": {}, "batches": []}  # another lake
    with pytest.raises(LogGapError, match=r"hosu replay .* or begin a new log by moving .*/log away") as caught:
        setting.collect(lambda r: ScriptedFeed(r, 50, 10))
    assert (caught.value.first_missing, caught.value.last_missing) == (0, status["durable_lsn"])
    assert setting.stored == {"covered": {}, "batches": []}

    filled = MemorySink(setting.stored)
    replay([copies_of(setting), setting.folder / "log"], filled)
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 60, 10))
    found = volumes(sink)
    assert found == [*range(50), *found[50:-10], *range(60, 70)]
    assert set(found[50:-10]) <= set(range(50, 60))  # what was received before the collector had stopped


def test_a_segment_that_was_taken_out_of_the_log_stops_the_sink_before_it(setting: Setting):
    async def stop(collector, feed, sink):
        await feed.sent.wait()
        collector.stop()

    small = LogConfig(segment_bytes=20_000, commit_bytes=9_000)
    patient = CollectorConfig(archive_every_s=60)
    setting.collect(lambda r: ScriptedFeed(r, 0, 300), drive=stop, config=patient, log_config=small)
    segments = sorted((setting.folder / "log").glob("*.log"))
    assert len(segments) > 3
    missing = range(int(segments[1].stem), int(segments[2].stem))
    segments[1].rename(setting.folder / segments[1].name)

    setting.stored = {"covered": {}, "batches": []}
    with pytest.raises(LogGapError, match=f"records {missing[0]} to {missing[-1]} ") as caught:
        setting.collect(lambda r: ScriptedFeed(r, 300, 1), config=CollectorConfig())
    assert max(setting.stored["covered"].values()) == missing[0] - 1
    assert caught.value.wal_id in setting.stored["covered"]

    (setting.folder / segments[1].name).rename(segments[1])
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 301, 1))
    assert volumes(sink)[:300] == list(range(300))


def test_a_hole_that_the_log_tells_of_stops_neither_another_sink_nor_a_replay(setting: Setting):
    async def stop(collector, feed, sink):
        await feed.sent.wait()
        collector.stop()

    patient = CollectorConfig(archive_every_s=60)
    setting.collect(lambda r: ScriptedFeed(r, 0, 50), drive=stop, config=patient)
    wal_id, covered = next(iter(setting.stored["covered"].items()))
    (lost,) = (setting.folder / "log").glob("*.log")
    lost.unlink()
    (setting.folder / "log/log.json").write_text(f'{{"format":1,"wal_id":"{wal_id}","created_us":0,"next_lsn":0}}')

    status, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 50, 10))
    assert volumes(sink) == list(range(60))
    assert status["durable_lsn"] > covered + 10
    fresh = MemorySink()
    assert replay(copies_of(setting), fresh).records == 10
    assert volumes(fresh) == list(range(50, 60))
