"""Large CSV files read fast, by pyarrow or pandas where installed, else by numpy; what is odd is left to the careful reader.

Each reader gives, a column, numbers (N,) float64 with NaN where missing, or codes (N,) int32, -1 where missing, and the
words they stand for; or None where the file needs a closer look.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

Values = np.ndarray | tuple[np.ndarray, list[str]]
ROWS = 65_536  # read by numpy at a time
# At which numpy would part words too.
OTHER_BLANKS = re.compile(r"[^\S \t\r\n]")


class Form(NamedTuple):
    """How a file is written: its separator (one letter, a blank for any number of blanks and tabs), decimal mark, whether
    it has a header, the cells that stand for nothing, and for each column whether it holds words."""

    separator: str
    decimal: str
    header: bool
    missing: tuple[str, ...]
    words: Sequence[bool]


Reader = Callable[[Path, Form], list[Values] | None]


def read_fast(path: Path, form: Form, from_bytes: Mapping[Reader, int]) -> list[Values] | None:
    """Read a file by the first reader that is installed and meant for files of its size; None where none can."""
    size = path.stat().st_size
    readers = [reader for reader, least in from_bytes.items() if size >= least]
    if form.separator == " ":  # of pandas, one blank alone is as fast
        readers = [reader for reader in readers if reader is not by_pandas]
    with path.open("rb") as file:
        if form.separator != " " and file.read(4).lstrip(b"\xef\xbb\xbf").startswith(b"#"):
            return None
    for reader in readers:
        try:
            return reader(path, form)
        except ImportError:
            continue
    return None


def by_pyarrow(path: Path, form: Form) -> list[Values] | None:
    """Read by pyarrow."""
    import pyarrow
    import pyarrow.csv

    # Positions for names: those of the file may be empty.
    places = [str(j) for j in range(len(form.words))]
    words = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    source = path if form.separator != " " else _with_single_blanks(path)
    if source is None:
        return None
    try:
        read = pyarrow.csv.read_csv(
            source,
            read_options=pyarrow.csv.ReadOptions(column_names=places, skip_rows_after_names=int(form.header)),
            parse_options=pyarrow.csv.ParseOptions(delimiter=form.separator),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: words if form.words[j] else pyarrow.float64() for j, name in enumerate(places)},
                null_values=list(form.missing),
                strings_can_be_null=True,
                decimal_point=form.decimal,
            ),
        )
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError, UnicodeDecodeError):
        return None
    found: list[Values] = []
    if all(column.null_count for column in read.columns):
        return None  # a row may be of separators alone
    for column, is_words in zip(read.columns, form.words):
        if is_words:
            whole = column.unify_dictionaries().combine_chunks()
            whole = whole.chunk(0) if isinstance(whole, pyarrow.ChunkedArray) else whole
            codes = whole.indices.fill_null(-1).to_numpy().astype(np.int32)
            found.append((codes, whole.dictionary.to_pylist()))
        else:
            found.append(column.to_numpy())
    return found


def _with_single_blanks(path: Path) -> io.BytesIO | None:
    """Read a file whose cells stand between any blanks and tabs, with one blank between two; None where cells are quoted."""
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if b'"' in data or b"\r" in data:
        return None
    if data.startswith(b"#") or b"\n#" in data:
        data = b"\n".join(line for line in data.split(b"\n") if not line.startswith(b"#"))
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return io.BytesIO(data.replace(b"\n ", b"\n").replace(b" \n", b"\n").strip())


def by_pandas(path: Path, form: Form) -> list[Values] | None:
    """Read by pandas."""
    import pandas

    places = [str(j) for j in range(len(form.words))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # float_precision is the default from 3 on
        warnings.simplefilter("error", pandas.errors.ParserWarning)  # of a row that is too long
        try:
            read = pandas.read_csv(
                path,
                sep=form.separator,
                header=0 if form.header else None,
                names=places,
                index_col=False,
                dtype={name: "category" if form.words[j] else "float64" for j, name in enumerate(places)},
                na_values=list(form.missing),
                keep_default_na=False,
                decimal=form.decimal,
                skipinitialspace=True,
                float_precision="round_trip",
                encoding="utf-8-sig",
            )
        except (ValueError, TypeError, pandas.errors.ParserError, pandas.errors.ParserWarning, UnicodeDecodeError):
            return None
    if read[places[-1]].isna().any():
        return None  # a row may be too short
    found: list[Values] = []
    for name, is_words in zip(places, form.words):
        column = read[name]
        if is_words:
            found.append((column.cat.codes.to_numpy().astype(np.int32), column.cat.categories.astype(str).tolist()))
        else:
            found.append(column.to_numpy())
    return found


def by_numpy(path: Path, form: Form) -> list[Values] | None:
    """Read by numpy, some rows at a time; None where a number is missing or written with a comma."""
    if form.decimal != ".":
        return None
    kinds = np.dtype([(str(j), "O" if is_words else "f8") for j, is_words in enumerate(form.words)])
    chunks: list[list[np.ndarray]] = [[] for _ in form.words]
    levels: list[dict[str, int]] = [{} for _ in form.words]
    with path.open(encoding="utf-8-sig") as file:
        try:
            blanks = form.separator == " "
            rows = (line for line in file if not line.isspace() and not (blanks and line.startswith("#")))
            next(rows) if form.header else None
            separator = None if blanks else form.separator
            while lines := list(islice(rows, ROWS)):
                if blanks and OTHER_BLANKS.search("".join(lines)):
                    return None
                read = np.loadtxt(lines, kinds, comments=None, delimiter=separator, quotechar='"', ndmin=1)
                for j, is_words in enumerate(form.words):
                    column = read[str(j)]
                    if is_words:
                        own = levels[j]
                        words = (word.strip() for word in column)
                        codes = [-1 if word in form.missing else own.setdefault(word, len(own)) for word in words]
                        chunks[j].append(np.array(codes, np.int32))
                    else:
                        chunks[j].append(column.copy())
        except ValueError:
            return None
    if all(
        any((codes == -1 if is_words else np.isnan(codes)).any() for codes in part)
        for part, is_words in zip(chunks, form.words)
    ):
        return None  # as above
    return [
        (np.concatenate(part), list(own)) if is_words else np.concatenate(part)
        for part, own, is_words in zip(chunks, levels, form.words)
    ]


# The readers, best first, each with the bytes from which a file is worth its import; smaller ones are read row by row.
FROM_BYTES: Mapping[Reader, int] = {by_pyarrow: 1_000_000, by_pandas: 20_000_000, by_numpy: 1_000_000}
