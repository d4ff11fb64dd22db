"""Who repairs what: the keys of one collection share it out, and nobody does so by hand beside them."""

from pathlib import Path

import pytest

from hosu.cli.collecting import Wish, planned
from hosu.cli.repair_station import is_in, refuse_beside_a_collector
from hosu.cli.station import host_of
from hosu.errors import LockedError
from hosu.kis.hosts import Credentials
from hosu.locks import FileLock
from hosu.settings import KisSettings

SYMBOLS = [f"{n * 10:06}" for n in range(1, 301)]


def test_each_symbol_is_repaired_by_one_key_whichever_streams_it(tmp_path: Path) -> None:
    keys = [Credentials(f"key-{n}", "secret", "P") for n in range(3)]
    host = host_of("simulator", "http://127.0.0.1:1", "ws://127.0.0.1:1")
    work = planned(Wish(host, keys, SYMBOLS, ["trades"], "KRX", 41), tmp_path, KisSettings())
    parts = [key.part for key in work.keys]
    owners = [[number for number, part in enumerate(parts) if is_in(symbol, part)] for symbol in SYMBOLS]
    assert {len(each) for each in owners} == {1}
    assert all(70 < sum(each == [number] for each in owners) < 130 for number in range(3))


@pytest.mark.parametrize("log", ["wal", "shards/0a1b/wal"], ids=["of one key", "of one of several keys"])
def test_nobody_repairs_by_hand_beside_a_collector(tmp_path: Path, log: str) -> None:
    refuse_beside_a_collector(tmp_path)
    with FileLock(tmp_path / log / "lock", "the log"), pytest.raises(LockedError, match="repairs by itself"):
        refuse_beside_a_collector(tmp_path)
    refuse_beside_a_collector(tmp_path)
