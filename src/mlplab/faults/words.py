"""What a person types never gives a traceback, an unnamed key, a raw escape sequence or a folder: command lines by a grammar."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlplab import places
from mlplab.cli import app, door
from mlplab.cli.commands import COMMANDS
from mlplab.config import composition
from mlplab.config.messages import keys_of
from mlplab.faults.campaign import Outcome
from mlplab.faults.owner import train

BATCH, SECONDS = 50, 20
VALUES = (
    "0",
    "1",
    "-1",
    "3",
    "1.5",
    "-0.0",
    "1e-320",
    "1e400",
    "nan",
    "inf",
    "-inf",
    ".inf",
    "10" * 20,
    "9" * 5001,
    "0x10",
    "1_000",
    "true",
    "false",
    "yes",
    "null",
    "''",
    '""',
    "a",
    "abc def",
    "ä",
    "日本語",
    "\u202eright to left",
    "\x1b[31mred",
    "\x07bell",
    "\x9b2J",
    "a\rb",
    "a\nb",
    "a\tb",
    "\u2028",
    "\ufeff",
    "x" * 100_000,
    "[" * 300,
    "[]",
    "[1,2]",
    "[a,[b,{c: d}]]",
    "{}",
    "{a: 1}",
    "{_target_: os.system}",
    "{a: {b: {c: 1}}}",
    "{'\x1b]0;x\x07': 1}",
    "'unbalanced",
    '"unbalanced',
    "a'b",
    "a\\",
    "\\\\'",
    "a,b",
    "1,2",
    "range(1,3)",
    "choice(a,b)",
    "interval(0,1)",
    "glob(*)",
    "sort(3,1)",
    "shuffle(1,2)",
    "tag(a,1)",
    "int(3)",
    "${seed}",
    "${nope}",
    "${oc.env:HOME}",
    "${",
    "$x",
    "${a.b",
    "%s",
    "{0}",
    "<b>x</b>",
    "../x",
    "~",
    "*",
    "?",
    "!",
    "#",
    "a=b",
    "=",
    ":",
    "a:b",
    "-",
    "--",
    "1e",
    "1 2",
    "None",
    "[1",
    "1]",
    "(",
    ")",
)
WORDS = (
    "",
    " ",
    "=",
    "==",
    "a",
    "=a",
    "a.b",
    "+",
    "~",
    "~seed",
    "++",
    "@",
    "a@b=c",
    "seed",
    ".=1",
    "a..b=1",
    "a b=1",
    "ä=1",
    "\x1b[2J=1",
    "\x1b",
    "é",
    "--x",
    "-x",
    "--",
    "-",
    "---",
    "-m=1",
    "--seed=3",
    "--multirun=x",
    "x" * 5000,
    "日本=語",
    "*",
    "[a]",
    "{a}",
    "${x}",
    "a/b=c",
    "/",
    "%",
    "\u202e=1",
)
FLAGS = (
    "-m",
    "--multirun",
    "--help",
    "-h",
    "--cfg",
    "--cfg=job",
    "--cfg job",
    "--cfg x",
    "--info",
    "--info x",
    "--info=defaults",
    "--resolve",
    "--package",
    "--package=x",
    "--package=model",
    "--run",
    "--hydra-help",
    "--version",
    "--config-dir",
    "--config-dir=x",
    "--experimental-rerun=x",
    "--shell-completion install=bash",
)
# Hydra's own, whose values are no places here.
OF_HYDRA = (
    "hydra.verbose",
    "hydra.job.name",
    "hydra.job.chdir",
    "hydra.mode",
    "hydra.output_subdir",
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.sweep.subdir",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.job.config.override_dirname.item_sep",
    "hydra.nope",
)
# Commands without a config: what follows them, besides anything at all. The last word keeps those from working that take long.
OWN = {
    "evaluate": (["RUN"], []),
    "limits": (["RUN"], ["nope=1"]),
    "predict": (["RUN"], []),
    "reproduce": (["RUN"], ["nope=1"]),
    "report": (["RUN"], []),
    "runs": (["list", "best", "clean"], []),
    "compare": (["RUN", "RUN"], []),
    "redraw": (["RUN"], ["nope=1"]),
    "benchmark": (["relu"], ["nope=1"]),
    "playground": (["RUN"], []),
    "faults": (["owner"], ["nope=1"]),
    "tensorboard": (["RUN"], ["nope=1"]),
}

# Answers about what is not there, to which no word belongs.
NAMED_BY_NOTHING = ("must be given", "there are no runs yet")


def words(effort: str, place: Path) -> Outcome:
    """Give command lines to the commands, in process; what is composed right calls a study that does nothing."""
    outcome, whole = Outcome(), train(place / "run", "figures=none")
    count = {"short": 100, "quick": 1000, "long": 10_000}[effort]
    for batch in range(-(-count // BATCH)):
        told, here = place / "told.jsonl", place / "a" / "b" / "c" / "here"
        here.mkdir(parents=True)
        pid = os.fork()
        if not pid:
            _batch(random.Random(f"words {batch}"), here, whole, told)
        os.waitpid(pid, 0)
        lines = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        outcome.note(len(lines) == BATCH, f"batch {batch} ended after {len(lines)} lines")
        for line, broken in lines:
            outcome.note(not broken, f"{[word[:200] for word in line]}: {'; '.join(broken)}")
        shutil.rmtree(place / "a")
        told.unlink(missing_ok=True)
    return outcome


def _batch(pick: random.Random, here: Path, whole: Path, told: Path) -> None:
    """Try so many lines in a process of their own; never come back."""
    code = 1
    try:
        os.chdir(here)
        os.setsid()
        os.environ["MLPLAB_CONF"], places._is_checkout = (
            str(places.conf_folder()),
            lambda: False,
        )  # logs are then made here
        for name, (root, _) in COMMANDS.items():
            if root is not None:
                COMMANDS[name] = (root, "mlplab.faults.words:nothing")
        through = door.through_hydra
        door.through_hydra = lambda root, task, given, more: (
            None if given.sweeps and not given.shows else through(root, task, given, more)
        )
        keys = {
            name: [*keys_of(composition.compose_whole(root, [])), *OF_HYDRA]
            for name, (root, _) in COMMANDS.items()
            if root is not None and name != "spiking"
        }
        with told.open("a", buffering=1) as file:
            for _ in range(BATCH):
                line = _line(pick, keys, whole)
                file.write(json.dumps([line, _tried(line, here)]) + "\n")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def nothing(config: Any, folder: Path) -> dict[str, Any]:
    """Stand in for a study."""
    return {"status": "finished", "validation": {"nll": 1.0, "accuracy": 0.5}, "test": None}


def _line(pick: random.Random, keys: dict[str, list[str]], whole: Path) -> list[str]:
    """Draw a command line: a command and one to four words, one of them at least made up."""
    if pick.random() < 0.02:
        return [pick.choice((*WORDS, *FLAGS, "trian", "TRAIN", "report "))]
    command = pick.choice((*keys, "train", "train", "train", *OWN))
    if command in keys:
        made = [word for _ in range(pick.choice((1, 1, 1, 2, 2, 3, 4))) for word in _word(pick, keys[command])]
        return [command, *made]
    first, last = OWN[command]
    made = [str(whole) if word == "RUN" else word for word in first if pick.random() < 0.8]
    known = (
        "paths.logs",
        "data.noise",
        "seed",
        "data.path",
        "sort",
        "limit",
        "repeats",
        "model.width",
        "metric",
        "out",
    )
    made += [word for _ in range(pick.randint(1, 3)) for word in _word(pick, known)]
    return [command, *made, *last]


def _word(pick: random.Random, known: Any) -> list[str]:
    kind = pick.random()
    if kind < 0.12:
        return pick.choice(FLAGS).split(" ")
    if kind < 0.2:
        return [pick.choice(WORDS)]
    key = pick.choice(known)
    if kind < 0.35:  # misspelt, or a part of one
        at = pick.randrange(len(key))
        key = pick.choice(
            (
                key[:at] + key[at + 1 :],
                key[:at] + pick.choice("aä.\x1b_") + key[at:],
                key.rpartition(".")[0] or key,
                key + ".x",
                key.upper(),
            )
        )
    value = pick.choice(VALUES)
    if pick.random() < 0.1:
        value = ",".join(pick.choices(VALUES, k=2))
    return [f"{pick.choice(('', '', '', '', '+', '++', '~'))}{key}={value}"]


def _tried(line: list[str], here: Path) -> list[str]:
    """Run a command line and say what is wrong with its answer."""
    before, out, err, code, told = _listing(here), io.StringIO(), io.StringIO(), None, ""
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _within(SECONDS):
            argv, sys.argv = sys.argv, ["scripts/lab", *line]
            code = app.main(line)
    except BaseException:
        told = " ".join(traceback.format_exc().split())[-600:]
    finally:
        sys.argv = argv
    words, broken = out.getvalue() + err.getvalue(), []
    if told or "Traceback" in words:
        broken.append(f"a traceback: {told or ' '.join(words.split())[-600:]}")
    elif code not in (0, 1, 2):
        broken.append(f"ended with {code}")
    if any(not (letter.isprintable() or letter in "\n\t") for letter in words):
        broken.append(
            f"raw: {[letter for letter in words if not (letter.isprintable() or letter in chr(10) + chr(9))][:5]}"
        )
    if code == 2 and not told:
        said = [text for text in err.getvalue().splitlines() if text.startswith("mlplab: ")]
        if line[0] and (
            len(said) != 1 or not (any(part in said[0] for part in NAMED_BY_NOTHING) or _names(said[0], line))
        ):
            broken.append(f"unnamed: {words[-400:]}")
        made = _listing(here) - before
        if made:
            broken.append(f"left {sorted(made)[:3]}")
    for path in _listing(here) - before:
        target = here.parents[2] / path
        shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink(missing_ok=True)
    return broken


def _names(said: str, line: list[str]) -> bool:
    """Say whether an answer names one of the words that it may be about, or the beginning of its value."""
    for word in line[1:] or line:
        key, _, value = word.partition("=")
        for part in (key.lstrip("+~-").partition("@")[0], key, value[:12], word[:20]):
            plain = part.encode("unicode_escape").decode() if not part.isprintable() else part
            if part.strip() and (part in said or plain in said or repr(part)[1:-1] in said):
                return True
        parts = [piece for piece in key.lstrip("+~-").replace("/", ".").split(".") if len(piece) > 2]
        if any(piece in said for piece in parts):
            return True
    return any(not word.strip() for word in line)


def _listing(here: Path) -> set[str]:
    root = here.parents[2]
    return {str(path.relative_to(root)) for path in root.rglob("*")}


@contextlib.contextmanager
def _within(seconds: int) -> Iterator[None]:
    def over(*_: Any) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
