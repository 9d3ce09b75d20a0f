"""The words after a command: overrides, Hydra's own flags, and the hand-over to hydra.main."""

import math
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlplab.errors import InputError
from mlplab.rules import near

if TYPE_CHECKING:
    from mlplab.config.composition import Composition

# Hydra's flags that the lab passes on, and whether a word follows each: "none", "one" or "maybe" one.
FLAGS = {
    "--multirun": "none", "--help": "none", "--cfg": "one", "--resolve": "none", "--package": "one",
    "--config-dir": "one", "--info": "maybe", "--hydra-help": "none", "--version": "none",
    "--shell-completion": "none",
}
SHORT = {"-m": "--multirun", "-h": "--help", "-c": "--cfg", "-p": "--package", "-i": "--info",
         "-sc": "--shell-completion", "-cd": "--config-dir"}
CHOICES = {"--cfg": ("job", "hydra", "all"),
           "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")}

# These show something and run nothing.
SHOWS = ("--help", "--hydra-help", "--cfg", "--info", "--shell-completion")
# What says how a sweep is run: each has one value for all jobs.
OF_THE_SWEEP = ("hydra", "launcher", "paths.", "resume.", "search.", "sweep")
ONE_EXPERIMENT = "an experiment that lists what to sweep must be run by itself, got {}"
# Composing so many takes an hour and some GB; more are a slip of the hand.
MOST_JOBS = 1_000_000


@dataclass
class Words:
    """What was given after a command.

    Attributes:
        overrides: the ``KEY=VALUE`` words, ``resume`` left out.
        flags: Hydra's flags, each with its value.
        config_dir: a further folder of configs.
        resume: the run folder to go on with.
    """

    overrides: list[str] = field(default_factory=list)
    flags: dict[str, str | None] = field(default_factory=dict)
    config_dir: str | None = None
    resume: str | None = None

    @property
    def for_hydra(self) -> bool:
        """Say whether hydra.main must take over, for a sweep, help or the like."""
        return bool(self.flags)


def split_words(argv: Sequence[str]) -> Words:
    """Sort the words of a command line, in any order.

    Raises:
        InputError: a flag is unknown, lacks its value, or is refused.
    """
    words, rest = Words(), list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            key, equals, value = word.partition("=")
            if equals and key.lstrip("+") in ("resume", "resume.folder"):
                words.resume = value.strip("'\"")
                if not words.resume:
                    raise InputError(f"{key} must be a run folder, got nothing")
            else:
                words.overrides.append(word)
            continue
        name, equals, value = word.partition("=")
        name = SHORT.get(name, name)
        if name not in FLAGS:
            raise InputError(_unknown_flag(name, word))
        needs = FLAGS[name]
        if needs == "none" and equals:
            raise InputError(f"{name} takes no value, got {word}")
        if needs != "none" and not equals:
            following = rest[0] if rest else "-"
            is_value = following in CHOICES[name] if name in CHOICES else not following.startswith("-")
            value = rest.pop(0) if is_value else ""
        if (needs == "one" and not value) or (value and name in CHOICES and value not in CHOICES[name]):
            allowed = f"one of {', '.join(CHOICES[name])}" if name in CHOICES else "a value"
            raise InputError(f"{name} must be followed by {allowed}, got {value or 'nothing'}")
        if name == "--config-dir":
            words.config_dir = value
        else:
            words.flags[name] = value or None
    if words.resume == "null":
        words.resume = None
    if words.resume is not None and words.flags:
        raise InputError(f"resume={words.resume} goes on with one run; leave out {' '.join(words.flags)}")
    return words


def _unknown_flag(name: str, word: str) -> str:
    if name == "--experimental-rerun":
        return "--experimental-rerun is refused: it runs whatever its file says; use reproduce RUN_FOLDER"
    return f"options must be KEY=VALUE or one of {', '.join(FLAGS)}, got {word}{near(name, FLAGS)}"


