"""The command line: compose and check, claim the run folder, call the study, and answer errors in one line."""

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlplab.constraints import near
from mlplab.errors import InputError

# Command -> (root config, study). Composed studies are called as study(config, folder); the others, without
# a config of their own, as study(words) with what follows on the command line. Imported late.
COMMANDS: dict[str, tuple[str | None, str]] = {
    "train": ("train", "mlplab.studies.train:train"),
    "evaluate": (None, "mlplab.app:evaluate"),
    "reproduce": (None, "mlplab.app:reproduce"),
    "benchmark": (None, "mlplab.studies.benchmark:benchmark"),
    "tensorboard": (None, "mlplab.app:tensorboard"),
}

# What only hydra.main does: sweeps, help, showing the config, shell completion.
HYDRA_FLAGS = ("-m", "--multirun", "--help", "-h", "--hydra-help", "--cfg", "-c", "--info", "-i", "--version",
               "--shell-completion", "-sc", "--resolve", "--package", "-p")
EXIT_OF_STATUS = {"finished": 0, "interrupted": 130}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the command and its options; by default those of the process.

    Returns:
        The exit code: 0 done, 1 the run failed or diverged, 2 bad input, 130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(argv)
    except InputError as error:
        print(f"mlplab: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mlplab: interrupted", file=sys.stderr)
        return 130


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: mlplab COMMAND [OPTIONS]\ncommands: {', '.join(COMMANDS)}\nmlplab train --help says more")
        return 0 if argv else 2
    command, words = argv[0], argv[1:]
    if command not in COMMANDS:
        raise InputError(
            f"the command must be one of {', '.join(COMMANDS)}, got {command!r}{near(command, COMMANDS)}"
        )
    config_name, study = COMMANDS[command]
    if config_name is None:
        return exit_code(load_study(study)(words))
    return run(command, words)


def load_study(name: str) -> Callable[..., Any]:
    """Import a study given as ``module:function``."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def exit_code(result: object) -> int:
    """Turn what a study returned into an exit code: its own integer, or by the status in its result."""
    if isinstance(result, int):
        return int(result)
    status = result.get("status", "finished") if isinstance(result, dict) else "finished"
    return EXIT_OF_STATUS.get(status, 1)


def run(command: str, argv: Sequence[str]) -> int:
    """Compose, check, claim a folder and call the study of a composed command.

    Args:
        command: a key of ``COMMANDS`` that has a root config.
        argv: overrides and Hydra's flags.

    Raises:
        InputError: an option is wrong; no folder is left behind.
    """
    from mlplab import config as configs

    config_name, study = COMMANDS[command]
    flags = [word for word in argv if word.startswith("-") and "=" not in word.split("=")[0][1:]]
    if "--experimental-rerun" in {flag.partition("=")[0] for flag in flags}:
        raise InputError("--experimental-rerun is refused: it would run whatever its file says; use reproduce")
    if any(flag.partition("=")[0] in HYDRA_FLAGS for flag in flags):
        return _hydra_main(command, argv)
    overrides, config_dir = _split(argv)
    resume = [word for word in overrides if word.partition("=")[0].lstrip("+") == "resume"]
    if resume and resume[-1].partition("=")[2] not in ("", "null"):
        return _resume(command, resume[-1].partition("=")[2], [w for w in overrides if w not in resume])
    composition = configs.compose_all(config_name, overrides, config_dir)
    parent = Path(composition.config.paths.logs) / (composition.choices.get("experiment") or command)
    return exit_code(start(study, composition, parent))


def _split(argv: Sequence[str]) -> tuple[list[str], str | None]:
    """Separate the overrides from ``--config-dir DIR``; refuse other flags."""
    overrides, config_dir, words = [], None, iter(argv)
    for word in words:
        name, _, value = word.partition("=")
        if name in ("--config-dir", "-cd"):
            config_dir = value or next(words, "")
            if not config_dir:
                raise InputError("--config-dir must be followed by a folder of configs, got nothing")
        elif word.startswith("-"):
            known = (*HYDRA_FLAGS, "--config-dir")
            raise InputError(f"options must be KEY=VALUE, or one of {', '.join(known)}, got {word}{near(word, known)}")
        else:
            overrides.append(word)
    return overrides, config_dir


def start(study: str, composition, parent: Path) -> Any:
    """Claim a folder, record what was composed in its .hydra/, and call the study.

    A folder in which nothing was trained is removed again where the study itself finds bad input.
    """
    from mlplab.runs.folder import claim

    folder = claim(parent, run_name(composition.config, composition.choices))
    try:
        record(folder, composition)
        return load_study(study)(composition.config, folder)
    except InputError:
        if not any((folder / "checkpoints").glob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def run_name(config, choices: dict[str, str | None]) -> str:
    """Name a run by its content: the data, the network, the seed, and 8 digits of the config's digest."""
    from omegaconf import OmegaConf

    from mlplab.runs.fingerprint import config_digest

    if config.name is not None:
        return config.name
    plain = OmegaConf.to_container(config)
    parts = [str(choices[group]) for group in ("data", "target", "neuron") if choices.get(group)]
    model = plain.get("model", {})
    if "hidden" in model:
        widths = model["hidden"] if model["hidden"] is not None else [model["width"]] * model["depth"]
        shape = "x".join(map(str, widths)) or "linear"
        parts.append(shape if len(shape) <= 40 else f"depth{len(widths)}")
    elif choices.get("model"):
        parts.append(str(choices["model"]))
    return "-".join([*parts, f"seed{plain['seed']}", config_digest(plain)[:8]])


