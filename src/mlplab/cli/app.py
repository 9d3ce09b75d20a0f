"""The command line: the commands by name, their exit codes, and bad input answered in one line."""

import errno
import gc
import importlib
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from mlplab.cli.commands import COMMANDS, OWN_HELP, TAKES_RUNS
from mlplab.errors import UNWRITABLE, InputError, hides_interrupt
from mlplab.rules import near
from mlplab.runs import signals
from mlplab.words import is_option, print_error

# New objects after which Python looks for cycles among them; its own 700 are made, and kept, thousands of times by imports.
COLLECT_EVERY = 20_000
EXIT_OF_STATUS = {"finished": 0, "interrupted": 130}


def script(command: str) -> NoReturn:
    """Run the command of a file of scripts/ with the words of the process, and end it."""
    sys.exit(program([command, *sys.argv[1:]]))


def program(argv: Sequence[str] | None = None) -> int:
    """Run one command as all that its process does: a signal that comes after its end does not change its exit code.

    Args:
        argv: the command and its options; by default those of the process.

    Returns:
        The exit code: 0 done, 1 the run failed or diverged, 2 bad input, 130 interrupted by Ctrl-C, 143 by SIGTERM.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] in (["report"], ["runs"]):
        gc.disable()  # all that they make lives to the end: a twentieth of a report's time went into looking for cycles
    else:
        gc.set_threshold(COLLECT_EVERY)  # an eighth of a run of two epochs went into it while modules were imported
    with signals.interruptible(to_the_end=True):
        return _answering_interrupts(words)


def main(argv: Sequence[str]) -> int:
    """Run one command within a process that goes on after it, as :func:`program` does."""
    with signals.interruptible():
        return _answering_interrupts(list(argv))


def _answering_interrupts(argv: list[str]) -> int:
    """Run one command; an interrupt ends it, or comes too late for that."""
    try:
        try:
            return signals.answer(_answering_errors(argv))
        except Exception:
            signals.answer(1)
            raise
    except KeyboardInterrupt:
        print("mlplab: interrupted", file=sys.stderr)
        return signals.answer(signals.exit_code())


def _answering_errors(argv: list[str]) -> int:
    """Run one command, and answer in a line what ends it."""
    _open_streams()
    _find_own_classes()
    try:
        code = _raising_hidden_interrupts(argv)
        sys.stdout.flush()
        return code
    except InputError as error:
        print_error(str(error))
    except BrokenPipeError:  # the reader of a pipe, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PermissionError as error:
        print_error(f"cannot use {error.filename or 'a file'}: {error.strerror}")
    except OSError as error:
        if error.errno not in (*UNWRITABLE, errno.ENAMETOOLONG):
            raise
        print_error(f"cannot write {error.filename or 'the output'}: {error.strerror}")
    except SystemExit as stop:  # Hydra has printed the traceback of a job that failed
        return stop.code if isinstance(stop.code, int) else 1
    return 2


def _find_own_classes() -> None:
    """Let a class of a person's own in the current folder be named by ``_target_``; installed packages come first."""
    with suppress(OSError):
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())


