"""Tables from files as people have them: CSV of any separator, NPZ, Parquet; every complaint names its row.

Rows are counted from 1, a header left out. Nothing is ever unpickled.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlplab.data import archives
from mlplab.data.columns import SEPARATORS, Column, Table
from mlplab.data.fast_csv import FROM_BYTES, Form, Reader, read_fast
from mlplab.errors import InputError
from mlplab.runs.files import expect_file
from mlplab.words import listed, plural

# Cells that stand for a value that is not there.
MISSING = ("", "?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null")
# Endings of files that are no text of rows.
OTHERS = (".npy", ".xlsx", ".xls", ".ods", ".json", ".pkl", ".mat", ".h5", ".feather", ".arff", ".zip", ".gz")
SAMPLE = 200  # rows from which separator, header and decimal mark are read
CHUNK = 4096  # rows turned to numbers at a time
_COMMA_NUMBER = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
_POINT_NUMBER = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


def read_table(
    path: str | Path,
    *,
    separator: str | None = None,
    header: bool | None = None,
    key: str = "data.path",
    fast_from_bytes: Mapping[Reader, int] = FROM_BYTES,
) -> Table:
    """Read a table.

    A text file (any ending but .npz and .parquet) has a row a line and cells parted by commas, semicolons, tabs or
    blanks. It is UTF-8, with or without a byte order mark; cells may be quoted; lines that begin with ``#`` are left
    out. The first row is a header if none of its cells is a number, or if a word stands above a column of numbers.
    Where the separator is no comma, a decimal comma is understood. Columns of a file without a header are called x1,
    x2, ...

    Args:
        path: the file; a ``~`` is the home folder.
        separator: ``comma``, ``semicolon``, ``tab`` or ``blanks``; None finds out.
        header: whether the first row holds names; None finds out.
        key: the option that names the file, for messages.
        fast_from_bytes: the fast readers of text files, each with the size from which it is tried; they change no bit.

    Returns:
        The table. A column is numbers if every cell is a number or missing (see `MISSING`), else words.

    Raises:
        InputError: in one line: the file cannot be read as such, a row has too few or too many cells, a name stands
            twice.
    """
    path = checked_path(path, key)
    if separator is not None and separator not in SEPARATORS:
        raise InputError(f"{_beside(key, 'separator')} must be one of {', '.join(SEPARATORS)}, got {separator!r}")
    try:
        if path.suffix.lower() in OTHERS:
            raise InputError(
                f"{key} must name a text file of rows (CSV), an NPZ archive or a Parquet file, got '{path}'"
            )
        if path.suffix.lower() in (".npz", ".parquet"):
            return archives.read_npz(path) if path.suffix.lower() == ".npz" else archives.read_parquet(path)
        return _read_text(path, separator, header, key, fast_from_bytes)
    except InputError as error:
        # A name or a value of the file may hold line breaks.
        raise InputError(" ".join(str(error).splitlines())) from None
    except OSError as error:
        raise InputError(f"{key} must name a readable file, got '{path}': {error.strerror or error}") from None


def checked_path(path: str | Path, key: str) -> Path:
    """Return the path of a file that exists.

    Raises:
        InputError: it is no path, or no file.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise InputError(f"{key} must name a file, got {path!r}")
    try:
        path = Path(path).expanduser()
        expect_file(path, key)
        if not path.is_file():
            raise InputError(f"{key} must name a file that exists, got '{path}'")
    except (RuntimeError, OSError, ValueError) as error:  # no home folder; a name too long or with a null
        if isinstance(error, InputError):
            raise
        raise InputError(f"{key} must name a file that exists, got '{path}': {error}") from None
    return path


def _beside(key: str, name: str) -> str:
    return f"{key.rpartition('.')[0]}.{name}"


class _Dialect(NamedTuple):
    """How a text file is written: separator by name, decimal mark, names (None without a header)."""

    separator: str
    decimal: str
    names: list[str] | None
    skipped: int  # rows of cells before the first row of data


def _read_text(
    path: Path, separator: str | None, header: bool | None, key: str, fast_from_bytes: Mapping[Reader, int]
) -> Table:
    dialect, sample = _sniff(path, separator, header, key)
    if not sample:
        raise InputError(f"'{path}' {'has a header and no rows' if dialect.names else 'is empty'}; it must have rows")
    names = dialect.names or [f"x{i + 1}" for i in range(len(sample[0]))]
    repeated = [name for name, times in Counter(names).items() if times > 1 and name]
    if repeated:
        raise InputError(f"'{path}', header: column '{repeated[0]}' stands there twice; names must differ")
    text = {
        j for j in range(len(names)) if any(len(row) > j and _number(row[j], dialect.decimal) is None for row in sample)
    }
    read = _read_fast(path, dialect, names, text, fast_from_bytes)
    columns, lines = read if read is not None else _read_carefully(path, dialect, names, text)
    # A separator at each line's end makes a column of nothing.
    columns = [column for column in columns if column.name or not column.missing.all()] or columns
    return Table(str(path), columns, lines, dialect.names is not None, dialect.separator)


