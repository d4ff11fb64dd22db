"""The registry's mirror on an MLflow server, where HOSU_MLFLOW_URI names one."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING

from hosu.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.lake.lake import Lake
    from hosu.models.mlflow_mirror import Mirrored
    from hosu.models.registry import Registry


def mirror_if_set(lake: Lake, registry: Registry) -> None:
    """Mirrors after something has happened to a model; nothing where no server is named, or HOSU_MIRROR is 0.

    What has happened stands in the lake: a mirror that fails is a warning, and the next one catches up.
    """
    from hosu.errors import HosuError, MirrorNamesError
    from hosu.settings import MlflowSettings, load

    try:
        settings = load(MlflowSettings)
        if settings.uri is not None and settings.by_itself:
            say(mirrored(lake, registry))
    except MirrorNamesError as error:
        say(error.done)
        note(f"warning: {error}")
    except HosuError as error:
        note(f"warning: not mirrored: {error}")


def mirrored(lake: Lake, registry: Registry) -> list[Mirrored]:
    """Brings the server of HOSU_MLFLOW_URI up to date.

    Raises:
        SettingsError: it is not set.
        LockedError: another process on this machine mirrors the same lake now.
        InputError: HOSU_CACHE cannot be written.
        MirrorError, MirrorNamesError, NotInstalledError, LakeError: as ``mlflow_mirror.mirror``.
    """
    from hosu.models.mlflow_mirror import mirror
    from hosu.models.mlflow_server import Server
    from hosu.settings import MlflowSettings, load, require

    settings = load(MlflowSettings)
    server = Server.of(require(settings.uri, "HOSU_MLFLOW_URI"), settings.name)
    with _alone(lake):
        return mirror(registry, lake.identity, server, progress=lambda each: note(f"mirroring {each}"))


@contextmanager
def _alone(lake: Lake) -> Iterator[None]:
    from hosu.errors import InputError, LockedError
    from hosu.locks import FileLock
    from hosu.settings import CollectSettings, load

    cache = load(CollectSettings).cache
    lock = FileLock(cache / f"mlflow-{sha256(lake.identity.encode()).hexdigest()[:12]}.lock", "the mirror of this lake")
    try:
        lock.acquire()
    except LockedError as error:
        raise LockedError(error.what, error.holder, "run `hosu models mirror` when that has ended") from None
    except OSError as error:
        raise InputError(
            f"HOSU_CACHE {cache}", f"takes no lock ({error})", "name a folder that can be written"
        ) from None
    try:
        yield
    finally:
        lock.release()


def say(done: list[Mirrored]) -> None:
    """What was done, in a line a model with news."""
    for each in done:
        if each.added or each.moved:
            note(f"{each.model}: mirrored, {each.added} added, {each.moved} aliases moved")
        for version, why in each.left_out.items():
            note(f"warning: {each.model} {version} is not mirrored: {why}")
