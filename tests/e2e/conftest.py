"""A demo's lake that all tests of this folder may read, made once however many processes run them."""

import fcntl
import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from hosu.cli.main import run

sys.path.insert(0, str(Path(__file__).parent))

from program import VARIABLES, Finished, Here, hosu


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of a finished demo of three symbols: ``demo`` itself, ``stdout`` and ``stderr``. Not to be changed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "e2e-demo"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "stdout").exists():
            size = ("--minutes", "0.05", "--rate", "2000", "--symbols", "3")
            ran = hosu(folder, "demo", "--dir", "demo", *size, patience_s=300)  # a dozen programs, one behind another
            assert ran.code == 0, ran
            (folder / "stderr").write_text(ran.err)
            (folder / "stdout").write_text(ran.out)
    return folder


@pytest.fixture(scope="session")
def demo_lake(demo: Path) -> Path:
    """The lake that the demo left. Not to be changed."""
    return demo / "demo" / "lake"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Here]:
    """A hundred command lines as processes of their own would take minutes."""

    def hosu_here(home: Path, *words: object, stdin: bytes = b"", **variables: str) -> Finished:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(home)
        monkeypatch.setattr(sys, "argv", ["hosu", *map(str, words)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        with pytest.raises(SystemExit) as ended:
            run()
        said = capfdbinary.readouterr()
        return Finished(int(ended.value.code or 0), said.out.decode("utf-8", "replace"), said.err.decode())

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield hosu_here
    for handler in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        if handler not in root.handlers:
            root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()