def sweep(
    command: str, config_name: str, words: Words, load: Callable[[], Callable], study: str = ""
) -> list[Any]:
    """Hand over to hydra.main: run the jobs of a sweep, or print help, the config and the like.

    Args:
        command: the command, for the help.
        config_name: its root config.
        words: what was given after it.
        load: imports the study, a function of a config and a folder.
        study: its name, as ``module:function``, for launchers that run jobs in other processes.

    Returns:
        What the study returned for each job.

    Raises:
        InputError: an option is wrong; of a sweep every value is looked at before anything runs.
    """
    import hydra
    from hydra.errors import HydraException

    from mlplab.cli import session
    from mlplab.config import composition as configs
    from mlplab.config.messages import one_line
    from mlplab.sweeps.folder import sweep_folder
    from mlplab.sweeps.lock import locked

    results: list[Any] = []

    def task(config: Any) -> Any:
        """Run one job of a sweep in a folder of its own."""
        from hydra.core.hydra_config import HydraConfig

        own = HydraConfig.get().copy()
        checked = configs.check(config, config_name)
        composition = configs.Composition(checked, own, list(own.overrides.task), dict(own.runtime.choices))
        results.append(session.start(load, composition, Path(own.sweep.dir)))
        return results[-1]

    # What the lab's own launcher asks of a task: jobs run elsewhere than through it.
    task.study, task.collect = study, results.append
    task.conclude = lambda result: results.__setitem__(slice(None), [result])  # a search's own exit code
    task.resolve, task.check = configs.resolved, partial(configs.check_plain, study=config_name)
    overrides, alone = list(words.overrides), nullcontext()
    if "--multirun" in words.flags:
        shows = [name for name in SHOWS if name in words.flags]
        if shows:
            raise InputError(f"{shows[0]} shows what there is for a single run; leave out -m and give one value a key")
        first = check_sweep(config_name, overrides, words.config_dir)
        if first.config.get("name") is not None and first.choices.get("hydra/launcher") == "population":
            raise InputError(
                f"name must be null in a sweep, got {first.config.name!r}; a sweep's folder is named by sweep=NAME"
            )
        base, searched = first.config, first.choices.get("hydra/sweeper") == "search"
        kind = "search" if searched else "sweep"
        kind = next((text.partition("=")[2] for text in overrides if text.startswith("experiment=")), kind)
        # More trials of a search belong into the folder of the first ones.
        telling = [text for text in overrides if not text.startswith(("search.trials=", "search.batch="))]
        folder = sweep_folder(Path(base.paths.logs), kind, base.get("sweep"), telling)
        quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
        overrides.append(f"hydra.sweep.dir='{quoted}'")
        alone = locked(folder)  # before Hydra writes anything there
        chosen = any(text.startswith("figures=") for text in overrides)
        if isinstance(base.get("figures"), str) and not chosen:
            overrides.append("figures=map")  # Of a thousand runs nobody looks at every curve.
    flags = [name if value is None else f"{name}={value}" for name, value in words.flags.items()]
    if words.config_dir is not None:
        flags.append(f"--config-dir={words.config_dir}")
    before = sys.argv
    sys.argv = [f"mlplab {command}", *flags, "--", *overrides]
    folder = str(configs.conf_folder())
    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints its errors itself, many lines each, and exits
    try:
        with alone:
            hydra.main(version_base="1.3", config_path=folder, config_name=config_name)(task)()
    except HydraException as error:
        raise InputError(one_line(error, config_name, words.overrides)) from error
    except SystemExit as stop:  # how Hydra ends after help
        if stop.code:
            raise
    finally:
        sys.argv = before
    return results


