"""Reads a file of bars, Parquet or CSV, and says which of its columns are which; nothing is judged here.

The file is read into memory as a whole. Of CSV every field is text until it is parsed here, so that codes keep their
zeros and numbers may have commas between thousands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from hosu.errors import InputError, plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SAMPLE: Final = 1 << 20
_NULLS: Final = ["", "NaN", "nan", "NULL", "null", "None", "N/A", "-"]
_DELIMITERS: Final = ",;\t|"

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "symbol": ("symbol", "code", "ticker", "종목코드", "단축코드", "종목", "isusrtcd", "stckshrniscd", "mkscshrniscd"),
    "ts": ("ts", "timestamp", "datetime", "일시", "체결일시"),
    "date": ("date", "날짜", "일자", "거래일", "거래일자", "영업일자", "basdd", "trddd", "stckbsopdate", "bsopdate"),
    "time": ("time", "시간", "시각", "체결시간", "stckcntghour"),
    "open": ("open", "시가", "stckoprc", "tddopnprc"),
    "high": ("high", "고가", "stckhgpr", "tddhgprc"),
    "low": ("low", "저가", "stcklwpr", "tddlwprc"),
    "close": ("close", "종가", "현재가", "stckclpr", "stckprpr", "tddclsprc"),
    "volume": ("volume", "vol", "거래량", "cntgvol", "acctrdvol"),
    "value": ("value", "amount", "turnover", "거래대금", "acctrdval"),
}
"""Our columns, and the names by which they are recognized: small letters, without blanks, ``_``, ``-`` and brackets."""
_NEEDED: Final = ("symbol", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Source:
    """A file's rows as they are. ``columns`` maps our names to its; ``broken`` are lines of CSV with too many or too
    few fields, by their number among the rows, from 1; the other rows keep their order."""

    path: Path
    table: pa.Table
    columns: dict[str, str]
    broken: list[tuple[int, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All rows, the broken ones included."""
        return int(self.table.num_rows) + len(self.broken)

    def column(self, name: str) -> pa.Array | None:
        """One of our columns as the file has it; None where it has none."""
        if name not in self.columns:
            return None
        column = self.table.column(self.columns[name]).combine_chunks()
        decoded = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        return decoded.chunk(0) if isinstance(decoded, pa.ChunkedArray) else decoded


def read_source(path: Path, kind: str, mapping: Mapping[str, str] | None = None) -> Source:
    """The file's rows, with its columns told apart.

    Args:
        path: a Parquet file, or text with a header (UTF-8 or CP949; commas, semicolons, tabs or bars between fields).
        kind: ``daily`` or ``minutes``.
        mapping: our name to the file's, for columns that are not recognized.

    Raises:
        InputError: there is no such file, it is neither, it has no rows, or a column is missing or not clear.
    """
    table, broken = _read(path)
    if not table.num_rows and not broken:
        raise InputError(str(path), "has no rows", "give a file of bars")
    return Source(path, table, _columns(path, table, kind, mapping or {}), broken)


