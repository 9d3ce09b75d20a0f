"""Every message that a person can meet, in tests/messages/*.txt: the input that brings it, and its words.

A row is some lines that begin with ``> `` (Python) or ``$ `` (a command), of which the last brings the message below them.
What one file of the package alone calls so needs no import.
``RUN`` is a small finished run, ``SWEEP`` a sweep of two, ``TABLE`` a run on ``table.csv``, ``HERE`` the current folder.

    python tests/messages.py [FILE ...]      writes the words of all rows anew; look at the difference
"""

import ast
import contextlib
import importlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning as L
import numpy as np
import torch

import mlplab
import mlplab.words
from mlplab import errors
from mlplab.cli.app import main
from mlplab.config import composition
from mlplab.runs import checkpoint
from mlplab.words import printable

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "mlplab"
FILES = sorted((ROOT / "tests" / "messages").glob("*.txt"))
SMALL = (
    "data.points_per_arm=40 data.batch_size=16 data.validation_points=40 data.fresh_points=100 model.width=6 trainer.max_epochs=2"
    " trainer.accelerator=cpu callbacks.progress=null callbacks.decision_maps.resolution=8 paths.logs=logs"
).split()
TABLE = "a,b,kind\n" + "".join(f"{n % 7},{n % 5 + n / 40},{'xyz'[n % 3]}\n" for n in range(60))


@contextlib.contextmanager
def _own_modules_gone(place: str) -> Iterator[None]:
    """Forget the modules of a row's own folder; the package's stay, which others of this process hold on to."""
    before = dict(sys.modules)
    try:
        yield
    finally:
        own = str(Path(place).resolve())
        for name in [name for name in sys.modules if name not in before]:
            module = sys.modules[name]  # None where a row stands for a machine without it
            if module is None or str(getattr(module, "__file__", None)).startswith((place, own)):
                del sys.modules[name]
        sys.modules.update(before)


@dataclass
class Row:
    """An input and its message.

    Attributes:
        lines: of the input, as they stand in the file.
        words: the message.
        sites: of ``InputError(...)`` in the source, each as a file and a line, whose words are in the message.
    """

    lines: list[str]
    words: str
    sites: set[tuple[str, int]] = field(default_factory=set)


def read(path: Path) -> list[Row]:
    """Read the rows of a file."""
    rows = []
    for block in re.split(r"\n\n+", path.read_text(encoding="utf-8").strip()):
        lines = block.splitlines()
        given = [line for line in lines if line[:2] in ("> ", "$ ")]
        if given:
            rows.append(Row(given, " ".join(" ".join(line for line in lines if line not in given).split())))
    return rows


def write(path: Path, rows: list[Row]) -> None:
    """Write rows to a file, below what stands there in its first lines."""
    head = path.read_text(encoding="utf-8").partition("\n\n")[0]
    blocks = ["\n".join([*row.lines, textwrap.indent("\n".join(_wrapped(row.words)), "    ")]) for row in rows]
    path.write_text("\n\n".join([head, *blocks]) + "\n", encoding="utf-8")


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, 116, break_long_words=False, break_on_hyphens=False)


def sites() -> dict[tuple[str, int], tuple[int, str]]:
    """List each ``InputError(...)`` (or ``Taken``, which is one) of the source by file and line: its last line, and its argument."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("InputError", "Taken")
            ):
                found[path.relative_to(SOURCE).as_posix(), node.lineno] = (node.end_lineno, ast.unparse(node.args[0]))
    return found


def homes() -> dict[str, str]:
    """Give the module of each function, class and constant whose name one file of the package alone has."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            names += [one.id for one in getattr(node, "targets", ()) if isinstance(one, ast.Name)]
            for name in names:
                found.setdefault(name, set()).add(module)
    return {name: modules.pop() for name, modules in found.items() if len(modules) == 1}


