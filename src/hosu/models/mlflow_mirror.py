"""The registry's mirror on an MLflow server: what is there follows from the registry in the lake, never the reverse.

Each model is an experiment and a registered model (``hosu-day-1``), each version a run with parameters, metrics, tags
and files, and a model version that points at them; the aliases ``champion`` and ``challenger`` stand where the history
says. What is missing is added and what is there is left alone, so that after a time in which the server was down the
same call catches up, and called twice it adds nothing. A run is finished last: one that was cut off is gone on with.

MLflow's own version numbers need not be ours: the tag ``hosu.version`` says which version something is.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import InputError, MirrorError, MirrorNamesError, ModelDamagedError
from hosu.models.extra import extra
from hosu.models.history import PRIOR, challenger_of, champion_of, revision_of, versions_in
from hosu.models.mlflow_server import InTime, environment, told_of
from hosu.models.registry import MODELS
from hosu.models.run_facts import run_of, story_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hosu.models.history import Event, Version
    from hosu.models.mlflow_server import Server
    from hosu.models.registry import Registry
    from hosu.models.run_facts import RunFacts

_LAKE: Final = "hosu.lake"
_VERSION: Final = "hosu.version"
_REVISION: Final = "hosu.revision"
_DONE: Final = "FINISHED"
_PAGE: Final = 200
_TOGETHER: Final = 500
"""Metrics in one request; the server takes up to 1,000."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What was done for one model.

    Attributes:
        model: as ``day-1``.
        versions: of it in the registry.
        added: runs and model versions that were not there.
        moved: aliases that were set or taken away.
        left_out: why a version is not there, by number: its files are damaged.
    """

    model: str
    versions: int
    added: int
    moved: int
    left_out: dict[int, str]


def mirror(
    registry: Registry, lake: str, server: Server, *, progress: Callable[[str], object] = lambda _: None
) -> list[Mirrored]:
    """Brings the server up to date with the registry; one entry for each model that has a version.

    A model whose names are not ours is left out, and told of when the others are done. Two at once would add a run
    twice: it is the caller's to let one in at a time.

    Args:
        registry: what is mirrored.
        lake: ``Lake.identity``; what another lake mirrors is not touched.
        server: where to.
        progress: told which version is sent.

    Raises:
        MirrorError: the server is down, refuses, or is no MLflow server. What was added stays.
        MirrorNamesError: names on the server belong to somebody else, or were deleted there.
        NotInstalledError: the extra ``mlflow`` is missing.
        LakeError: the registry cannot be read.
    """
    with environment(server):
        with extra("mlflow"):
            from mlflow import MlflowClient
        with told_of(server):
            client = InTime(MlflowClient(tracking_uri=server.address, registry_uri=server.address), server.address)
            told = {model: registry.history(model) for model in MODELS}
            sides = [_Side(client, server, registry, lake, model, told[model], progress) for model in MODELS]
            return _each([side for side in sides if versions_in(side.history)])


def _each(sides: Sequence[_Side]) -> list[Mirrored]:
    done: list[Mirrored] = []
    causes: dict[str, str] = {}
    for side in sides:
        try:
            done.append(side.bring_up_to_date())
        except InputError as error:
            causes[side.model] = str(error)
    if causes:
        raise MirrorNamesError(causes, done)
    return done


@dataclass(frozen=True, slots=True)
class _Side:
    """One model, as the registry has it and as the server has it."""

    client: Any
    server: Server
    registry: Registry
    lake: str
    model: str
    history: Sequence[Event]
    progress: Callable[[str], object]

    @property
    def name(self) -> str:
        return f"{self.server.prefix}-{self.model}"

    def bring_up_to_date(self) -> Mirrored:
        versions, left_out = versions_in(self.history), dict[int, str]()
        experiment = self._experiment()
        runs = _by_version(_pages(lambda token: self._runs(experiment, token)), lambda run: run.data.tags)
        aliases = self._registered()
        search = self.client.search_model_versions
        known = _by_version(
            _pages(lambda token: search(f"name='{self.name}'", max_results=_PAGE, page_token=token)),
            lambda each: each.tags,
        )
        added = 0
        for version in versions:
            number, run = version.version, runs.get(version.version)
            if run is None or run.info.status != _DONE:
                self.progress(f"{self.model} {number}")
                try:
                    facts = run_of(version, self.registry.load(self.model, number))
                except ModelDamagedError as error:
                    left_out[number] = str(error)
                    continue
                run, added = self._run(experiment, version, facts, run), added + 1
            if number not in known:
                known[number], added = self._model_version(version, run), added + 1
        moved = self._point(aliases, {number: str(each.version) for number, each in known.items()})
        return Mirrored(self.model, len(versions), added, moved, left_out)

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(self.name)
        if found is None:
            made = self.client.create_experiment(self.name, tags={_LAKE: self.lake})
            found = self.client.get_experiment(made)
        if found.name != self.name:
            raise MirrorError(self.server.address, "it answers, but not as an MLflow server does")
        if found.lifecycle_stage != "active":
            raise InputError(
                f"experiment {self.name}",
                "was deleted on the server",
                "restore it there, or set another HOSU_MLFLOW_NAME",
            )
        self._own("experiment", found.tags)
        return str(found.experiment_id)

    def _registered(self) -> dict[str, str]:
        """The aliases of the registered model, which is made if it is not there."""
        from mlflow.exceptions import MlflowException

        story, told = story_of(self.history), {_LAKE: self.lake, _REVISION: str(revision_of(self.history))}
        try:
            found = self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = self.client.create_registered_model(self.name, tags=told, description=story)
        self._own("registered model", found.tags)
        if found.description != story:
            self.client.update_registered_model(self.name, description=story)
        if found.tags.get(_REVISION) != told[_REVISION]:
            self.client.set_registered_model_tag(self.name, _REVISION, told[_REVISION])
        return dict(found.aliases)

    def _own(self, what: str, tags: dict[str, str]) -> None:
        if tags.get(_LAKE) != self.lake:
            fault = "is another lake's" if _LAKE in tags else "was not made by hosu"
            raise InputError(f"{what} {self.name} on {self.server.address}", fault, "set another HOSU_MLFLOW_NAME")

    def _runs(self, experiment: str, token: str | None) -> Any:
        return self.client.search_runs(
            [experiment], max_results=_PAGE, order_by=["attributes.start_time ASC"], page_token=token
        )

    def _run(self, experiment: str, version: Version, facts: RunFacts, begun: Any) -> Any:
        """Sends a run, or goes on with one that was begun and cut off."""
        from mlflow.entities import Metric, Param

        run = begun or self.client.create_run(
            experiment,
            start_time=facts.at_ms,
            tags={**facts.tags, _LAKE: self.lake},
            run_name=f"{self.model} {version.version}",
        )
        number = run.info.run_id
        metrics = [Metric(name, value, facts.at_ms, step) for name, value, step in facts.metrics]
        params = [Param(name, value) for name, value in facts.params.items()]
        self.client.log_batch(number, metrics[:_TOGETHER], params)
        for at in range(_TOGETHER, len(metrics), _TOGETHER):
            self.client.log_batch(number, metrics[at : at + _TOGETHER])
        self._send(number, facts)
        self.client.set_terminated(number, _DONE, end_time=facts.at_ms)
        return run

    def _send(self, run: str, facts: RunFacts) -> None:
        with tempfile.TemporaryDirectory(prefix="hosu-mlflow-") as folder:
            for name, data in facts.files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
                beside = str(Path(name).parent)
                self.client.log_artifact(run, str(path), None if beside == "." else beside)

    def _model_version(self, version: Version, run: Any) -> Any:
        return self.client.create_model_version(
            self.name,
            source=f"runs:/{run.info.run_id}/model",
            run_id=run.info.run_id,
            tags={_VERSION: str(version.version), "hosu.verdict": version.verdict},
            description=str(version.card.get("sentence", version.verdict)),
            await_creation_for=None,
        )

    def _point(self, now: dict[str, str], numbers: dict[int, str]) -> int:
        """Puts the aliases where the history has them; returns how many were somewhere else."""
        champion, challenger = champion_of(self.history), challenger_of(self.history)
        wanted = {
            "champion": None if champion == PRIOR else numbers.get(champion),
            "challenger": None if challenger is None else numbers.get(challenger),
        }
        moved = {alias: number for alias, number in wanted.items() if now.get(alias) != number}
        for alias, number in moved.items():
            if number is None:
                self.client.delete_registered_model_alias(self.name, alias)
            else:
                self.client.set_registered_model_alias(self.name, alias, number)
        return len(moved)


def _pages(page: Callable[[str | None], Any]) -> Iterator[Any]:
    found = page(None)
    yield from found
    while found.token:
        found = page(found.token)
        yield from found


def _by_version(found: Iterator[Any], tags: Callable[[Any], dict[str, str]]) -> dict[int, Any]:
    """By our version, the oldest of each; what has no such tag is somebody's own and is left alone."""
    kept: dict[int, Any] = {}
    for each in found:
        number = tags(each).get(_VERSION, "")
        if number.isdecimal():
            kept.setdefault(int(number), each)
    return kept