def record(folder: Path, composition) -> None:
    """Write .hydra/{config,overrides,hydra}.yaml, as Hydra does."""
    from omegaconf import OmegaConf, open_dict, read_write

    target = folder / ".hydra"
    target.mkdir()
    with read_write(composition.hydra), open_dict(composition.hydra):
        composition.hydra.runtime.output_dir = str(folder)
    OmegaConf.save(composition.config, target / "config.yaml")
    OmegaConf.save(OmegaConf.create({"hydra": composition.hydra}), target / "hydra.yaml")
    OmegaConf.save(OmegaConf.create(composition.overrides), target / "overrides.yaml")


def _resume(command: str, path: str, overrides: list[str]) -> int:
    """Go on in a run folder with the config recorded there."""
    from omegaconf import OmegaConf

    from mlplab import config as configs
    from mlplab.runs.folder import open_run
    from mlplab.runs.status import is_alive, read_status

    config_name, study = COMMANDS[command]
    folder = open_run(path)
    config = configs.load_recorded(folder.config, config_name)
    _expect_same(folder.path, config, overrides)
    if folder.status.is_file():
        status = read_status(folder.path)
        if is_alive(status):
            raise InputError(f"resume={path} is still running, as process {status['pid']} on {status['host']}")
    resumed = OmegaConf.merge(config, {"resume": str(folder.path.resolve())})
    return exit_code(load_study(study)(resumed, folder.path.resolve()))


def _expect_same(folder: Path, config, overrides: list[str]) -> None:
    """Refuse overrides that differ from what the run folder recorded."""
    from omegaconf import OmegaConf

    from mlplab.config import keys_of, near_key, parse_overrides

    hydra_file = folder / ".hydra" / "hydra.yaml"
    choices = OmegaConf.load(hydra_file).hydra.runtime.choices if hydra_file.is_file() else {}
    known = keys_of(config)
    for key, value in parse_overrides(overrides):
        if key in choices and not isinstance(value, dict):
            recorded = choices[key]
        elif key in known:
            recorded = OmegaConf.to_container(OmegaConf.create({"value": OmegaConf.select(config, key)}))["value"]
        else:
            raise InputError(f"{key} is not an option, got {key}={value}{near_key(key, known)}")
        if key == "paths.logs":
            continue
        if recorded != value:
            raise InputError(
                f"{key} is {recorded} in the run that is resumed, got {value}; leave it out, or start a new run"
            )


def _hydra_main(command: str, argv: Sequence[str]) -> int:
    """Hand over to hydra.main, for sweeps, help and the like."""
    import hydra

    from mlplab import config as configs
    from mlplab.complaints import one_line

    config_name, study = COMMANDS[command]
    codes = []

    def task(config) -> object:
        """Run one job of a sweep in a folder of its own."""
        from hydra.core.hydra_config import HydraConfig

        own = HydraConfig.get().copy()
        checked = configs.check(config, config_name)
        composition = configs.Composition(checked, own, list(own.overrides.task), dict(own.runtime.choices))
        result = start(study, composition, Path(own.sweep.dir))
        codes.append(exit_code(result))
        return result

    os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints errors itself, many lines each, and exits
    before = sys.argv
    sys.argv = [f"mlplab {command}", *argv]
    try:
        hydra.main(version_base="1.3", config_path=str(configs.conf_folder()), config_name=config_name)(task)()
    except InputError:
        raise
    except (hydra.errors.HydraException, ValueError) as error:
        raise InputError(one_line(error, config_name, [word for word in argv if "=" in word])) from error
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return max(codes, default=0)


def _run_folder_words(command: str, words: list[str]) -> tuple[Path, list[str]]:
    if not words or words[0].startswith("-"):
        raise InputError(f"{command} must be given a run folder: {command} RUN_FOLDER [KEY=VALUE ...]")
    from mlplab.runs.folder import open_run

    return open_run(words[0]).path, words[1:]


def evaluate(words: list[str]) -> object:
    """Evaluate a run again from its folder alone: ``evaluate RUN_FOLDER [data.noise=0.3 ...]``."""
    folder, overrides = _run_folder_words("evaluate", words)
    from mlplab import config as configs

    configs.override(configs.load_recorded(folder / "config.yaml"), overrides)
    return load_study("mlplab.studies.evaluate:evaluate")(folder, overrides)


def reproduce(words: list[str]) -> object:
    """Train a run again in a new folder and compare: ``reproduce RUN_FOLDER [paths.logs=DIR]``."""
    folder, overrides = _run_folder_words("reproduce", words)
    from mlplab import config as configs

    configs.load_recorded(folder / "config.yaml")
    logs = configs.logs_folder()
    for key, value in configs.parse_overrides(overrides):
        if key != "paths.logs":
            raise InputError(f"reproduce takes paths.logs=DIR alone, got {key}={value}")
        logs = Path(str(value)).expanduser().absolute()
    return load_study("mlplab.studies.reproduce:reproduce")(folder, logs)


def tensorboard(words: list[str]) -> int:
    """Start TensorBoard over a folder, by default that of all runs, with the flags that keep every image."""
    from mlplab import config as configs

    folder = words.pop(0) if words and not words[0].startswith("-") else str(configs.logs_folder())
    if not Path(folder).is_dir():
        raise InputError(f"tensorboard must be given a folder that exists, got {folder!r}")
    samples = "--samples_per_plugin=images=500,scalars=10000,text=100"
    program = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, samples, *words]
    os.execv(sys.executable, program)


if __name__ == "__main__":
    sys.exit(main())
