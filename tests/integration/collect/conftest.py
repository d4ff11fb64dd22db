"""Makes the folder's own parts importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def setting(tmp_path: Path):
    from collect_lives import Setting

    return Setting(tmp_path)