class Stage:
    """Where rows are run: folders made once, copied for each row, and a note of each InputError that is made."""

    def __init__(self, place: Path) -> None:
        self.made, self.known, self.homes = place / "made", sites(), homes()
        self.noted: list[tuple[str, int, str]] = []
        self.made.mkdir(parents=True)

    @contextlib.contextmanager
    def open(self) -> Any:
        """Make the folders, with logs in the current folder and nothing of this machine's own."""
        environment = {"MLPLAB_CONF": str(ROOT / "conf"), "HOME": str(self.made), "COLUMNS": "80"}
        with patch.dict(os.environ, environment), patch.object(mlplab.words, "_is_checkout", lambda: False):
            os.environ.pop("MLPLAB_TRUST", None)
            with composition.at(self.made), patch.object(errors.InputError, "__init__", self._noting()):
                Path("table.csv").write_text(TABLE)
                table = [
                    "data=file",
                    "data.path=table.csv",
                    "data.batch_size=8",
                    "trainer.max_epochs=2",
                    "model.width=4",
                ]
                for words in (
                    ["train", *SMALL, "name=RUN"],
                    ["train", *SMALL, "figures=none", "-m", "seed=0,1", "sweep=SWEEP", "launcher=inline"],
                    ["train", *table, "figures=none", "name=TABLE", "paths.logs=logs", "callbacks.progress=null"],
                ):
                    code, _, err = run(words)
                    assert code == 0, err
                yield self

    def _noting(self) -> Any:
        def init(error: errors.InputError, *args: Any) -> None:
            frame = sys._getframe(1)
            place = Path(frame.f_code.co_filename)
            if place.is_relative_to(SOURCE):
                self.noted.append((place.relative_to(SOURCE).as_posix(), frame.f_lineno, str(args[0])))
            ValueError.__init__(error, *args)

        return init

    def told(self, row: Row) -> Row:
        """Run a row's lines in a folder of their own; give it with the message that they bring and its sites."""
        self.noted.clear()
        with tempfile.TemporaryDirectory(dir=self.made.parent) as place, composition.at(place):
            for name, folder in (("RUN", "train"), ("SWEEP", "sweep"), ("TABLE", "train")):
                if any(name in line for line in row.lines):
                    shutil.copytree(self.made / "logs" / folder / name, name)
            shutil.copyfile(self.made / "table.csv", "table.csv")
            try:
                with patch.dict(os.environ), _own_modules_gone(place):
                    words = self._said(row.lines)
            finally:
                patch.stopall()
                os.chdir(place)
                for path in (Path(place), *Path(place).rglob("*")):
                    if path.is_dir() and not path.is_symlink():
                        path.chmod(0o700)
            plain = printable(" ".join(words.split()))
            found = {
                (file, at) for file, at, text in self.noted if _bare(printable(" ".join(text.split()))) in _bare(plain)
            }
            own = str(Path(place).resolve())
            where = ((own, "HERE"), (str(self.made), "MADE"), (sys.executable, "PYTHON"), (str(ROOT), "ROOT"))
            for before, after in (*where, (torch.__version__, "VERSION")):
                plain = plain.replace(before, after)
            plain = re.sub(r"\bprocess \d+", "process N", plain)
            plain = re.sub(r"of other code \(\w{8}", "of other code (DIGEST", plain)
        return Row(row.lines, plain, {self._site(file, at) for file, at in found})

    def _site(self, file: str, at: int) -> tuple[str, int]:
        """Give the call that a line is part of."""
        return next((key for key, (end, _) in self.known.items() if key[0] == file and key[1] <= at <= end), (file, at))

    def _said(self, lines: list[str]) -> str:
        names = namespace()
        for name in set(re.findall(r"\b[A-Za-z_]\w{3,}", "\n".join(line for line in lines if line[0] == ">"))):
            if name in self.homes and name not in names:
                names[name] = getattr(importlib.import_module(self.homes[name]), name)
        said = "(nothing)"
        for block in re.findall(r"(?:^> .*\n?)+|^\$ .*", "\n".join(lines), re.MULTILINE):
            if block.startswith("$ "):
                code, _, err = run(words_of(block[2:], names))
                told = [line for line in err.splitlines() if line.startswith("mlplab: ")]
                said = told[-1].removeprefix("mlplab: ") if told else f"(ended with {code}: {err[-2000:]})"
                said = re.sub(r"^(did you mean .{1,200}?\?) (.*)", r"\2; \1", said)  # as an InputError has it
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                        exec("\n".join(line[2:] for line in block.splitlines()), names)
            except errors.InputError as error:
                said = str(error)
            except Exception as error:
                said = f"({type(error).__name__}: {error})"
        return said


