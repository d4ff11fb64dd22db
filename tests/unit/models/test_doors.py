"""Heavy libraries are loaded where they are used, and a missing one says how to get it."""

import subprocess
import sys

import numpy as np
import pytest

from hosu.errors import NotInstalledError
from hosu.models import bootstrap, onnx
from hosu.models.estimators import Configuration, Kind

ROOMS = (
    "drift history learned_from live_drift mlflow_mirror run_facts",
    "baselines bootstrap bundle checks estimators gate linear money nulls onnx",
    "predictor registry report splits training trees trials walk worlds",
)
HEAVY = "{'lightgbm', 'sklearn', 'arch', 'onnx', 'onnxruntime', 'river', 'mlflow'}"


def test_reading_the_modules_loads_no_heavy_library():
    rooms = ", ".join(f"hosu.models.{name}" for name in " ".join(ROOMS).split())
    code = f"import sys, {rooms}; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def fitted(kind):
    x = np.random.default_rng(0).normal(size=(100, 2))
    return Configuration(kind).direction().fit(x, np.sign(x[:, 0]).astype(np.int8), np.ones(100), 0)


@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("lightgbm", lambda: fitted(Kind.GBDT)),
        ("sklearn.ensemble", lambda: fitted(Kind.FOREST)),
        ("sklearn.linear_model", lambda: fitted(Kind.LINEAR)),
        ("arch.bootstrap", lambda: bootstrap.of_mean(np.arange(1_234.0), draws=3)),
        ("onnx", lambda: onnx.constant_graph(np.zeros(3), 2)),
    ],
)
def test_a_missing_library_says_how_to_get_it(monkeypatch, library, call):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(NotInstalledError, match=r"pip install 'hosu\[models\]'"):
        call()


def test_a_library_of_the_system_that_is_missing_is_told_too():
    from hosu.models.extra import extra

    with pytest.raises(NotInstalledError, match="libgomp"), extra():
        raise OSError("libgomp.so.1: cannot open shared object file")