def check_sweep(
    config_name: str, overrides: Sequence[str], config_dir: str | Path | None = None
) -> "Composition":
    """Look at every value of a sweep by itself, before anything runs; of numbers at the least and greatest.

    Args:
        config_name: the root config.
        overrides: overrides of which some may name several values, as ``model.width=16,32``.
        config_dir: a further folder of configs.

    Returns:
        The first job, intervals left at what they are by default; what an experiment sweeps is looked at too.

    Raises:
        InputError: a value is wrong; the line names its key, which Hydra's own message does not.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import OmegaConf

    from mlplab.config.composition import compose_all, group_options, override
    from mlplab.config.messages import keys_of, not_key_value
    from mlplab.search.space import read_dimension

    def options_of(group: str) -> list[str]:
        return group_options(group, config_name, config_dir)

    single, sweeps = [], []
    for text in overrides:
        try:
            entry = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise InputError(not_key_value(text)) from error
        if not entry.is_sweep_override():
            single.append(text)
        elif entry.is_choice_sweep() or entry.is_range_sweep() or entry.is_interval_sweep():
            sweeps.append((text, entry))
    _expect_once(overrides, [text for text, _ in sweeps])
    discrete = [
        read_dimension(text, entry, group_options=options_of)
        for text, entry in sweeps
        if not entry.is_interval_sweep()
    ]
    firsts = {dimension.key: dimension.ends()[0] for dimension in discrete}
    first = compose_all(config_name, [*single, *firsts.values()], config_dir)
    sweeper = first.hydra.sweeper
    size = sweeper.get("max_batch_size")
    if size is not None and size < 1:
        raise InputError(f"hydra.sweeper.max_batch_size must be null, or an integer >= 1, got {size}")
    searched = first.choices.get("hydra/sweeper") == "search"
    keys = {_key(text) for text in overrides}
    params = sweeper.get("params") or {}
    experiments = next((text for text, _ in sweeps if _key(text) == "experiment"), None)
    if params and searched:
        where = next((text for text in overrides if _key(text) == "experiment"), "hydra.sweeper.params")
        raise InputError(
            f"{where} lists what to sweep, and a search takes what to search from the command line alone; leave it out"
        )
    if params and experiments:
        raise InputError(ONE_EXPERIMENT.format(experiments))
    listed = [f"{key}={value}" for key, value in params.items() if key not in keys]
    if listed:  # by an experiment: they come first, as Hydra has it
        return check_sweep(config_name, [*listed, *overrides], config_dir)
    base = first.config
    count = math.prod(dimension.count for dimension in discrete)
    if count > MOST_JOBS and not searched:
        raise InputError(
            f"a sweep must have at most {MOST_JOBS:,} jobs, got {count:,} "
            f"({' x '.join(f'{dimension.count:,} of {dimension.key}' for dimension in discrete)})"
        )
    known = keys_of(base)
    known_dimensions = {dimension.text: dimension for dimension in discrete}
    for text, entry in sweeps:
        default = OmegaConf.select(base, entry.key_or_group)
        dimension = known_dimensions.get(text) or read_dimension(text, entry, default)
        if entry.is_interval_sweep() and not searched:
            raise InputError(f"{dimension.key}: an interval needs hydra/sweeper=search, got {text}")
        others = single + [end for key, end in firsts.items() if key != dimension.key]
        for end in dimension.ends():
            if end in firsts.values():
                continue
            if dimension.key in known and ("." in dimension.key or not OmegaConf.is_config(default)):
                override(base, [end], config_name)  # no group, so there is no need to compose again
            else:
                composed = compose_all(config_name, [*others, end], config_dir)
                if dimension.key == "experiment" and composed.hydra.sweeper.get("params"):
                    raise InputError(ONE_EXPERIMENT.format(experiments))
    return first


def _key(text: str) -> str:
    """The key of an override, without what says that it is added or removed."""
    return text.partition("=")[0].lstrip("+~")


def _expect_once(overrides: Sequence[str], sweeps: Sequence[str]) -> None:
    """Refuse a sweep over what belongs to the sweep itself, and a key that is given again after it was swept."""
    keys = [_key(text) for text in overrides]
    if "hydra.sweep.dir" in keys:
        raise InputError("hydra.sweep.dir is the lab's to choose; give paths.logs=DIR and sweep=NAME in its place")
    for text in sweeps:
        key, values = _key(text), text.partition("=")[2]
        if key.startswith(OF_THE_SWEEP):
            several = f"; for several write {key}=[{values}]" if key == "search.objective" else ""
            raise InputError(f"{key} takes one value for a whole sweep, got {text}{several}")
        given = [other for other, name in zip(overrides, keys) if name == key]
        if given[-1] != text or given.count(text) > 1:  # of two values the later counts; a sweep is not to vanish
            raise InputError(f"{key} is swept and must be given once, got {' and '.join(given)}")
