"""``hosu ledger show`` and ``gaps`` of a scope: an empty answer says why it is empty."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hosu.cli.main import app
from hosu.collect.gaps import Gap
from hosu.collect.ledger_rows import Additions
from hosu.lake.lake import Lake
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.market.ledger import COVERAGE_DAYS

DAY = "2025-09-15"


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Its ledger knows one symbol of KRX and one of NXT, whole."""
    root = tmp_path / "lake"
    day = dict.fromkeys(COVERAGE_DAYS.names) | {
        "date": DAY,
        "symbol": "005930",
        "revision": 1,
        "state": "open",
        "assumptions": [],
        "reason": "5 shares are missing in 1 gap",
        "last_volume": 100,
        "shares": 95,
        "missing_shares": 5,
        "gaps": 1,
        "built_at": 1,
    }
    rows = [day | {"scope": "KRX"}, day | {"scope": "NXT", "state": "certified", "shares": 100, "missing_shares": 0}]
    gap = Gap(DAY, "KRX", "005930", 10, 15)
    LakeLedgerStore(Lake.open(str(root))).add(Additions(gaps=[gap], coverage=rows), None, None)
    return root


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "--scope", "UN"), f"{DAY}: the ledger knows nothing of UN, only of KRX and NXT"),
        (("gaps", "--scope", "UN"), f"{DAY}: the ledger knows nothing of UN, only of KRX and NXT"),
        (("gaps", "--scope", "NXT"), f"{DAY}: 0 gaps stand open, 0 shares"),
        (("gaps", "--scope", "KRX"), f"{DAY}: 1 gap stands open, 5 shares"),
        (("gaps",), f"{DAY}: 1 gap stands open, 5 shares"),
    ],
)
def test_what_is_not_known_is_not_called_whole(lake: Path, words: tuple[str, ...], says: str) -> None:
    ran = CliRunner().invoke(app, ["ledger", *words, "--lake", str(lake)])
    assert (ran.exit_code, ran.stderr.splitlines()) == (0, [says])


def test_the_turnover_of_a_scope_is_told_as_before(lake: Path) -> None:
    ran = CliRunner().invoke(app, ["ledger", "show", "--scope", "NXT", "--lake", str(lake)])
    assert ran.exit_code == 0
    assert ran.stderr.startswith(f"{DAY} NXT: 1 symbol (1 certified)")
