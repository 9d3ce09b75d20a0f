"""What a person reads in a terminal: errors that wrap, paths as short as can be, no escape sequences."""

import re
import shutil
import sys
import textwrap
from pathlib import Path


def printable(text: str) -> str:
    """Write what a terminal might obey, such as escape sequences, as Python writes it in a text: ``\\x1b``."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def print_error(words: str) -> None:
    """Say on standard error what was wrong: its hint first, on lines as wide as the terminal, or on one elsewhere."""
    text = re.sub(r"\S{200,}", lambda found: f"{found[0][:80]}...{found[0][-20:]}", printable(" ".join(words.split())))
    hint = re.search(r"; (did you mean [^?]{1,200}\?)$", text)
    if hint:
        text = f"{hint[1]} {text[: hint.start()]}"
    text = f"mlplab: {text}"
    if sys.stderr.isatty():
        columns = max(40, shutil.get_terminal_size().columns)
        text = textwrap.fill(text, columns, subsequent_indent="        ", break_on_hyphens=False)
    print(text, file=sys.stderr)


def short_path(path: Path) -> str:
    """Write a path as short as it can be from the current folder."""
    path = path.absolute()
    return printable(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def front_door() -> str:
    """Name the command by which this program was started: scripts/lab in a checkout, mlplab elsewhere."""
    return "scripts/lab" if Path(sys.argv[0]).parent.name == "scripts" else "mlplab"
