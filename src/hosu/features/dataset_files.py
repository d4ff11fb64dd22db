"""Datasets kept in the lake: one Parquet file in the rows' order, and beside it what it is, with its hash.

A dataset lies in ``ml/datasets/<id>/``. What a promoted model learned from is saved so, since retention and vacuum
remove old versions of tables. The description is written last: without it there is no dataset.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hosu.errors import DatasetCorruptError, InputError
from hosu.features.dataset import Dataset, build, dataset_id
from hosu.features.dataset_definition import Definition
from hosu.features.panel import LabelledRows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.features.dataset_definition import FeatureSource
    from hosu.lake.lake import Lake

FORMAT: Final = 1
"""Version of the layout; another one is refused."""

_FOLDER: Final = "ml/datasets"
_ROWS: Final = "rows.parquet"
_FACTS: Final = "dataset.json"
_IDENTITY: Final = ("tables", "events", "view", "definition")
_FEATURE: Final = "feature:"
_CODED: Final = {"symbol": "symbols", "session": "sessions", "t1_session": "sessions"}
_WHOLE: Final = ("symbols", "sessions", "names", "features")


def encode(dataset: Dataset) -> bytes:
    """The rows as Parquet: the same dataset gives the same bytes (by one version of pyarrow)."""
    rows = dataset.rows
    columns: dict[str, pa.Array] = {}
    for field in fields(LabelledRows):
        if field.name not in _WHOLE:
            columns[field.name] = pa.array(np.ascontiguousarray(getattr(rows, field.name)))
    columns |= {"origin": pa.array(dataset.origin), "state": pa.array(dataset.state)}
    for place, name in enumerate(rows.names):
        columns[f"{_FEATURE}{name}"] = pa.array(np.ascontiguousarray(rows.features[:, place]))
    for name, whole in _CODED.items():
        columns[name] = _texts(columns[name], getattr(rows, whole))
    sink = io.BytesIO()
    pq.write_table(
        pa.table(columns),
        sink,
        compression="zstd",
        use_dictionary=list(_CODED),
        row_group_size=262_144,
        store_schema=False,
        write_page_checksum=True,
    )
    return sink.getvalue()


def _texts(codes: pa.Array, texts: tuple[str, ...]) -> pa.Array:
    places = np.asarray(codes.to_numpy(), np.int32)
    indices = pa.array(places, mask=places < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(texts, pa.string())).dictionary_decode()


def save(lake: Lake, dataset: Dataset) -> str:
    """Keeps a dataset for good; returns the SHA-256 of its Parquet file. One that is kept already stays.

    Raises:
        DatasetCorruptError: other bytes are kept under this id.
        LakeReadOnlyError, LakeFullError, LakeUnreachableError, LakeRefusedError: it cannot be written.
    """
    data = encode(dataset)
    digest = hashlib.sha256(data).hexdigest()
    facts, rows = _path(dataset.id, _FACTS), _path(dataset.id, _ROWS)
    described = {
        "format": FORMAT,
        "id": dataset.id,
        "sha256": digest,
        "rows": len(dataset.rows),
        **dataset.facts,
        "left_out": dataset.left_out,
        "symbols": list(dataset.rows.symbols),
        "sessions": list(dataset.rows.sessions),
        "universe": dataset.universe.tolist(),
    }
    if lake.storage.head(facts) is not None:
        kept = _described(lake, dataset.id)["sha256"]
        if kept != digest:
            raise DatasetCorruptError(dataset.id, lake.storage.address(rows), f"holds {kept[:12]}, made {digest[:12]}")
        return digest
    lake.storage.put(rows, data)
    lake.storage.sync([rows])
    lake.storage.put(facts, json.dumps(described, sort_keys=True, ensure_ascii=False, indent=1).encode())
    lake.storage.sync([facts])
    return digest


def load(lake: Lake, dataset_id: str) -> Dataset:
    """A dataset that was saved.

    Raises:
        InputError: none is kept under this id.
        DatasetCorruptError: it is not what was saved.
    """
    described = _described(lake, dataset_id)
    path = _path(dataset_id, _ROWS)
    try:
        data = lake.storage.get(path)
    except FileNotFoundError:
        raise DatasetCorruptError(dataset_id, lake.storage.address(path), "is missing") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != described["sha256"]:
        fault = f"its SHA-256 is {digest[:12]}, not {described['sha256'][:12]}"
        raise DatasetCorruptError(dataset_id, lake.storage.address(path), fault)
    return _decoded(pq.read_table(pa.BufferReader(data)), described)


def is_kept(lake: Lake, dataset_id: str) -> bool:
    """Whether a dataset is kept under this id.

    Raises:
        InputError: that is no id, or another version of hosu kept it.
        DatasetCorruptError: what is kept is not what was saved.
    """
    if lake.storage.head(_path(dataset_id, _FACTS)) is None:
        return False
    load(lake, dataset_id)
    return True


def reproduce(lake: Lake, facts: Mapping[str, Any], source: FeatureSource) -> Dataset:
    """Makes a dataset again, from the versions of the tables it was made from.

    Of tables of events what they hold now is taken; where that is something else, it is another dataset.

    Args:
        lake: where it was made.
        facts: what its id is the hash of, as in ``Dataset.facts``.
        source: of its features.

    Raises:
        InputError: what comes out is another dataset: the events or the code of the features are others now.
        VersionGoneError: a version it was made from cannot be read any more; ``load`` still gives what was saved.
    """
    wanted = dataset_id(facts)
    made = build(lake, source, Definition.of(facts), versions=facts["tables"])
    if made.id != wanted:
        fault = "comes out as another one: polls, repairs or the features' code are others now"
        raise InputError(f"dataset {wanted[:12]}", fault, "load what was saved, or build a new one")
    return made


def _described(lake: Lake, wanted: str) -> dict[str, Any]:
    if re.fullmatch(r"[0-9a-f]{64}", wanted) is None:
        raise InputError(f"dataset {wanted!r}", "is no id (64 hexadecimal digits)", f"look into {_FOLDER} of the lake")
    path = _path(wanted, _FACTS)
    try:
        described: dict[str, Any] = json.loads(lake.storage.get(path))
        told = dataset_id({name: described[name] for name in _IDENTITY})
        version = described["format"]
    except FileNotFoundError:
        raise InputError(f"dataset {wanted}", "is not kept in this lake", "build and save it") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DatasetCorruptError(wanted, lake.storage.address(path), "cannot be read") from None
    if version != FORMAT:
        raise InputError(f"dataset {wanted}", f"has format {version}, this hosu reads {FORMAT}", "update hosu")
    if told != wanted:
        raise DatasetCorruptError(wanted, lake.storage.address(path), f"its facts are those of {told[:12]}")
    return described


def _decoded(table: pa.Table, described: dict[str, Any]) -> Dataset:
    symbols, sessions = tuple(described["symbols"]), tuple(described["sessions"])
    names = tuple(name.removeprefix(_FEATURE) for name in table.column_names if name.startswith(_FEATURE))
    kept: dict[str, Any] = {"symbols": symbols, "sessions": sessions, "names": names}
    features = np.empty((len(table), len(names)))
    for place, name in enumerate(names):
        features[:, place] = table.column(f"{_FEATURE}{name}").to_numpy()
    kept["features"] = features
    for field in fields(LabelledRows):
        if field.name in _CODED:
            kept[field.name] = _places(table.column(field.name), kept[_CODED[field.name]])
        elif field.name not in _WHOLE:
            kept[field.name] = np.array(table.column(field.name).to_numpy())
    facts = {name: described[name] for name in _IDENTITY}
    universe = np.array(described["universe"], np.uint8)
    origin, state = (np.array(table.column(name).to_numpy(), np.uint8) for name in ("origin", "state"))
    return Dataset(described["id"], facts, LabelledRows(**kept), origin, state, universe, dict(described["left_out"]))


def _places(column: pa.ChunkedArray, texts: tuple[str, ...]) -> Any:
    import pyarrow.compute as pc

    found = pc.index_in(column, value_set=pa.array(texts, pa.string())).fill_null(-1)
    return np.asarray(found.to_numpy(), np.int32)


def _path(dataset_id: str, name: str) -> str:
    return f"{_FOLDER}/{dataset_id}/{name}"
