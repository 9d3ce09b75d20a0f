"""What a person types never gives a traceback, an unnamed key, a raw escape sequence or a folder: command lines by a grammar."""

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

import mlplab.words
from mlplab.cli import app, door
from mlplab.cli.commands import COMMANDS
from mlplab.config import composition
from mlplab.config.messages import keys_of
from mlplab.faults.campaign import Outcome
from mlplab.faults.damage import SHORT_SPIKING
from mlplab.faults.owner import train
from mlplab.faults.trials import SMALL
from mlplab.options import CLOSED_TRAINER, FURTHER_TRAINER

# Lines in a process; CPU seconds after which Ctrl-C is pressed; CPU seconds that a refusal may take; how many lines are run.
BATCH, SECONDS, REFUSED_WITHIN_S, RUN = 50, 20, 5.0, 0.7
RUNNING = ("-m", "--multirun", "-r", "--run")  # the flags with which a line is run, and shows nothing
MEMORY = 2 << 30  # that the lines of a process may take
PLAIN_VALUES = """0 1 -1 3 1.5 -0.0 1e-320 1e400 nan inf -inf .inf 0x10 1_000 true false yes null '' "" a ä 日本語 [] [1,2] [a,[b,{c:d}]]
{} {a:1} {_target_:os.system} {_target_:torch.nn.ReLU,_partial_:true} {a:{b:{c:1}}} [[1,2],[3,[4]]] {a:[1,{b:[c]}]} 'unbalanced "unbalanced a'b
a\\ \\\\' 'a\\'b' "a\\"b" '"' a,b 1,2 1,,2 1,2, , range(1,3) range(3,1) range(0,3,0) range(0,1000000000) range(0,1,1e-9) choice(a,b)
choice(1,2) choice() choice([1,2],{a:1}) interval(0,1) interval(1,0) glob(*) glob([a*,b]) sort(3,1) shuffle(1,2) shuffle(range(1,3))
tag(a,1) tag(a,interval(0,1)) int(3) int(a) float(nan) str(1) bool(2) json_str({a:1}) int(choice(1,2)) nope(1) ${seed} ${nope} ${a.b
${ ${} ${.seed} ${..x} ${oc.env:HOME} ${oc.env:NO_SUCH} ${oc.decode:1} ${oc.create:{a:1}} ${oc.select:seed} ${hydra:job.name} ${now:%Y}
${job_name:} ${logs_folder:} ${nope:1} ${${seed}} ${seed}${seed} $x %s {0} <b>x</b> ../x ~ ~root * ? ! # a=b = == : a:b - -- 1e
None [1 1] ( ) [,] {,} {a:1,a:2} {1:2} {[a]:1} [a b] @x a@b !!int 1970-01-01 1:30 0o17 +1 é ́ 1e5 64 0.5 relu cosine csv"""
VALUES = (
    *PLAIN_VALUES.split(),
    *("abc def", "1 2", " ", "", "\u202eright to left", "\x1b[31mred", "\x07bell", "\x9b2J", "a\rb", "a\nb", "a\tb"),
    *("\u2028", "\ufeff", "\x7f", "\u200b", "\udcff", "{'\x1b]0;x\x07': 1}", "10" * 20, "9" * 5001, "x" * 100_000),
    *("ä" * 50_000, "[" * 300, "[" * 200 + "]" * 200, "{a:" * 200 + "1" + "}" * 200, "${" * 100 + "seed" + "}" * 100),
    *("'" * 999, "\\" * 999, "," * 999, f"[{'1,' * 4999}1]", ",".join(map(str, range(3000))), "a." * 5000, "(" * 500),
)
# What may do for a key by the type of its default.
BY_TYPE = {
    bool: ["true", "false"],
    int: "0 1 2 3 5 7 64 1000 -1 1_0 1e1 3.0 [1] 100000000 9223372036854775808".split(),
    float: "0 0.0 -0.0 0.1 0.5 1 1e-3 1e-38 1e-320 5e-324 1e38 1e300 1.7e308 .inf nan 3 0.999999999 [0.1]".split(),
    str: "log relu tanh none map all best last min max norm value auto 32-true 64-true cpu null minimax sin euler exact x".split(),
    type(None): "null 1 0.5 3 [1,2] [x1,x2] a simple value inf val/loss [3,3]".split(),
    list: "[] [1] [1,2] [0.5,.inf] [a] [png] [svg,pdf] [membrane] 3 null".split(),
}
WORDS = (
    *"= == a =a a.b + ~ ~seed ~model ~nope ~ä ++ @ a@b=c model@x=mlp seed .=1 a..b=1 ä=1 é --x -x -- - --- -m=1 --seed=3".split(),
    *"--multirun=x 日本=語 * [a] {a} ${x} a/b=c / % ~seed=0 ~trainer.max_epochs ~callbacks +a=1 ++a=1 +model.x=1 ++seed=1".split(),
    *"+seed=1 +experiment=noise experiment=noise,width_depth hydra/sweeper=search hydra.mode=MULTIRUN resume= resume=x".split(),
    *"name=a/b sweep=x sweep=last init_from=x data=file data=moons,xor model=mlp,nope optimizer@x=adam +x@y=z last best".split(),
    *(
        "",
        " ",
        "a b=1",
        "\x1b[2J=1",
        "\x1b",
        "x" * 5000,
        "x" * 100_000 + "=1",
        "\u202e=1",
        "\udcff=1",
        "seed=1\n",
        "+" * 500,
    ),
)
FLAGS = (
    *"-m --multirun --help -h --cfg --cfg=job --cfg=all --info --info=defaults --info=plugins --resolve --package".split(),
    *"--package=x --package=model --run -r --hydra-help --version --config-dir --config-dir=x --config-name --config-name=x".split(),
    *"--config-name=train --config-path --config-path=x -cn -cp=x -cd=. -c -p=seed -i -sc --experimental-rerun=x".split(),
    *"--experimental-rerun --shell-completion --shell-completion=bash --multirun=true --help=model --help=model=mlp".split(),
    *("--cfg job", "--cfg x", "--cfg job --resolve", "-c hydra -p hydra.job", "--cfg all --package seed", "--info x"),
    *("--info defaults-tree", "--info searchpath", "--help model", "--shell-completion install=bash", "-sc query=bash"),
    *("--config-name x", "--config-path .", "--config-dir .", "-cd nope", "--experimental-rerun x", "-m -m"),
)
# Hydra's own, whose values are no places here.
OF_HYDRA = """hydra.verbose hydra.job.name hydra.job.chdir hydra.mode hydra.output_subdir hydra/launcher hydra/sweeper hydra.sweep.subdir
hydra.run.dir hydra.sweep.dir hydra.job.config.override_dirname.item_sep hydra.sweeper.params hydra.callbacks hydra.job.env_set
hydra/job_logging hydra/hydra_logging hydra.searchpath hydra.nope""".split()
# Commands without a config: what comes before anything at all. The last word keeps those from working that take long.
OWN = {
    "evaluate": (["RUN"], []),
    "limits": (["RUN"], ["nope=1"]),
    "predict": (["RUN"], []),
    "reproduce": (["RUN"], []),
    "report": (["RUN"], []),
    "runs": (["list", "best", "clean"], []),
    "compare": (["RUN", "RUN"], []),
    "redraw": (["RUN", "decision_map"], []),
    "benchmark": (["relu"], ["nope=1"]),
    "playground": (["RUN"], []),
    "faults": (["owner"], ["nope=1"]),
    "tensorboard": (["RUN"], ["nope=1"]),
}
OF_COMMANDS = """paths.logs data.noise seed data.path data.header data.separator sort limit each format what yes status repeats model.width
metric out output to size style figures.format sweep sizes widths data.seed data.points_per_arm""".split()
# What makes a command short where a line is really run; what is typed after it counts.
SHORT = {
    "train": [*SMALL, "figures=map", "trainer.max_epochs=1"],
    "lif": ["figures=[membrane]", "simulation.duration_ms=5"],
    "relu_approximation": ["figures=[decomposition]", "n=3", "trained.adam_steps=2", "trained.lbfgs_steps=2"],
    "spiking": [*SHORT_SPIKING],
}

