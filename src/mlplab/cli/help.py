"""What --help prints: of the program a line a command, of a command its use, examples and keys, of a group its files.

The keys are those of conf/ with their comments, read as text: nothing is composed, and nothing heavy is imported.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.words import conf_folder, folded, front_door

# Command -> what it does, its use, and examples with a word on each.
COMMANDS: dict[str, tuple[str, str, tuple[tuple[str, str], ...]]] = {
    "train": (
        "train a network, or with -m a sweep of many",
        "[GROUP=NAME ...] [KEY=VALUE ...] [-m] [--cfg job] [--config-dir DIR]",
        (
            ("model.width=64 model.depth=2 trainer.max_epochs=50 seed=1", ""),
            ("data=moons optimizer=adamw trainer=gpu", ""),
            ("experiment=near_bayes", "the setting that was selected for the spirals"),
            ("-m model.width=16,32,64 seed=0,1,2", "every combination; then: report last"),
            ("-m model.activation=relu,tanh seed=0,1,2,3,4", ""),
            ("-m experiment=noise", "noise against the limit"),
            ("-m hydra/sweeper=search 'optimizer.lr=interval(1e-4,1e-1)'", "Optuna chooses"),
            ("resume=logs/train/NAME", "continue after Ctrl-C or a crash, to the same bits"),
            ("resume=logs/train/NAME trainer.max_epochs=150", "a longer run of a finished one"),
            ("--help model=mlp", "what a group's file holds; --help model lists the group"),
            ("--cfg job", "show the config and run nothing"),
        ),
    ),
    "evaluate": (
        "measure a run again, or on other data",
        "RUN [data.KEY=VALUE ...] [paths.logs=DIR]",
        (
            ("logs/train/NAME", "the recorded metrics, once more"),
            ("last data.noise=0.3", "on noisier data"),
            ("1a2b3c4d data.t_min=1 data.t_max=1.5", "on longer arms: does it generalise?"),
        ),
    ),
    "limits": (
        "say what a run's training points allow at best",
        "[RUN ... | SWEEP] [data.KEY=VALUE ...] [networks=false] [sizes=[N,...]] [widths=[N,...]] [draws=N] [paths.logs=DIR]",
        (
            ("logs/train/NAME", "the run's regret: data, bias, architecture, optimisation"),
            ("last sizes=[25,100,400] widths=[16,64,256]", "pictures over the number of points, and over the width"),
            ("data.points_per_arm=100 data.seed=1", "other points, without a run"),
        ),
    ),
    "predict": (
        "write a run's predictions for the points of a file",
        "RUN data.path=FILE [output=FILE] [paths.logs=DIR]",
        (("logs/table/NAME data.path=new.csv", ""), ("last data.path=new.csv output=labels.csv", "")),
    ),
    "reproduce": (
        "train a run again in a new folder, and compare to the bit",
        "RUN [paths.logs=DIR]",
        (("logs/train/NAME", ""), ("last", "")),
    ),
    "report": (
        "tables, figures and a page of a sweep, or of several",
        "SWEEP [SWEEP ...] [paths.logs=DIR]",
        (("last", "the newest sweep"), ("logs/sweep/NAME", ""), ("logs/sweep/A logs/sweep/B", "both in one")),
    ),
    "runs": ("list runs, find the best, clean up", "", ()),
    "compare": ("say what differs between runs or sweeps, with tests", "", ()),
    "redraw": ("draw a run's figures again, such as for a paper", "", ()),
    "relu_approximation": (
        "approximate a function by ReLUs, up to the best possible",
        "[target=NAME] [method=NAME] [n=WIDTH] [KEY=VALUE ...] [-m]",
        (
            ("target=exp method=minimax n=17", ""),
            ('"n=[2,4,9,16,32]"', "errors against the width"),
            ("-m target=sin,exp n=9,64", "a sweep"),
        ),
    ),
    "lif": (
        "simulate a spiking neuron beside its exact solution",
        "[neuron=NAME] [input=NAME] [KEY=VALUE ...] [-m]",
        (
            ("neuron=explorer input=noise simulation.duration_ms=500", ""),
            ("-m neuron=explorer,relu input.current_ma=0.5,1,2 'figures=[]'", "a sweep"),
        ),
    ),
    "spiking": (
        "run trained networks as spiking neurons",
        "RUN [RUN ...] [KEY=VALUE ...]",
        (("logs/train/NAME", ""), ("logs/train/NAME neuron.tau_ref_ms=1", "")),
    ),
    "benchmark": (
        "measure the lab against other systems, in turn",
        "[train] [near_bayes] [speedrun] [lif] [relu] [sweep] [data] [repeats=5] [paths.logs=DIR]",
        (("train", "some minutes"), ("", "all of them")),
    ),
    "playground": (
        "write the page on which a network trains in a browser",
        "[RUN] [paths.logs=DIR]",
        (("", "prints the path of the page"), ("logs/train/NAME", "beginning with a run's settings")),
    ),
    "faults": (
        "try the lab's promises under faults",
        "[short|quick|long] [PROMISE ...] [seed=N] [shard=K/N] [paths.logs=DIR]",
        (("quick", "some minutes"), ("long kills shard=0/2", "one of them, at length, half of its trials")),
    ),
    "tensorboard": ("start TensorBoard over runs or a sweep", "", ()),
}
# Lines of a file in conf/ that --help leaves out: they are not options.
_HIDDEN = re.compile(r"(_target_|_partial_|defaults|hydra):")


def overview() -> str:
    """Give a line for each command."""
    door = front_door()
    rows = [f"  {name:<20}{words}" for name, (words, _, _) in COMMANDS.items()]
    if door == "scripts/lab":
        rows.append(f"  {'test':<20}run the test suite")
    return "\n".join(
        [
            f"usage: {door} COMMAND [OPTIONS]",
            "",
            *rows,
            "",
            f"{door} COMMAND --help says more; {door} train alone trains the default run.",
            f'Tab completion: eval "$({door} train -sc install=bash)"',
        ]
    )


def command_help(command: str) -> str:
    """Give the use and the examples of a command."""
    words, use, examples = COMMANDS[command]
    door = f"{front_door()} {command}"
    width = max((len(text) for text, _ in examples if len(text) <= 48), default=0)
    lines = [f"{command}: {words}", "", f"usage: {door} {use}".rstrip(), ""]
    lines += [f"  {door} {text:<{width}}  {comment}".rstrip() for text, comment in examples]
    if "RUN" in use:
        lines += ["", "A run is named by its folder, its name, the 8 digits at the end of it, last or best."]
    return folded("\n".join(lines))


def composed_help(command: str, root: str, words: Sequence[str], config_dir: str | None = None) -> str:
    """Give the help of a command that has a config: all of its keys, or those of the groups that are named.

    Args:
        command: such as ``"train"``.
        root: its root config.
        words: ``GROUP=NAME`` or ``GROUP`` for a file or the files of a group; none for everything.
        config_dir: a further folder of configs.

    Raises:
        InputError: there is no such group or file, or a file cannot be read.
    """
    folders = [conf_folder(), *([Path(config_dir)] if config_dir else [])]
    try:
        return _composed_help(command, root, words, folders)
    except RecursionError as error:
        from mlplab.config.broken_files import included_by_itself  # which loads OmegaConf

        ring = included_by_itself(folders, [word.rpartition("=")[2] for word in words])
        raise InputError(ring or f"a file of configs is nested too deeply, got {' '.join(words)}") from error


def _composed_help(command: str, root: str, words: Sequence[str], folders: Sequence[Path]) -> str:
    chosen = _choices(folders, root)
    plain = {key for name in ("study", root) for key in _content(_find(folders, name))}
    words = [word for word in words if re.split(r"[.=]", word.lstrip("+~"))[0] not in plain]  # they are in the whole
    if words:
        return folded("\n\n".join(_group_help(command, word, folders, chosen) for word in words))
    lines = [command_help(command), "", "GROUP=NAME takes a file of conf/GROUP; without it the one in [ ]:", ""]
    for group, default in chosen.items():
        names = [f"[{name}]" if name == default else name for name in _options(folders, group)]
        lines.append(_listed(group, names))
    lines += ["", "KEY=VALUE sets one key. The keys, with their defaults:", ""]
    for name in ("study", root):
        lines += _keys(_find(folders, name))
    for group, default in chosen.items():
        if default is not None:
            lines += ["", f"{group}:".ljust(23) + f"# {group}={default}"]
            lines += [f"  {line}" for line in _keys(_find(folders, f"{group}/{default}"), folders)]
    return folded("\n".join(lines))


def _group_help(command: str, word: str, folders: Sequence[Path], chosen: dict[str, str | None]) -> str:
    """Show one file of a group, comments included, or all that a group has."""
    group, _, name = word.lstrip("+").partition("=")
    if "." in group:  # a key is shown with the others of its file
        group, name = group.partition(".")[0], chosen.get(group.partition(".")[0]) or ""
    if group not in chosen:
        raise InputError(
            f"--help must be followed by GROUP or GROUP=NAME with one of {', '.join(chosen)}, got {word}{near(group, chosen)}"
        )
    options = _options(folders, group)
    if not name:
        width = max(map(len, options))
        lines = [f"{group}: one of"]
        lines += [
            f"  {option:<{width}}  {_opening(_find(folders, f'{group}/{option}'))}".rstrip() for option in options
        ]
        return "\n".join(
            [*lines, "", f"{front_door()} {command} --help {group}={chosen[group] or options[0]} shows its keys"]
        )
    if name not in options:
        raise InputError(f"{group} must be one of {', '.join(options)}, got {name!r}{near(name, options)}")
    return _whole(folders, group, name)


def _whole(folders: Sequence[Path], group: str, name: str) -> str:
    """Give a file as it is, and those that it builds on."""
    path = _find(folders, f"{group}/{name}")
    text = f"# conf/{group}/{name}.yaml\n{_text(path).rstrip()}"
    for parent in _parents(path):
        text += f"\n\n{_whole(folders, group, parent)}"
    return text


def _text(path: Path) -> str:
    """Read a file of configs."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from error


