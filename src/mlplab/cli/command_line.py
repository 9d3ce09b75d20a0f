"""The words after a command: overrides, Hydra's own flags, and paths as a person types them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlplab.errors import InputError
from mlplab.rules import near
from mlplab.runs.manifest import secret_in

# Hydra's flags that the lab passes on, and whether a word follows each: "none", "one" or "maybe" one.
FLAGS = {
    "--multirun": "none",
    "--run": "none",
    "--help": "none",
    "--cfg": "one",
    "--resolve": "none",
    "--package": "one",
    "--config-dir": "one",
    "--info": "maybe",
    "--hydra-help": "none",
    "--version": "none",
    "--shell-completion": "none",
}
SHORT = {
    "-m": "--multirun",
    "-r": "--run",
    "-h": "--help",
    "-c": "--cfg",
    "-p": "--package",
    "-i": "--info",
    "-sc": "--shell-completion",
    "-cd": "--config-dir",
}
CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
# Flags that show something and run nothing; only one may be given.
SHOWS = ("--help", "--hydra-help", "--version", "--cfg", "--info", "--shell-completion")


@dataclass
class Words:
    """What was given after a command.

    Attributes:
        overrides: the ``KEY=VALUE`` words, ``resume`` left out.
        flags: Hydra's flags, each with its value.
        config_dir: a further folder of configs.
        resume: the run folder to resume.
        argv: all words, as they were given.
    """

    overrides: list[str] = field(default_factory=list)
    flags: dict[str, str | None] = field(default_factory=dict)
    config_dir: str | None = None
    resume: str | None = None
    argv: list[str] = field(default_factory=list)

    @property
    def shows(self) -> str | None:
        """The flag that shows something and runs nothing, if there is one."""
        return next((name for name in SHOWS if name in self.flags), None)

    @property
    def sweeps(self) -> bool:
        """Say whether several jobs are asked for."""
        return "--multirun" in self.flags or "hydra.mode=MULTIRUN" in self.overrides


def split_words(argv: Sequence[str]) -> Words:
    """Sort the words of a command line, in any order.

    Raises:
        InputError: a flag is unknown, lacks its value, or is refused; or a word gives a secret.
    """
    words, rest = Words(argv=list(argv)), list(argv)
    while rest:
        word = rest.pop(0)
        expect_no_secret(word)
        if not word.startswith("-"):
            key, equals, value = word.partition("=")
            if equals and key.lstrip("+") in ("resume", "resume.folder"):
                words.resume = value.strip("'\"")
                if not words.resume:
                    raise InputError(f"{key} must be a run folder, got nothing")
            else:
                from mlplab.hydra_names import readable

                words.overrides.append(readable(word))
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
        raise InputError(f"resume={words.resume} continues one run; leave out {' '.join(words.flags)}")
    _expect_one_purpose(words)
    return words


def _expect_one_purpose(words: Words) -> None:
    """Refuse flags that do not go together."""
    shows = [name for name in SHOWS if name in words.flags]
    if len(shows) > 1:
        raise InputError(f"give one of {' and '.join(shows)} at a time")
    if shows and words.sweeps:
        raise InputError(f"{shows[0]} shows what there is for a single run; leave out -m and give one value a key")
    if "--run" in words.flags and (shows or words.sweeps):
        raise InputError(f"--run runs one job; leave it out, or {shows[0] if shows else '-m'}")
    for name in ("--resolve", "--package"):
        if name in words.flags and shows not in (["--cfg"], ["--help"]):
            raise InputError(f"{name} goes with --cfg job, --cfg hydra or --cfg all; give one of them or leave it out")


def _unknown_flag(name: str, word: str) -> str:
    from mlplab.config.meanings import meant

    if name == "--experimental-rerun":
        return "--experimental-rerun is refused: it runs whatever its file says; use reproduce RUN_FOLDER"
    hint = meant(name.lstrip("-"), word.partition("=")[2]) or near(name, FLAGS)
    return f"options must be KEY=VALUE or one of {', '.join(FLAGS)}, got {word}{hint}"


def expect_no_secret(word: str) -> None:
    """Refuse a password, token or key: what a run is given is written to its folder, and none needs one.

    Raises:
        InputError: the word gives one; the line names its key and not the secret.
    """
    name = secret_in(word)
    if name is not None:
        raise InputError(
            f"{name} looks like a secret, and what a run is given is written to its folder: leave it out; "
            "code of your own may read it from the environment"
        )
