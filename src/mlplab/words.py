"""Words on a terminal: errors that wrap, columns no wider than it, no escape sequences; and the paths that are typed and shown.

Where configs are read and runs are written is found without Hydra, for commands that compose nothing.
"""

import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mlplab.errors import InputError

# Where the terminal does not say how wide it is, and in files.
WIDTH = 80
LEAST_WIDTH = 40
# A column that is cut keeps so many letters, where others can make way.
LEAST_CELL = 12
# Words in a column narrower than this stand on lines of their own.
LEAST_WORDS = 24
GAP = "  "
_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent.parent
_typed_in: ContextVar[Path | None] = ContextVar("typed_in", default=None)


class Across(str):
    """A cell that also takes the room of the empty cells behind it."""


def terminal_width() -> int:
    """Give the columns of the terminal; 80 where there is none."""
    return max(LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


def columns(
    rows: Sequence[Sequence[str]], *, left: int = 1, drop: Sequence[str] = (), width: int | None = None
) -> list[str]:
    """Set cells in columns that fit the terminal.

    Args:
        rows: of equal length; the first one holds the headings.
        left: so many columns from the left are flush left, the others flush right.
        drop: headings of columns that make way first, in this order, where all do not fit; what else does not fit is
            named in a last line.
        width: letters of a line; None for the terminal's.

    Returns:
        One line a row, without blanks at its end.
    """
    width = terminal_width() if width is None else width
    rows = [list(row) for row in rows]
    for heading in drop:
        if _total(_widths(rows)) > width and heading in rows[0]:
            column = rows[0].index(heading)
            rows = [row[:column] + row[column + 1 :] for row in rows]
    widths = _widths(rows)
    if left and _total(widths) > width:  # the widest text is cut
        widest = max(range(min(left, len(widths))), key=widths.__getitem__)
        widths[widest] = max(widths[widest] - (_total(widths) - width), min(LEAST_CELL, widths[widest]))
    count = len(widths)
    while count > 1 and _total(widths[:count]) > width:
        count -= 1
    lines = [cut(_line(row[:count], widths[:count], left), width) for row in rows]
    if rows[0][count:]:
        lines.append(cut(f"(no room for: {', '.join(filter(None, rows[0][count:]))})", width))
    return lines


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(0 if isinstance(cell, Across) else len(cell) for cell in column) for column in zip(*rows)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells, place = [], 0
    while place < len(row):
        text, end = row[place], place + 1
        if isinstance(text, Across):
            while end < len(row) and not row[end]:
                end += 1
        room = _total(widths[place:end])
        text = cut(text, room)
        cells.append(text.ljust(room) if place < left or isinstance(row[place], Across) else text.rjust(room))
        place = end
    return GAP.join(cells).rstrip()


def markdown_table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Write rows, the first of them the headings, as a Markdown table; all columns but ``left`` are flush right."""
    lines = ["| " + " | ".join(map(in_markdown, row)) + " |" for row in rows]
    rule = "|" + " --- |" * left + " ---: |" * (len(rows[0]) - left)
    return "\n".join([lines[0], rule, *lines[1:]])


def in_markdown(text: str) -> str:
    """Keep a text within its cell of a Markdown table or its item of a list; what would be markup in it is shown."""
    plain = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
    return re.sub(r"](?=[(\[:])", r"]\\", re.sub(r"<(?=[A-Za-z/!?])", "&lt;", plain))


def wrapped(text: str, *, indent: str = "", width: int | None = None) -> str:
    """Break a sentence into lines that fit the terminal; ``indent`` begins all but the first."""
    width = terminal_width() if width is None else width
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def folded(text: str, *, width: int | None = None) -> str:
    """Break the lines of a help text that do not fit the terminal.

    What stands behind two blanks, or behind ``#``, is wrapped in its own column, or on lines of its own where that column
    is too narrow.
    """
    width = terminal_width() if width is None else width
    return "\n".join(part for line in text.split("\n") for part in _parts(line, width))


def _parts(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    found = re.fullmatch(r"(\s*\S.*?)(\s{2,}| (?=# ))(# )?(\S.*)", line)
    if found is None:
        indent = re.match(r"\s*(usage: )?", line)[0]
        return wrapped(line, indent=" " * (len(indent) + 2), width=width).split("\n")
    code, gap, mark, words = found[1], found[2], found[3] or "", found[4]
    column = len(code + gap)
    if width - column < LEAST_WORDS:
        margin = " " * (len(code) - len(code.lstrip()) + 4)
        return [
            *wrapped(code, indent=margin, width=width).split("\n"),
            *wrapped(margin + mark + words, indent=margin + mark, width=width).split("\n"),
        ]
    blank = " " * column + mark
    return wrapped(code + gap + mark + words, indent=blank, width=width).split("\n")


def cut(text: str, width: int) -> str:
    """Shorten a text to so many letters, the last one then being …."""
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """Take at most ``most`` (>= 2) of some rows, evenly, with the first and the last."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(k * (len(rows) - 1) / (most - 1))] for k in range(most)]


def listed(names: Sequence[str], most: int = 12) -> str:
    """Write names with commas, the middle of many left out."""
    shown = [name or "''" for name in names]
    return ", ".join(shown if len(shown) <= most else [*shown[: most - 2], "...", shown[-1]])


def plural(number: int, one: str, many: str | None = None) -> str:
    """Write a number and what it counts, such as ``1 run`` or ``1,000 runs``; ``many`` is one with an s at its end if None."""
    if many is None:
        many = f"{one}es" if one.endswith("s") else f"{one}s"
    return f"{number:,} {one if number == 1 else many}"


def printable(text: str) -> str:
    """Write what a terminal might obey, such as escape sequences, as Python writes it in a text: ``\\x1b``."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def print_error(words: str) -> None:
    """Say on standard error what was wrong: its hint first, on lines as wide as the terminal, or on one elsewhere."""
    text = re.sub(
        r"\S{200,}", lambda found: f"{found[0][:80]}...{found[0][-20:]}", printable(re.sub(r"[ \t\r\n]+", " ", words))
    )
    hint = re.search(r"; (did you mean [^?]{1,200}\?)$", text)
    if hint:
        text = f"{hint[1]} {text[: hint.start()]}"
    text = f"mlplab: {text}"
    if sys.stderr.isatty():
        text = textwrap.fill(text, terminal_width(), subsequent_indent="        ", break_on_hyphens=False)
    print(text, file=sys.stderr)


@contextmanager
def typed_in(folder: str | Path) -> Iterator[None]:
    """Shorten paths as from a folder for a while, wherever a job itself runs (``hydra.job.chdir``)."""
    token = _typed_in.set(Path(folder))
    try:
        yield
    finally:
        _typed_in.reset(token)


def short_path(path: Path) -> str:
    """Write a path as short as it can be from the folder that the command was typed in."""
    path, start = path.absolute(), _typed_in.get() or Path.cwd()
    return printable(str(path.relative_to(start) if path.is_relative_to(start) else path))


def front_door() -> str:
    """Name the command by which this program was started: scripts/lab in a checkout, mlplab elsewhere."""
    return "scripts/lab" if Path(sys.argv[0]).parent.name == "scripts" else "mlplab"


def _is_checkout() -> bool:
    return (_CHECKOUT / "conf" / "train.yaml").is_file() and (_CHECKOUT / "pyproject.toml").is_file()


def conf_folder() -> Path:
    """Find the config tree: MLPLAB_CONF, then the checkout's conf/, then the one inside the package."""
    chosen = os.environ.get("MLPLAB_CONF")
    if chosen:
        if not Path(chosen).is_dir():
            raise InputError(f"MLPLAB_CONF must be a folder of configs, got {chosen!r}")
        return Path(chosen).resolve()
    return _CHECKOUT / "conf" if _is_checkout() else _PACKAGE / "conf"


def logs_folder() -> Path:
    """Find where runs are written by default: the checkout's logs/, else logs/ under the current folder."""
    return (_CHECKOUT if _is_checkout() else Path.cwd()) / "logs"


def is_option(word: str) -> bool:
    """Say whether a word of a command line is an option ``KEY=VALUE``; the path of a file or folder may hold = too."""
    return "=" in word and not os.path.exists(word)


def expanded(path: str | Path, key: str = "the folder") -> Path:
    """Give a path as a person typed it, ``~`` standing for a home folder.

    Raises:
        InputError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{key} must be a path that can be found, got {str(path)!r}: ~ names nobody's home folder"
        ) from None


def pip_line(extra: str) -> str:
    """Give the command that adds an extra to the very environment that runs: scripts/lab has one of its own."""
    program = Path(sys.executable)
    home = Path.cwd()
    shown = program.relative_to(home) if program.is_relative_to(home) else program
    return f"{shlex.quote(str(shown))} -m pip install 'mlplab[{extra}]'"