def _open_streams() -> None:
    """Open the standard streams that the parent process has closed: else a file of the run would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a folder's name may hold characters that the terminal cannot show


def _raising_hidden_interrupts(argv: list[str]) -> int:
    """Dispatch; an interrupt that went under in somebody's cleaning up is one all the same.

    OmegaConf's may fail when it is interrupted, and Hydra makes an error of a config of that, or its exit code 1.
    """
    try:
        return _dispatch(argv)
    except (Exception, SystemExit) as error:
        if hides_interrupt(error) or signals.received():
            raise KeyboardInterrupt from error
        raise


def _dispatch(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        from mlplab.cli.help import overview

        print(overview())
        return 0 if argv else 2
    for word in argv:
        if not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            raise InputError(f"options must be UTF-8 text, got {word!r}; LC_ALL=C.UTF-8 says that yours are")
    try:
        os.getcwd()
    except FileNotFoundError:
        raise InputError("the current folder must exist, and it was removed; go to another one") from None
    command, words = argv[0], argv[1:]
    if command not in COMMANDS:
        raise InputError(f"the command must be one of {', '.join(COMMANDS)}, got {command!r}{near(command, COMMANDS)}")
    config_name, study = COMMANDS[command]
    if config_name is None:
        if command not in OWN_HELP and {"-h", "--help"} & set(words):
            from mlplab.cli.help import command_help

            print(command_help(command))
            return 0
        return exit_code(load_study(study)(words))
    return run(command, runs_first(words) if command in TAKES_RUNS else words)


def runs_first(words: list[str]) -> list[str]:
    """Turn the run folders before the first ``KEY=VALUE`` or flag into the option ``runs=[...]``.

    Raises:
        InputError: there is none, and no ``runs=`` either.
    """
    folders: list[str] = []
    while len(folders) < len(words) and not is_option(words[len(folders)]) and not words[len(folders)].startswith("-"):
        folders.append(words[len(folders)])
    rest = words[len(folders) :]
    if not folders and not any(word.startswith(("runs=", "-")) for word in rest):
        raise InputError("spiking must be given a run folder: spiking RUN_FOLDER [RUN_FOLDER ...] [KEY=VALUE ...]")
    from mlplab.cli.runs import logs_of
    from mlplab.runs.find import run_folder

    quoted = ",".join(
        "'" + str(run_folder(folder, logs_of(rest), "train").absolute()).replace("\\", "\\\\").replace("'", "\\'") + "'"
        for folder in folders
    )
    return [f"runs=[{quoted}]", *rest] if folders else rest


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
    from mlplab.cli.command_line import split_words

    config_name, study = COMMANDS[command]
    words = split_words(argv)
    if words.shows == "--help":
        from mlplab.cli.help import composed_help

        print(composed_help(command, config_name, words.overrides, words.config_dir))
        return 0
    from mlplab.cli import door

    def load() -> Callable[..., Any]:
        return load_study(study)

    if words.resume is not None:
        from mlplab.cli.resume import resume
        from mlplab.cli.runs import logs_of
        from mlplab.runs.find import run_folder

        folder = run_folder(words.resume, logs_of(words.overrides), config_name, key="resume")
        return exit_code(resume(command, load, config_name, str(folder), words.overrides))
    return max(map(exit_code, door.run(command, config_name, study, words, load)), default=0)


def _run_folder_words(command: str, words: list[str]) -> tuple[Path, list[str]]:
    if not words or words[0].startswith("-"):
        raise InputError(f"{command} must be given a run folder: {command} RUN_FOLDER [KEY=VALUE ...]")
    from mlplab.cli.runs import logs_of
    from mlplab.runs.find import run_folder

    return run_folder(words[0], logs_of(words[1:]), "train"), words[1:]


def evaluate(words: list[str]) -> object:
    """Evaluate a run again from its folder alone: ``evaluate RUN_FOLDER [data.noise=0.3 ...]``."""
    folder, overrides = _run_folder_words("evaluate", words)
    from mlplab.config import composition as configs

    configs.override(configs.load_recorded(folder / "config.yaml"), overrides)
    return load_study("mlplab.cli.evaluate:evaluate")(folder, overrides)


def reproduce(words: list[str]) -> object:
    """Train a run again in a new folder and compare: ``reproduce RUN_FOLDER [paths.logs=DIR]``."""
    folder, overrides = _run_folder_words("reproduce", words)
    from mlplab.config import composition as configs
    from mlplab.config.schema import PATH

    configs.load_recorded(folder / "config.yaml")
    logs = configs.logs_folder()
    for key, value in configs.parse_overrides(overrides):
        if key != "paths.logs":
            raise InputError(f"reproduce takes paths.logs=DIR alone, got {key}={value}")
        PATH.check(key, value)
        logs = configs.place(key, value)
    return load_study("mlplab.cli.reproduce:reproduce")(folder, logs)


if __name__ == "__main__":
    sys.exit(program())