def _content(path: Path) -> dict[str, Any]:
    """Read what a file of configs says, by key."""
    text = _text(path)
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(path, error) from error
    return content if isinstance(content, dict) else {}


def _unreadable(path: Path, error: Exception) -> InputError:
    from mlplab.config.broken_files import unreadable  # which loads OmegaConf

    return InputError(unreadable(path, error))


def _parents(path: Path) -> list[str]:
    """List the files of its own group on which a file builds."""
    defaults = _content(path).get("defaults")
    return [e for e in defaults if isinstance(e, str) and e != "_self_"] if isinstance(defaults, list) else []


def _choices(folders: Sequence[Path], root: str) -> dict[str, str | None]:
    """Read a root config's groups, and the file that it takes of each."""
    defaults = _content(_find(folders, root)).get("defaults", [])
    pairs = [next(iter(entry.items())) for entry in defaults if isinstance(entry, dict)]
    return {group: name for group, name in pairs if not group.startswith("override ")}


def _options(folders: Sequence[Path], group: str) -> list[str]:
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _find(folders: Sequence[Path], name: str) -> Path:
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise InputError(f"{folders[0]} must hold {name}.yaml, and does not; MLPLAB_CONF names the folder of configs")


def _opening(path: Path) -> str:
    """Give the words in brackets of a file's first comment, which are about what it is."""
    for line in _text(path).splitlines():
        found = re.search(r"\((.*)\)\s*$", line)
        if line.startswith("#") and found:
            return found[1]
    return ""


def _keys(path: Path, folders: Sequence[Path] = ()) -> list[str]:
    """List the lines of a file that set keys, comments included; first those of the files it builds on."""
    group = path.parent.name
    lines = [
        line for parent in _parents(path) if folders for line in _keys(_find(folders, f"{group}/{parent}"), folders)
    ]
    hidden = False
    for line in _text(path).splitlines():
        if line[:1] not in ("", " ", "#"):
            hidden = bool(_HIDDEN.match(line))
        if line.strip() and not line.startswith("#") and not hidden:
            lines.append(line)
    return lines


def _listed(group: str, names: Sequence[str], width: int = 78) -> str:
    """Write a group and its options, wrapped."""
    rows = [f"  {group:<11}"]
    for name in names:
        if len(rows[-1]) + len(name) + 2 > width:
            rows.append(" " * 13)
        rows[-1] += f"  {name}"
    return "\n".join(rows)
