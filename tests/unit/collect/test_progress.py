"""What stands still, told from one status after another."""

from typing import Any

from hosu.collect.progress import Progress, ProgressConfig

CONFIG = ProgressConfig(stuck_s=60, sink_s=300, start_s=900)


def status(written: int = 0, queued: int = 0, beats: int = 0, state: str = "running", at: int = 0) -> dict[str, Any]:
    return {
        "state": state,
        "pid": 7,
        "updated_us": at,
        "bytes_written": written,
        "buffers": {"log_queue_bytes": queued},
        "beats": {"lake": beats},
    }


def shard(number: int, own: dict[str, Any], state: str = "running", pid: int = 7) -> dict[str, Any]:
    return {"number": number, "state": state, "pid": pid, "status": own}


def test_a_writer_that_has_work_and_writes_nothing_stands_still():
    progress = Progress(CONFIG)
    assert progress.standing(status(written=10, queued=5, beats=1), 0) == []
    assert progress.standing(status(written=10, queued=5, beats=2), 59.9) == []
    assert progress.standing(status(written=10, queued=9, beats=3), 60) == ["the log's writer stands still for 60 s"]
    assert progress.standing(status(written=11, queued=9, beats=4), 61) == []


def test_a_writer_without_work_may_rest():
    progress = Progress(CONFIG)
    for now_s in (0, 1_000, 2_000):
        assert progress.standing(status(written=10, queued=0, beats=now_s), now_s) == []
    assert progress.standing(status(written=10, queued=1, beats=1), 2_030) == []
    assert progress.standing(status(written=10, queued=1, beats=2), 2_080) == []


def test_a_sink_that_does_not_beat_stands_still_and_one_that_tries_again_does_not():
    progress = Progress(CONFIG)
    assert progress.standing(status(beats=5), 0) == []
    assert progress.standing(status(beats=5), 299) == []
    assert progress.standing(status(beats=5), 300) == ["the sink lake stands still for 300 s"]
    assert progress.standing(status(beats=6), 301) == []


def test_what_starts_or_drains_is_not_judged():
    progress = Progress(CONFIG)
    for state in ("starting", "draining", "stopped", "failed"):
        for now_s in (0, 10_000):
            assert progress.standing(status(queued=1, state=state), now_s) == []
    assert progress.standing({}, 0) == []


def test_each_shard_is_judged_and_named():
    progress = Progress(CONFIG)

    def all_(at: int, beats: int, second: str = "running") -> dict[str, Any]:
        moving = status(beats=at, at=at)
        return {"shards": [shard(1, moving), shard(2, status(beats=beats, at=1), second)]}

    assert progress.standing(all_(0, 0), 0) == []
    assert progress.standing(all_(60, 1), 60) == ["shard 2: its event loop stands still for 60 s"]
    assert progress.standing(all_(61, 1, "waiting"), 61) == []


def test_a_shard_that_recovers_its_log_has_longer():
    progress = Progress(CONFIG)
    told = {"shards": [shard(1, status(beats=9, at=9), pid=8)]}  # its file is still that of the life before
    assert progress.standing(told, 0) == []
    assert progress.standing(told, 899) == []
    assert progress.standing(told, 900) == ["shard 1: its event loop stands still for 900 s"]