def _bare(words: str) -> str:
    """Leave folders out: an error that tells of another may name the file alone."""
    return re.sub(r"[^\s']*/", "", words)


def words_of(line: str, names: dict[str, Any]) -> list[str]:
    """Cut a command line into words as a shell does, $NAME being a variable of the lines before, or a list of words."""
    words = []
    for word in shlex.split(line):
        value = names.get(word[1:], word) if word[:1] == "$" else word
        words += value if isinstance(value, list) else [str(value)]
    return words


def run(words: list[str]) -> tuple[int, str, str]:
    """Run a command in this process: its exit code and its words."""
    out, err, argv = io.StringIO(), io.StringIO(), sys.argv
    try:
        sys.argv = ["scripts/lab", *words]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = main(words)
    finally:
        sys.argv = argv
    return code, out.getvalue(), err.getvalue()


def namespace() -> dict[str, Any]:
    """The names that rows may use besides Python's own."""

    def save(path: str, text: str | bytes) -> None:
        """Write a file."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())

    def change(path: str, **values: Any) -> None:
        """Change entries of a JSON file."""
        save(path, json.dumps(json.loads(Path(path).read_text()) | values))

    def forge(path: str, changed: Any) -> None:
        """Change a checkpoint's content and sign it."""
        content = checkpoint.load(path)
        changed(content)
        checkpoint.save(path, content)

    def config(path: str, before: str, after: str) -> None:
        """Change the text of a recorded config."""
        text = Path(path).read_text()
        assert before in text
        save(path, text.replace(before, after))

    def mlp(**options: Any) -> torch.nn.Module:
        return mlplab.MLP(2, [4], 4, **{"seed": 0} | options)

    def spirals(**options: Any) -> Any:
        few = {"points_per_arm": 20, "batch_size": 8, "validation_points": 12, "fresh_points": 0}
        return mlplab.SpiralDataModule(**few | options)

    def read_csv(text: str, **options: Any) -> Any:
        """Read a table of this text as data."""
        save("own.csv", text)
        module = mlplab.FileDataModule(**{"path": "own.csv", "batch_size": 2} | options)
        module.setup()
        return module

    def read_npz(**arrays: Any) -> Any:
        np.savez("own.npz", **arrays)
        module = mlplab.FileDataModule(path="own.npz", batch_size=2)
        module.setup()
        return module

    modules = {"mlplab": mlplab, "np": np, "torch": torch, "L": L, "Path": Path, "json": json, "os": os, "sys": sys}
    made = (save, change, forge, config, mlp, spirals, read_csv, read_npz, patch)
    return modules | {one.__name__: one for one in made} | {"InputError": errors.InputError, "SMALL": SMALL}


def tell(files: list[Path]) -> dict[Path, list[Row]]:
    """Run all rows of some files."""
    with tempfile.TemporaryDirectory() as place, Stage(Path(place).resolve() / "stage").open() as stage:
        return {path: [stage.told(row) for row in read(path)] for path in files}


if __name__ == "__main__":
    chosen = [Path(name).absolute() for name in sys.argv[1:]] or FILES
    told = tell(chosen)
    for path, rows in told.items():
        write(path, rows)
    if chosen == FILES:
        listed = set().union(*(row.sites for rows in told.values() for row in rows))
        for (file, line), (_, words) in sites().items():
            if (file, line) not in listed:
                print(f"no row brings {file}:{line}: {words}")
