"""``hosu backfill --file``: bars of a file, and a report of what was refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from hosu.cli.options import lake_root, open_lake, sql_config, state_folder
from hosu.cli.output import Format, emit_json, emit_rows, note
from hosu.cli.output import progress as progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from hosu.lake.bars_import import Imported
    from hosu.lake.import_file import Source

_COLUMNS_SHOWN: Final = ("reason", "rows", "first")


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the options say about a file."""

    mapping: str | None
    zone: str
    units: str | None
    name: str | None
    scope: str
    adjusted: bool
    any_code: bool
    report: Path | None


def import_file(
    kind: str,
    file: Path,
    options: ImportOptions,
    lake_name: str | None,
    state: Path | None,
    format_: Format,
    *,
    bars: bool,
) -> None:
    """Imports one file, tells what was refused, and exits 1 if any of it would be missed."""
    from hosu.clock import SystemClock
    from hosu.lake.bars_import import ImportConfig, import_bars
    from hosu.lake.import_file import parse_pairs, read_source
    from hosu.settings import CollectSettings, load

    source = read_source(file, kind, parse_pairs(options.mapping, "--map"))
    name = options.name or re.sub(r"[^0-9A-Za-z_.-]", "_", file.name.partition(".")[0])[:64] or "file"
    units = parse_pairs(options.units, "--units")
    config = ImportConfig(kind, name, options.scope, options.adjusted, options.zone, units, options.any_code)
    lake = open_lake(lake_name, create=True)
    with progress_bar() as shown:
        bar = shown.add_task("importing", total=None)
        done = import_bars(
            lake,
            source,
            config,
            SystemClock(),
            sql=sql_config(),
            progress=lambda dates, total: shown.update(bar, completed=dates, total=total),
        )
    folder = state_folder(lake_root(lake_name), load(CollectSettings, {"state": state})) / "backfill"
    listing = options.report or folder / f"refused-{name}.csv"
    _list(source, done, listing)
    if bars and done.accepted:
        from hosu.cli.backfill_ask import build_bars

        build_bars(lake)
    _tell(done, listing, format_)


def _tell(done: Imported, listing: Path, format_: Format) -> None:
    from hosu.lake.import_checks import HARMLESS

    refused = [
        {"reason": each.reason, "rows": each.rows, "first": ", ".join(map(str, each.first))} for each in done.refused
    ]
    count = sum(each.rows for each in done.refused)
    counts = {"rows": done.rows, "accepted": done.accepted, "refused": count, "written": done.written}
    if format_ is Format.json:
        emit_json({**counts, "dates": done.dates, "reasons": refused, "listing": str(listing) if count else None})
    else:
        emit_rows([{**counts, "dates": done.dates}], format_)
        if refused:
            emit_rows(refused, format_, columns=_COLUMNS_SHOWN)
    if count:
        note(f"the {count:,} rows refused are listed in {listing}")
    missed = sum(each.rows for each in done.refused if each.verdict not in HARMLESS)
    if missed:
        note(f"hosu: {missed:,} of {done.rows:,} rows were refused; mend the file or the options and run it again")
        raise typer.Exit(1)


def _list(source: Source, done: Imported, listing: Path) -> None:
    """Every refused row with its number and the reason, in the file's own columns, as CSV; none, no file."""
    import pyarrow as pa
    import pyarrow.csv as pc_csv

    from hosu.errors import InputError
    from hosu.lake.bars_import import row_numbers
    from hosu.lake.import_checks import REASONS, Verdict
    from hosu.replacing import replace_file

    places = done.verdicts.nonzero()[0]
    if not len(places) and not source.broken:
        if listing.exists():
            listing.unlink()
        return
    rows: Any = source.table.take(pa.array(places))
    reasons = [REASONS[Verdict(int(verdict))] for verdict in done.verdicts[places]]
    head = {"row": pa.array(row_numbers(source)[places]), "reason": pa.array(reasons, pa.string())}
    columns = {**head, **{name: rows.column(name).cast(pa.string()) for name in rows.column_names if name not in head}}
    sink = pa.BufferOutputStream()
    pc_csv.write_csv(pa.table(columns), sink)
    broken = [f'{number},"{REASONS[Verdict.FIELDS]}","{_quoted(text)}"\n' for number, text in source.broken]
    content = sink.getvalue().to_pybytes() + "".join(broken).encode()
    try:
        listing.parent.mkdir(parents=True, exist_ok=True)
        replace_file(listing, content)
    except OSError as error:
        raise InputError(str(listing), f"cannot be written ({error.strerror})", "choose another --report") from None


def _quoted(text: str) -> str:
    return text.replace('"', '""').strip()
