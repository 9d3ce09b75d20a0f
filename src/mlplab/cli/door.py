"""The one door: every run and every sweep of a composed study goes through hydra.main here."""

import io
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mlplab.cli.command_line import Words
from mlplab.cli.commands import COMMANDS
from mlplab.cli.completion import completion_script, read_query, with_marks
from mlplab.config import composition as configs
from mlplab.config.messages import one_line
from mlplab.errors import Ended, InputError
from mlplab.hydra_names import of_known_mode, quoted, raising_disk_errors, resolved_whole
from mlplab.pages.page import write_playground
from mlplab.runs import signals
from mlplab.runs.files import read_json
from mlplab.runs.folder import claim, claimed, locked, take, unless_used
from mlplab.runs.names import name_of
from mlplab.sweeps.folder import sweep_folder
from mlplab.sweeps.task import Task
from mlplab.words import front_door, printable, short_path, typed_in

# Where the jobs of foreign launchers go below the sweep's folder, by default (conf/study.yaml).
JOB_NAME = "${job_name:}"

OmegaConf.register_new_resolver("job_name", lambda *, _root_: job_name(_root_), replace=True)


def job_name(whole: DictConfig) -> str:
    """Name a job's folder by its content, from its config with Hydra's node."""
    own = OmegaConf.masked_copy(whole, [key for key in whole if key != "hydra"])
    return name_of(configs.resolved(own), dict(whole.hydra.runtime.choices), configs.conf_folder())


@contextmanager
def resume_hint(command: str, folder: Path) -> Iterator[None]:
    """Say how to go on with a run where it is interrupted after its first checkpoint."""
    try:
        yield
    except KeyboardInterrupt:
        if any((folder / "checkpoints").glob("*.ckpt")):
            print(f"continue with: {go_on(command, folder)}", file=sys.stderr)
        raise


def go_on(command: str, folder: Path) -> str:
    """Write the command that goes on with a run."""
    return f"{front_door()} {command} resume={shlex.quote(short_path(folder))}"


def run(command: str, config_name: str, study: str, words: Words, load: Callable[[], Callable]) -> list[Any]:
    """Run what a command line asks for: one job, a sweep, or something to show.

    Args:
        command: such as ``"train"``.
        config_name: its root config.
        study: ``module:function``, a function of a config and a folder.
        words: what was given after the command.
        load: imports the study.

    Returns:
        What the study returned for each job.

    Raises:
        InputError: an option is wrong; every value is looked at before anything runs or is made.
    """
    task = Task(
        study,
        partial(run_job, load, config_name),
        configs.resolved,
        partial(configs.check_plain, study=config_name),
        [front_door(), command, *words.argv],
    )
    if words.shows:
        show(config_name, task, words)
    elif words.sweeps:
        sweep(config_name, task, words)
    else:
        single(command, config_name, task, words)
    return task.results


def single(command: str, config_name: str, task: Task, words: Words) -> None:
    """Run one job in a folder of its own: by default a new one under the logs, or that of ``hydra.run.dir``."""
    composition = configs.compose_all(config_name, words.overrides, words.config_dir)
    if str(composition.hydra.mode).endswith("MULTIRUN"):  # as a config may say
        sweep(config_name, task, words)
        return
    logs = Path(composition.config.paths.logs)
    chosen = Path(str(composition.hydra.run.dir)).absolute()
    if chosen == logs:
        parent = logs / (composition.choices.get("experiment") or command)
        place = claimed(
            parent, name_of(OmegaConf.to_container(composition.config), composition.choices, configs.conf_folder())
        )
    else:
        place = take(chosen)
    with place as folder:
        print(f"{command}: {short_path(folder)}", file=sys.stderr, flush=True)  # importing torch takes seconds
        with resume_hint(command, folder):
            with of_known_mode(composition.hydra.mode):
                through_hydra(config_name, task, words, [f"hydra.run.dir={quoted(str(folder))}"])


def sweep(config_name: str, task: Task, words: Words) -> None:
    """Run the jobs of a sweep in one folder, that of ``hydra.sweep.dir`` where it is given."""
    from mlplab.config.sweep_values import check_sweep  # a single run loads nothing of sweeps

    overrides = list(words.overrides)
    first = check_sweep(config_name, overrides, words.config_dir)
    base, ours = first.config, first.choices.get("hydra/launcher") == "population"
    if base.get("name") is not None and ours:
        raise InputError(f"name must be null in a sweep, got {base.name!r}; a sweep's folder is named by sweep=NAME")
    subdir = OmegaConf.to_container(first.hydra.sweep, resolve=False)["subdir"]
    if ours and subdir != JOB_NAME:
        raise InputError(
            f"hydra.sweep.subdir is the lab's to choose, by which a sweep finds its jobs again, got {subdir}; "
            "leave it out, or take another launcher, such as hydra/launcher=basic"
        )
    chosen = [text for text in overrides if text.startswith("hydra.sweep.dir=")]
    if chosen and base.get("sweep") is not None:
        raise InputError(f"sweep={base.sweep} and {chosen[-1]} both name the sweep's folder; leave one of them out")
    if chosen:
        folder = Path(str(first.hydra.sweep.dir)).absolute()
    else:
        kind = "search" if first.choices.get("hydra/sweeper") == "search" else "sweep"
        kind = next((text.partition("=")[2] for text in overrides if text.startswith("experiment=")), kind)
        # Further trials of a search go to the folder of the first ones.
        naming = [text for text in overrides if not text.startswith(("search.trials=", "search.batch="))]
        folder = sweep_folder(Path(base.paths.logs), kind, base.get("sweep"), naming)
    more = [f"hydra.sweep.dir={quoted(str(folder))}"]
    if isinstance(base.get("figures"), str) and not any(text.startswith("figures=") for text in overrides):
        more.append("figures=map")  # In a large sweep the curves of each run are not drawn.
    words.flags.setdefault("--multirun", None)
    began = time.time()
    with locked(folder):  # before Hydra writes anything there
        if config_name == "train" and base.get("figures") != "none":
            write_playground(folder)  # the pages of its runs link to it
        try:
            with of_known_mode(first.hydra.mode):
                through_hydra(config_name, task, words, more)
        except KeyboardInterrupt:
            if folder.is_dir():
                name = f"sweep={folder.name}" if not chosen else chosen[-1]
                print(
                    f"the same command continues where this stopped, in {short_path(folder)} ({name})", file=sys.stderr
                )
            raise
    if not ours:
        place = short_path(folder)
        print(f"folder       {place}\nreport       {front_door()} report {shlex.quote(place)}", file=sys.stderr)
    if not task.results:  # the jobs of a foreign launcher, in processes of their own
        task.results += results_since(folder, began)