def _rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are neither blank, but for separators, nor a comment: the line at which each ends, and its cells."""
    reader = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = _plain_lines(file) if separator == "blanks" else _commentless(file)
            reader = csv.reader(lines, delimiter=SEPARATORS[separator], strict=True, skipinitialspace=True)
            for cells in reader:
                if any(map(str.strip, cells)):
                    yield reader.line_num, cells
    except UnicodeDecodeError as error:
        raise InputError(
            f"'{path}' must be UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from None
    except csv.Error as error:
        raise InputError(f"'{path}', line {reader.line_num}: must be CSV: {error}") from None


def _commentless(file: Iterator[str]) -> Iterator[str]:
    return ("\n" if line.startswith("#") else line for line in file)


def _plain_lines(file: Iterator[str]) -> Iterator[str]:
    return ("" if line.startswith("#") else line.strip().replace("\t", " ") for line in file)


def _sniff(path: Path, separator: str | None, header: bool | None, key: str) -> tuple[_Dialect, list[list[str]]]:
    """Find out how a file is written from its first rows; also give those rows, a header left out."""
    candidates = [separator] if separator else list(SEPARATORS)
    best, chosen, rows = None, candidates[0], []
    for name in candidates:
        try:
            found = [cells for _, cells in islice(_rows(path, name), SAMPLE)]
        except InputError as error:
            if "must be CSV" not in str(error) or len(candidates) == 1:
                raise
            continue
        widths = Counter(map(len, found))
        width, times = widths.most_common(1)[0] if widths else (0, 0)
        cells = [cell for row in found for cell in row]
        numbers = sum(_number(cell, "," if name != "comma" else ".", True) is not None for cell in cells)
        # The file's own form is regular, and splits it into numbers where there are any.
        score = (width > 1) * times / max(len(found), 1), numbers / max(len(cells), 1), -candidates.index(name)
        if best is None or score > best:
            best, chosen, rows = score, name, found
    if best is None:
        list(_rows(path, "comma"))  # raises what is wrong
    rows = [[cell.strip() for cell in row] for row in rows]
    cells = [cell for row in rows for cell in row]
    decimal = "."
    if chosen != "comma" and any(map(_COMMA_NUMBER.fullmatch, cells)) and not any(map(_POINT_NUMBER.fullmatch, cells)):
        decimal = ","
    is_header = bool(rows) and (_is_header(path, rows, decimal, key) if header is None else header)
    names = [_unquoted(cell) for cell in rows[0]] if is_header else None
    return _Dialect(chosen, decimal, names, int(names is not None)), rows[1:] if names is not None else rows


def _is_header(path: Path, rows: list[list[str]], decimal: str, key: str) -> bool:
    def is_number(cell: str) -> bool:
        return cell not in MISSING and _number(cell, decimal) is not None

    first, rest = rows[0], rows[1:]
    if not any(map(is_number, first)):
        return True
    below = [[is_number(row[j]) for row in rest if len(row) > j and row[j] not in MISSING] for j in range(len(first))]
    numbers = [bool(column) and all(column) for column in below]
    words = [bool(column) and not any(column) for column in below]
    # A word above a column of numbers is a name, and so is a number above a column of words.
    if any(numbers[j] and cell not in MISSING and not is_number(cell) for j, cell in enumerate(first)):
        return True
    if any(words[j] and is_number(cell) for j, cell in enumerate(first)):
        return True
    if len(first) > 2 and first in ([str(j) for j in range(len(first))], ["", *map(str, range(len(first) - 1))]):
        raise InputError(
            f"{_beside(key, 'header')} must say whether the first row of '{path}', {listed(first)}, holds names (true) or "
            "numbers (false)"
        )
    return False


def _unquoted(cell: str) -> str:
    cell = cell.strip()
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == "'" else cell


def _number(cell: str, decimal: str, either: bool = False) -> float | None:
    """Read a cell as a number, NaN if it is missing; None if it is a word. ``either`` takes a decimal point as well."""
    cell = cell.strip()
    if cell in MISSING:
        return float("nan")
    if "_" in cell:  # float() also takes "1_000", which is as likely a typing error
        return None
    if decimal == ",":
        if "." in cell and not either:
            return None
        cell = cell.replace(",", ".")
    try:
        return float(cell)
    except ValueError:
        return None


def _read_fast(path: Path, dialect: _Dialect, names: list[str], text: set[int], from_bytes: Mapping[Reader, int]):
    """Read without a look at each row; None where the file needs one."""
    words = [j in text for j in range(len(names))]
    form = Form(SEPARATORS[dialect.separator], dialect.decimal, dialect.names is not None, MISSING, words)
    read = read_fast(path, form, from_bytes)
    if read is None:
        return None
    pairs = zip(names, read)
    return [
        _words(name, *values) if isinstance(values, tuple) else Column(name, values) for name, values in pairs
    ], None


def _read_carefully(path: Path, dialect: _Dialect, names: list[str], text: set[int]):
    """Read row by row, and name the row that is wrong."""
    while True:
        chunks: list[list[np.ndarray]] = [[] for _ in names]
        levels: list[dict[str, int]] = [{} for _ in names]
        ends, late = [], set()
        rows = islice(_rows(path, dialect.separator), dialect.skipped, None)
        count = 0
        while chunk := list(islice(rows, CHUNK)):
            for row, (line, cells) in enumerate(
                chunk if any(len(c) != len(names) for _, c in chunk) else (), count + 1
            ):
                if len(cells) != len(names):
                    expected = f"{plural(len(names), 'value')} as the {'header' if dialect.names else 'first row'} has"
                    raise InputError(f"'{path}', row {row} (line {line}): must have {expected}, got {len(cells)}")
            count += len(chunk)
            ends.append(np.array([line for line, _ in chunk]))
            for j, cells in enumerate(zip(*(cells for _, cells in chunk))):
                if j in late:
                    continue
                if j in text:
                    chunks[j].append(_codes(cells, levels[j]))
                    continue
                numbers = _numbers(cells, dialect.decimal)
                if numbers is None:
                    late.add(j)
                else:
                    chunks[j].append(numbers)
        if not late:
            break
        text = text | late  # a column that was numbers up to here: once more, as words
    columns = []
    for j, name in enumerate(names):
        values = np.concatenate(chunks[j])
        columns.append(_words(name, values, list(levels[j])) if j in text else Column(name, values))
    return columns, np.concatenate(ends)


def _numbers(cells: Sequence[str], decimal: str) -> np.ndarray | None:
    if decimal == ".":
        try:
            numbers = np.array(list(map(float, cells)))
        except ValueError:
            pass
        else:
            if not any("_" in cell for cell in cells):
                return numbers
    values = [_number(cell, decimal) for cell in cells]
    return None if any(value is None for value in values) else np.array(values)


def _codes(cells: Sequence[str], levels: dict[str, int]) -> np.ndarray:
    codes = np.empty(len(cells), np.int32)
    for i, cell in enumerate(cells):
        cell = cell.strip()
        codes[i] = -1 if cell in MISSING else levels.setdefault(cell, len(levels))
    return codes


def _words(name: str, codes: np.ndarray, levels: list[str]) -> Column:
    """Make a column of words, its levels sorted and without quotes."""
    # pyarrow leaves blanks round the words, and blanks alone stand for nothing.
    plain = [_unquoted(level) for level in levels]
    kept = sorted(set(plain) - set(MISSING))
    place = {level: code for code, level in enumerate(kept)}
    table = np.array([*(place.get(level, -1) for level in plain), -1], np.int32)
    return Column(name, table[codes], tuple(kept))


def matrix(table: Table) -> np.ndarray:
    """Join columns of numbers to an array (N, columns).

    Raises:
        InputError: a cell is a word, missing or not finite; the message names row and column.
    """
    for column in table.columns:
        refuse_words(table, column)
        bad = ~np.isfinite(column.values)
        if bad.any():
            row = int(bad.argmax())
            raise InputError(
                f"{table.where(row)}: column '{column.name}' must be a finite number, got {column.values[row]:g}"
            )
    return np.stack([column.values for column in table.columns], axis=1)


def refuse_words(table: Table, column: Column) -> None:
    """Refuse a column of words where numbers are wanted, by its first word."""
    if column.levels is None:
        return
    is_word = np.array([*(_number(level, ",", True) is None for level in column.levels), False])
    row = int(is_word[column.values].argmax())
    word = column.levels[column.values[row]]
    raise InputError(f"{table.where(row)}: column '{column.name}' must be a finite number, got '{word}'")


def share_of_numbers(column: Column) -> float:
    """Give the share of a column's cells, the missing ones left out, that are numbers."""
    if column.levels is None:
        return 1.0
    counts = np.bincount(column.values[column.values >= 0], minlength=len(column.levels))
    numeric = [_number(level, ",", True) is not None for level in column.levels]
    return float(counts[numeric].sum() / max(counts.sum(), 1))