def parse_pairs(text: str | None, option: str) -> dict[str, str]:
    """``a=b,c=d`` as a dictionary.

    Raises:
        InputError: a part is not written so, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and name and value) or name in pairs:
            raise InputError(
                f"{option} {plain(text or '')}",
                f"{plain(part)!r} is not NAME=VALUE, or comes twice",
                "write it as a=b,c=d",
            )
        pairs[name] = value
    return pairs


def _read(path: Path) -> tuple[pa.Table, list[tuple[int, str]]]:
    if path.is_dir():
        raise InputError(str(path), "is a folder", "name one file, Parquet or CSV")
    try:
        with path.open("rb") as file:
            head = file.read(_SAMPLE)
    except FileNotFoundError:
        raise InputError(str(path), "there is no such file", "name a file of bars, Parquet or CSV") from None
    if not head:
        raise InputError(str(path), "is empty", "give a file of bars")
    if head[:4] == b"PAR1" or path.suffix == ".parquet":
        return _parquet(path), []
    return _csv(path, head)


def _parquet(path: Path) -> pa.Table:
    try:
        # Without the partitioning that the name of its folder might suggest.
        return pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        cause = plain(str(error).splitlines()[0])
        raise InputError(str(path), f"cannot be read as Parquet ({cause})", "give a whole Parquet file") from None


def _csv(path: Path, head: bytes) -> tuple[pa.Table, list[tuple[int, str]]]:
    if b"\0" in head:
        raise InputError(str(path), "is neither Parquet nor text", "give Parquet or CSV")
    for encoding in ("utf-8", "cp949"):
        try:
            return _csv_as(path, head, encoding)
        except UnicodeDecodeError:
            continue
        except pa.ArrowInvalid as error:
            if "invalid UTF8" not in str(error):
                cause = plain(str(error).splitlines()[0])
                raise InputError(
                    str(path), f"cannot be read as CSV ({cause})", "give Parquet or CSV with a header"
                ) from None
    raise InputError(str(path), "is text of neither UTF-8 nor CP949", "convert it to UTF-8")


def _csv_as(path: Path, head: bytes, encoding: str) -> tuple[pa.Table, list[tuple[int, str]]]:
    first = head.partition(b"\n")[0].decode(encoding).lstrip("\ufeff").strip()
    delimiter = max(_DELIMITERS, key=first.count)
    names = [name.strip().strip('"') for name in first.split(delimiter)]
    _require_distinct(path, names)
    broken: list[tuple[int, str]] = []

    def pass_over(row: Any) -> str:
        # Numbered from 1 with the header as the first, where reading is in one thread.
        broken.append((int(row.number) - 1, str(row.text)))
        return "skip"

    table = pc_csv.read_csv(
        path,
        read_options=pc_csv.ReadOptions(use_threads=False, encoding=encoding, column_names=names, skip_rows=1),
        parse_options=pc_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=pass_over, ignore_empty_lines=True),
        convert_options=pc_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            null_values=_NULLS,
        ),
    )
    return table, broken


def _require_distinct(path: Path, names: list[str]) -> None:
    twice = sorted({plain(name) for name in names if names.count(name) > 1})
    if twice:
        raise InputError(str(path), f"names the column {', '.join(twice)} twice", "rename one of them")


def _columns(path: Path, table: pa.Table, kind: str, mapping: Mapping[str, str]) -> dict[str, str]:
    there = table.column_names
    _require_distinct(path, there)
    unknown = sorted(set(mapping) - set(NAMES))
    if unknown:
        raise InputError(
            f"--map {', '.join(map(plain, unknown))}", "is no column of ours", f"choose from {', '.join(NAMES)}"
        )
    absent = sorted(set(mapping.values()) - set(there))
    if absent:
        raise InputError(str(path), f"has no column {', '.join(map(plain, absent))}", f"it has {_listed(there)}")
    found = dict(mapping)
    for ours in NAMES:
        if ours not in found:
            candidates = [name for name in there if _bare(name) in NAMES[ours] and name not in found.values()]
            if len(candidates) > 1:
                fault = f"{_listed(candidates)} may each be {ours}"
                raise InputError(str(path), fault, f"say which: --map {ours}=...")
            if candidates:
                found[ours] = candidates[0]
    _require_needed(path, there, found, kind)
    return found


def _require_needed(path: Path, there: list[str], found: Mapping[str, str], kind: str) -> None:
    missing = [name for name in _NEEDED if name not in found]
    if "ts" not in found and "date" not in found:
        missing.append("date" if kind == "daily" else "ts, or date and time")
    elif kind == "minutes" and "ts" not in found and "time" not in found:
        missing.append("time")
    if missing:
        fault = f"has no column for {', '.join(missing)} among {_listed(there)}"
        raise InputError(str(path), fault, "name them: --map open=시가,close=종가")


def _listed(names: list[str]) -> str:
    shown = [plain(name)[:40] for name in names[:20]]
    return ", ".join(shown) + (" and more" if len(names) > len(shown) else "")


def _bare(name: str) -> str:
    return re.sub(r"[\s_\-()\[\]]", "", name).casefold()
