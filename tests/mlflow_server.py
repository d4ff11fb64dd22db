"""A real MLflow server for tests: its own process and environment (`make mlflow`), sqlite, 127.0.0.1, a free port."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

PROGRAM = Path(__file__).parents[1] / ".venv-mlflow" / "bin" / "mlflow"
PATIENCE_S = 300
"""A first start makes the database's tables, which on a busy machine takes a minute; nothing measures speed."""


class MlflowServer:
    """Runs below ``folder``; what it has kept is there again after ``stop`` and ``start``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        place = ("--backend-store-uri", f"sqlite:///{self._folder}/mlflow.db", "--artifacts-destination", "files")
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "server", *place, "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"],
                cwd=self._folder,
                env={**os.environ, **quiet},
                stdout=log,
                stderr=log,
                start_new_session=True,  # it starts processes of its own; they end together
            )
        for _ in range(PATIENCE_S * 5):
            try:
                with urlopen(f"{self.uri}/health", timeout=5) as answer:
                    assert answer.read() == b"OK"
                    return
            except (URLError, OSError):
                self._dies_within(0.2)
        pytest.fail(f"no answer in {PATIENCE_S} s: {self.log()}")

    def _dies_within(self, seconds: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        pytest.fail(f"the server ended: {self.log()}")

    def stop(self) -> None:
        """As a machine that goes down: killed."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(PATIENCE_S)
            self._process = None

    def log(self) -> str:
        return (self._folder / "server.log").read_text()[-2_000:]

    # --- what it holds, by its own REST API ---------------------------------------------------------------------------

    def get(self, path: str, **asked: Any) -> dict[str, Any]:
        """The answer to ``GET /api/2.0/mlflow/<path>``."""
        with urlopen(f"{self.uri}/api/2.0/mlflow/{path}?{urlencode(asked)}", timeout=60) as answer:
            return dict(json.load(answer))

    def runs(self, experiment: str) -> list[dict[str, Any]]:
        """The runs of an experiment, the name of the experiment given, in the order of their own names."""
        found = self.get("experiments/get-by-name", experiment_name=experiment)["experiment"]["experiment_id"]
        body = json.dumps({"experiment_ids": [found], "order_by": ["attributes.run_name ASC"]}).encode()
        asked = Request(f"{self.uri}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"})
        with urlopen(asked, timeout=60) as answer:
            return list(json.load(answer).get("runs", []))

    def model(self, name: str) -> dict[str, Any]:
        """A registered model."""
        return dict(self.get("registered-models/get", name=name)["registered_model"])

    def aliases(self, name: str) -> dict[str, str]:
        return {each["alias"]: each["version"] for each in self.model(name).get("aliases", [])}

    def versions(self, name: str) -> list[dict[str, Any]]:
        found = self.get("model-versions/search", filter=f"name='{name}'").get("model_versions", [])
        return sorted(found, key=lambda each: int(each["version"]))

    def artifact(self, run: dict[str, Any], path: str) -> bytes:
        """A file of a run."""
        place = run["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
        with urlopen(f"{self.uri}/api/2.0/mlflow-artifacts/artifacts/{place}/{path}", timeout=60) as answer:
            return bytes(answer.read())


def installed() -> None:
    """Skips where `make mlflow` was not run; fails where CI is set."""
    if PROGRAM.exists():
        return
    reason = "no MLflow server in .venv-mlflow; `make mlflow` installs one"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