def results_since(folder: Path, began: float) -> list[Any]:
    """Read from its folder the results of the jobs that a foreign launcher ran elsewhere."""
    files = [path for path in sorted(folder.rglob("status.json")) if path.stat().st_mtime >= began - 1]
    return [read_json(path) for path in files]


def show(config_name: str, task: Task, words: Words) -> None:
    """Print help, the config and the like, as Hydra does; what is wrong is said in one line."""
    marks = ""
    if "--shell-completion" in words.flags:
        composed = [name for name, (root, _) in COMMANDS.items() if root is not None]
        script = completion_script(words.overrides, [*COMMANDS, "test"], composed)
        if script is not None:
            print(script)
            return
        os.environ["COMP_LINE"], marks, words.config_dir = read_query(os.environ["COMP_LINE"])
    elif words.overrides or words.shows not in ("--version", "--hydra-help"):
        composed = configs.compose_whole(config_name, words.overrides, words.config_dir)
        if "--cfg" in words.flags:
            if "--resolve" in words.flags:
                configs.resolved(OmegaConf.masked_copy(composed, [k for k in composed if k != "hydra"]), complete=False)
            package = words.flags.get("--package")
            if package is not None:
                of_hydra = words.flags["--cfg"] == "hydra"
                keys = [key for key in composed if words.flags["--cfg"] == "all" or (key == "hydra") == of_hydra]
                configs.expect_package(OmegaConf.masked_copy(composed, keys), package)
    said = io.StringIO()
    try:
        whole = resolved_whole(configs.unresolved) if "--resolve" in words.flags else nullcontext()
        with redirect_stdout(said), whole:
            through_hydra(config_name, task, words, [])
        print(with_marks(printable(said.getvalue().expandtabs()), marks), end="")
    except (InputError, HydraException):
        raise
    except Exception as error:  # whatever error Hydra's printing raises
        raise InputError(f"{words.shows} cannot show this: {' '.join(str(error).split())}") from error


def through_hydra(config_name: str, task: Task, words: Words, more: Sequence[str]) -> None:
    """Call hydra.main with the words of a command line.

    Args:
        config_name: the root config.
        task: what it is to call.
        words: flags and overrides.
        more: further overrides.

    Raises:
        InputError: what Hydra finds wrong, in one line.
        SystemExit: with 1, after Hydra has printed the traceback of a job that failed.
    """
    flags = [name if value is None else f"{name}={value}" for name, value in words.flags.items()]
    if words.config_dir is not None:
        flags.append(f"--config-dir={words.config_dir}")
    entry = hydra.main(version_base="1.3", config_path=str(configs.conf_folder()), config_name=config_name)(task)
    try:
        with command_line([*flags, "--", *words.overrides, *more]), raising_disk_errors():
            entry()
    except Ended as ended:
        if isinstance(ended.__cause__, HydraException):
            raise InputError(one_line(ended.__cause__, config_name, words.overrides)) from ended.__cause__
        raise ended.__cause__ from None
    except HydraException as error:
        raise InputError(one_line(error, config_name, words.overrides)) from error
    except SystemExit as stop:  # how Hydra ends after help
        if stop.code or signals.received():
            raise


@contextmanager
def command_line(words: Sequence[str]) -> Iterator[None]:
    """Let hydra.main, which has no argument for them, find these words as the process's."""
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        yield
    finally:
        sys.argv = before


def run_job(load: Callable[[], Callable], config_name: str, config: DictConfig) -> Any:
    """Run one job in the folder that Hydra has made for it; in the next free one where a run has that."""
    own = HydraConfig.get()
    with configs.at(own.runtime.cwd):  # relative paths start at the user's folder, whatever hydra.job.chdir says
        checked = configs.check(config, config_name)
    folder = Path(own.runtime.output_dir)
    if (folder / "config.yaml").exists():
        folder = claim(folder.parent, folder.name)
    hydras = {own.output_subdir, f"{own.job.name}.log"}
    of_a_sweep = str(own.mode).endswith("MULTIRUN") and {path.name for path in folder.iterdir()} <= hydras
    with typed_in(own.runtime.cwd), unless_used(folder) if of_a_sweep else nullcontext():
        return load()(checked, folder)