# Answers about what is not there, to which no word belongs.
NAMED_BY_NOTHING = ("must be given", "there are no runs yet")


def words(outcome: Outcome, effort: str, place: Path) -> None:
    """Give command lines to the commands, in process; of what is composed right, a part is really run."""
    whole = train(place / "run", "figures=map")
    for batch in outcome.mine(range({"short": 50, "quick": 1000, "long": 10_000}[effort] // BATCH)):
        told, here = place / "told.jsonl", place / "a" / "b" / "c" / "here"
        here.mkdir(parents=True)
        pid = os.fork()
        if not pid:
            _batch(random.Random(f"words {outcome.seed} {batch}"), here, whole, told)
        os.waitpid(pid, 0)
        lines = [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []
        outcome.note(len(lines) == BATCH, f"batch {batch} ended after {len(lines)} lines")
        for line, code, broken in lines:
            outcome.note(not broken, f"{[word[:200] for word in line]}: {code}: {'; '.join(broken)}")
        shutil.rmtree(place / "a")
        told.unlink(missing_ok=True)


def _batch(pick: random.Random, here: Path, whole: Path, told: Path) -> None:
    """Try so many lines in a process of their own; never come back."""
    code = 1
    try:
        os.chdir(here)
        os.setsid()
        os.environ["MLPLAB_CONF"] = str(mlplab.words.conf_folder())
        mlplab.words._is_checkout = lambda: False  # logs are then made here
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        studies, through = dict(COMMANDS), door.through_hydra
        composed = {name: root for name, (root, _) in studies.items() if root is not None}
        keys = {
            name: _types(composition.compose_whole(root, ["runs=[]"] if name == "spiking" else []))
            for name, root in composed.items()
        }
        keys["train"] |= {f"+trainer.{name}": str for name in (*FURTHER_TRAINER, *CLOSED_TRAINER)}
        with told.open("a", buffering=1) as file:
            for _ in range(BATCH):
                line = _line(pick, keys, whole)
                is_run = pick.random() < RUN and all(word[:1] != "-" or word in RUNNING for word in line)
                for name, root in composed.items():
                    COMMANDS[name] = studies[name] if is_run else (root, "mlplab.faults.words:nothing")
                door.through_hydra = through if is_run else _only_shown(through)
                if is_run and line[0] in SHORT:
                    at = 2 if line[0] == "spiking" else 1
                    more = ["launcher=inline"] if {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(line) else []
                    shortened = [*line[:at], *SHORT[line[0]], *more, *line[at:]]
                else:
                    shortened = line
                file.write(json.dumps([line, *_tried(line, shortened, here)]) + "\n")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _only_shown(through: Any) -> Any:
    """Call Hydra but for sweeps."""
    return lambda root, task, given, more: (
        None if given.sweeps and not given.shows else through(root, task, given, more)
    )


def nothing(config: Any, folder: Path) -> dict[str, Any]:
    """Stand in for a study."""
    return {"status": "finished", "validation": {"nll": 1.0, "accuracy": 0.5}, "test": None}


def _types(config: Any) -> dict[str, type]:
    """Give the type of each key's default, of all but Hydra's node by its dotted key."""
    names = [name for name in keys_of(config) if not name.startswith("hydra.") and not name.endswith("_")]
    return {name: type(OmegaConf.select(config, name)) for name in names}


def _line(pick: random.Random, keys: dict[str, dict[str, type]], whole: Path) -> list[str]:
    """Draw a command line: a command and one to four words, one of them at least made up."""
    if pick.random() < 0.02:
        return [pick.choice((*WORDS, *FLAGS, "trian", "TRAIN", "report "))]
    command = pick.choice((*keys, "train", "train", "train", *OWN))
    if command in keys:
        made = [word for _ in range(pick.choice((1, 1, 1, 2, 2, 3, 4))) for word in _word(pick, keys[command])]
        return [command, *([str(whole)] if command == "spiking" and pick.random() < 0.9 else []), *made]
    first, last = OWN[command]
    made = [str(whole) if word == "RUN" else word for word in first if pick.random() < 0.8]
    made += [word for _ in range(pick.randint(0, 3)) for word in _word(pick, OF_COMMANDS)]
    return [command, *made, *last]


def _word(pick: random.Random, known: Any) -> list[str]:
    kind = pick.random()
    if kind < 0.12:
        return pick.choice(FLAGS).split(" ")
    if kind < 0.2:
        return [pick.choice(WORDS)]
    key = pick.choice(OF_HYDRA if isinstance(known, dict) and kind > 0.92 else list(known))
    if kind > 0.5 and isinstance(known, dict) and known.get(key) in BY_TYPE:
        values = pick.sample(BY_TYPE[known[key]], 2 if pick.random() < 0.1 else 1)
        return [f"{pick.choice(('', '', '', '', '', '++'))}{key}={','.join(values)}"]
    if kind < 0.3:  # misspelt, or a part of one
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
    elif kind < 0.33:
        return [pick.choice(("~", "~", "+~", "~~", "++~")) + key]
    value = pick.choice(VALUES)
    if pick.random() < 0.1:
        value = ",".join(pick.choices(VALUES, k=2))
    return [f"{pick.choice(('', '', '', '', '', '', '+', '++', '~'))}{key}={value}"]


def _tried(line: list[str], shortened: list[str], here: Path) -> tuple[int | None, list[str]]:
    """Run a command line, shortened; give its exit code and say what is wrong with its answer."""
    before, out, err, code, told = _listing(here), io.StringIO(), io.StringIO(), None, ""
    began, argv = time.process_time(), sys.argv
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _interrupted_after(SECONDS):
            sys.argv = ["scripts/lab", *shortened]
            code = app.main(shortened)
    except BaseException:
        told = " ".join(traceback.format_exc().split())[-600:]
    finally:
        sys.argv = argv
    words, broken, seconds = out.getvalue() + err.getvalue(), [], time.process_time() - began
    if told or "Traceback" in words:
        broken.append(f"a traceback: {told or ' '.join(words.split())[-600:]}")
    elif code not in (0, 1, 2) and not (code == 130 and seconds > SECONDS / 2):
        broken.append(f"ended with {code}")
    if any(not (letter.isprintable() or letter in "\n\t") for letter in words):
        broken.append(
            f"raw: {[letter for letter in words if not (letter.isprintable() or letter in chr(10) + chr(9))][:5]}"
        )
    if code == 2 and not told:
        said = [text for text in err.getvalue().splitlines() if text.startswith("mlplab: ")]
        if line[0] not in ("", "tensorboard") and (  # whose flags it refuses itself, in a process of its own
            len(said) != 1 or not (any(part in said[0] for part in NAMED_BY_NOTHING) or _names(said[0], line))
        ):
            broken.append(f"unnamed: {words[-400:]}")
        made = _listing(here) - before
        if made:
            broken.append(f"left {sorted(made)[:3]}")
        if seconds > REFUSED_WITHIN_S:
            broken.append(f"refused after {seconds:.1f} s")
    for path in _listing(here) - before:
        target = here.parents[2] / path
        shutil.rmtree(target) if target.is_dir() and not target.is_symlink() else target.unlink(missing_ok=True)
    return code, broken


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
def _interrupted_after(seconds: int) -> Iterator[None]:
    """Press Ctrl-C after so many CPU seconds: what is really run may take long, and must then end as it should."""
    signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(20 * seconds)  # what hangs without working ends the batch
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
