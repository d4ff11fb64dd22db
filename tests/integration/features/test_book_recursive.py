"""`hosu check recursive --interval second` measures what a lake's order books need."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "features"))

from lake_parts import DAYS, books, trades

from hosu.cli import check
from hosu.cli.output import Format
from hosu.errors import InputError
from hosu.features import definitions
from hosu.features.definitions import BOOK_V1
from hosu.lake.lake import Lake

Output = pytest.CaptureFixture[str]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Ten minutes of two symbols on two days."""
    made = Lake.open(str(tmp_path / "lake"))
    chance = np.random.default_rng(1)
    for day in DAYS[:2]:
        quoted, traded = [], []
        for second in range(600):
            at = f"09:{second // 60:02d}:{second % 60:02d}"
            for symbol in ("A", "B"):
                bid, sizes = 10_000.0 + 10 * int(chance.integers(0, 3)), chance.integers(1, 50, 2).tolist()
                depth = {"bid_sizes": [sizes[0]] + [0] * 9, "ask_sizes": [sizes[1]] + [0] * 9, "symbol": symbol}
                quoted.append((at, bid + 10, bid, depth))
                side = str(chance.choice(["buy", "sell"]))
                traded.append((at, bid, second + 1, {"side": side, "symbol": symbol}))
        books(made, day, *quoted)
        trades(made, day, *traded)
    return made


def recursive(lake: Lake, capsys: Output) -> tuple[int, dict[str, tuple[int, bool]], str]:
    code = 0
    try:
        check.recursive(interval="second", lake=lake.root, format_=Format.json)
    except typer.Exit as left:
        code = left.exit_code
    told = capsys.readouterr()
    return code, {row["feature"]: (row["needed"], row["passes"]) for row in json.loads(told.out)}, told.err


def test_the_declared_window_covers_what_every_feature_needs(lake: Lake, capsys: Output) -> None:
    code, rows, told = recursive(lake, capsys)
    assert code == 0
    assert [needed for needed, _ in rows.values()] == [1, 1, 1, 1, 11, 61, 11, 61]
    assert all(passes for _, passes in rows.values())
    assert "16 starts in 4 series" in told


def test_one_that_does_not_ends_with_a_failure(lake: Lake, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(definitions.FEATURE_SETS, "book_v1", replace(BOOK_V1, window=60))
    code, rows, _ = recursive(lake, capsys)
    assert code == 1
    assert [name for name, (_, passes) in rows.items() if not passes] == ["book_v1.flow_60", "book_v1.ofi_60"]


def test_a_lake_without_books_says_so(tmp_path: Path) -> None:
    empty = Lake.open(str(tmp_path / "lake"))
    with pytest.raises(InputError, match="order books: are not in this lake; collect a day"):
        check.recursive(interval="second", lake=empty.root)
