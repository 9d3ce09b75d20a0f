"""Configs: composed from conf/ and the command line, or read back from a run folder, and always checked."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from mlplab.config.messages import brief, keys_of, near_key, not_key_value, one_line, with_decode
from mlplab.config.recorded import read_recorded
from mlplab.config.schema import ROOTS, Object
from mlplab.config.validation import validate
from mlplab.errors import InputError
from mlplab.hydra_names import parsed, quoted, readable
from mlplab.options import long_precision
from mlplab.rules import mapping, near, optional, shown, text
from mlplab.runs.files import expect_file
from mlplab.runs.identity import CONTENTS, file_sha256
from mlplab.words import conf_folder, expanded, logs_folder

OmegaConf.register_new_resolver("logs_folder", lambda: str(logs_folder()), replace=True)


# What Hydra reads of its own node around a job.
OF_HYDRAS = ("mode", "verbose", "job.name", "run.dir", "sweep.dir", "output_subdir", "callbacks", "job.env_set")
# Where Hydra writes in a run's folder.
SUBDIR = optional(text(r"(?!\.\.?$)[^/\0]{1,60}", "a name of at most 60 letters without /"))


@dataclass(frozen=True)
class Composition:
    """A composed config and where it came from.

    Attributes:
        config: resolved and checked, without Hydra's node.
        hydra: Hydra's own node, resolved as far as it can be.
        overrides: the overrides of the task as they were given.
        choices: the option taken in every group, such as ``{"data": "spiral"}``.
    """

    config: DictConfig
    hydra: DictConfig
    overrides: list[str]
    choices: dict[str, str | None]


def _with_folder(overrides: Sequence[str], config_dir: str | Path | None) -> list[str]:
    """Add a further folder of configs to the overrides, as Hydra's search path."""
    if config_dir is None:
        return list(overrides)
    folder = Path(config_dir).resolve()
    if not folder.is_dir():
        raise InputError(f"--config-dir must be a folder of configs, got {str(config_dir)!r}")
    if any(text.lstrip("+").startswith("hydra.searchpath=") for text in overrides):
        raise InputError("--config-dir and hydra.searchpath say the same; give one of them")
    return [*overrides, f"hydra.searchpath=[{quoted(f'file://{folder}')}]"]


def compose(
    config_name: str = "train", overrides: Sequence[str] = (), config_dir: str | Path | None = None
) -> DictConfig:
    """Compose and check a study's config, as a script does.

    Args:
        config_name: the root config, such as ``"train"``.
        overrides: Hydra overrides, such as ``["model.width=64", "experiment=tutorial"]``.
        config_dir: a further folder of configs, searched after conf/.

    Returns:
        The config, resolved, as a struct :class:`DictConfig`.

    Raises:
        InputError: an override or a value is wrong; one line.
    """
    return compose_all(config_name, overrides, config_dir).config


def compose_all(
    config_name: str = "train", overrides: Sequence[str] = (), config_dir: str | Path | None = None
) -> Composition:
    """Do what :func:`compose` does and give Hydra's choices too."""
    _expect_known(config_name, overrides)
    whole = compose_whole(config_name, overrides, config_dir)
    with open_dict(whole):
        own = whole.pop("hydra")
    with _outside_jobs():
        checked = check(whole, config_name)
    with open_dict(whole):
        whole.hydra = own  # its keys may refer to each other by their whole names, as ${hydra.job.name}
    for key in OF_HYDRAS:
        try:
            with _outside_jobs():
                value = OmegaConf.select(whole, f"hydra.{key}")
                if OmegaConf.is_config(value):
                    OmegaConf.to_container(value, resolve=True)
        except OmegaConfBaseException as error:
            raise unresolved(error, f"hydra.{key}") from error
        if key == "verbose" and not (isinstance(value, bool | str) or OmegaConf.is_list(value)):
            raise InputError(f"hydra.verbose must be true, false, or the names of loggers, got {shown(value)}")
        if key == "output_subdir":
            SUBDIR.check("hydra.output_subdir", value)
        if key in ("callbacks", "job.env_set"):  # which an interpolation may have made a text of
            optional(mapping()).check(
                f"hydra.{key}", OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            )
    task = OmegaConf.to_container(own.overrides.task, resolve=False)  # the texts of the command line, ${...} left in
    return Composition(checked, own, task, dict(own.runtime.choices))


def _expect_known(study: str, overrides: Sequence[str]) -> None:
    """Refuse to add what a study does not have, such as an experiment of another one, whose keys refer to each other."""
    known = (*ROOTS.get(study, ()), "hydra", *(["experiment"] if study == "train" else []))
    for override in overrides:
        head = re.split(r"[./@=\[]", override.lstrip("+"))[0]
        if override.startswith("+") and head and study in ROOTS and head not in known:
            raise InputError(
                f"{head} is not an option, got {brief(override)}; {study} takes {', '.join(known)}{near(head, known)}"
            )


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Let Hydra compose from the config tree, also from within a study that Hydra itself has started."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_folder()), version_base="1.3", job_name="mlplab"):
            yield
    finally:
        GlobalHydra.instance().hydra = running


@contextmanager
def _outside_jobs() -> Iterator[None]:
    """Resolve without what Hydra knows of a job: it would be that of the last one that ran in this process."""
    known = HydraConfig.instance()
    before, known.cfg = known.cfg, None
    try:
        yield
    finally:
        known.cfg = before


def compose_whole(
    config_name: str = "train", overrides: Sequence[str] = (), config_dir: str | Path | None = None
) -> DictConfig:
    """Compose a study's config with Hydra's node, neither resolved nor checked.

    Raises:
        InputError: an override is wrong; one line.
    """
    for text in overrides:
        if text.lstrip("+~").startswith("=") or ("=" not in text and not text.startswith("~")) or not text.strip("+~"):
            raise InputError(not_key_value(text))
    overrides = _with_folder(overrides, config_dir)
    with _own_hydra():
        try:
            return hydra.compose(config_name, overrides, return_hydra_config=True)
        except Exception as error:  # Hydra raises many kinds, ValueError and OSError among them
            raise InputError(one_line(error, config_name, overrides)) from error


def expect_package(config: DictConfig, package: str) -> None:
    """Refuse a package, as in ``--package model``, that the config does not have."""
    known = keys_of(config)
    if package not in ("_global_", *known):
        heads = ", ".join(key for key in known if "." not in key)
        raise InputError(
            f"--package must be a key of the config, got {package}; it has {heads}{near_key(package, known)}"
        )


def group_options(group: str, config_name: str = "train", config_dir: str | Path | None = None) -> list[str]:
    """List the names in a config group, such as the files of conf/data/.

    Args:
        group: its name, such as ``"data"``; an unknown one holds nothing.
        config_name: the root config.
        config_dir: a further folder of configs.
    """
    with _own_hydra():
        loader = GlobalHydra.instance().config_loader()
        return loader.get_group_options(group, config_name=config_name, overrides=_with_folder([], config_dir))


def check(config: DictConfig, study: str = "train") -> DictConfig:
    """Resolve a config, make its log folder absolute, and check every value.

    Raises:
        InputError: one line.
    """
    try:
        checked = OmegaConf.create(check_plain(resolved(config), study))
    except InputError as error:
        raise with_decode(error, OmegaConf.to_container(config, resolve=False)) from error
    OmegaConf.set_struct(checked, True)
    return checked


def resolved(config: DictConfig, complete: bool = True) -> dict[str, Any]:
    """Give a config as plain values, without interpolations.

    Args:
        config: without Hydra's node.
        complete: refuse keys that are still to be given (``???``).

    Raises:
        InputError: one line.
    """
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=complete)
    except MissingMandatoryValue as error:
        raise InputError(f"{error.full_key} must be given, as {error.full_key}=VALUE") from error
    except OmegaConfBaseException as error:
        raise unresolved(error) from error


def unresolved(error: OmegaConfBaseException, key: str = "") -> InputError:
    """Say in one line that a value, by default the one that the error names, cannot be resolved, and why."""
    asked = error.__cause__ or error.__context__
    if isinstance(asked, InputError):  # said by what an interpolation asked
        return asked
    key, reason = key or getattr(error, "full_key", None) or "the config", str(error).splitlines()[0]
    if "HydraConfig was not set" in reason or "'hydra." in reason:
        reason = (
            "what Hydra knows of a job (${hydra:...}) may stand in keys of hydra alone, as ${hydra.job.name}; "
            "a run is named and repeated by its own keys: give the value itself, or another key, as ${seed}"
        )
    return InputError(f"{key} cannot be resolved: {reason}")


def check_plain(plain: dict[str, Any], study: str = "train") -> dict[str, Any]:
    """Check every value of a resolved config; in place, make its paths absolute, fingerprint its data file, and put
    Lightning's long word for a precision's short one.

    Raises:
        InputError: one line.
    """
    trainer = plain.get("trainer")
    if isinstance(trainer, dict) and "precision" in trainer:
        trainer["precision"] = long_precision(trainer["precision"])
    validate(plain, study)
    plain["paths"]["logs"] = str(place("paths.logs", plain["paths"]["logs"]))
    if plain.get("init_from") is not None:
        plain["init_from"] = str(_weights(plain["init_from"], plain["paths"]["logs"]))
    if "file_sha256" in plain.get("data", ()):  # a run is its config and the content of its file
        absolute_file(plain["data"])
    return plain


def absolute_file(data: dict[str, Any]) -> None:
    """Make the paths of a data file's config absolute and fill in the files' fingerprints where they are null, in place.

    Raises:
        InputError: a file cannot be read.
    """
    for key, content in CONTENTS.items():
        name, content = key.removeprefix("data."), content.removeprefix("data.")
        if data.get(name) is None:
            continue
        data[name] = str(place(key, data[name]))
        if data.get(content) is None:
            expect_file(data[name], key)
            try:
                data[content] = file_sha256(data[name])
            except OSError as error:
                reason = "names no file" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
                raise InputError(f"{key} must name a file that exists, got '{data[name]}': {reason}") from None


@contextmanager
def at(folder: str | Path) -> Iterator[None]:
    """Take relative paths as from a folder, for a while."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _weights(named: str, logs: str) -> Path:
    """Find what ``init_from`` names: a file that a page saved, or a run by its folder, name, digits, last or best."""
    path = place("init_from", named)
    if path.exists() or "/" in named or path.suffix == ".json":
        return path
    from mlplab.runs.find import run_folder  # here: a run without init_from needs nothing of it

    return run_folder(named, logs, "train", key="init_from").absolute()


def place(key: str, value: str) -> Path:
    """Turn what a key gives as a path, perhaps relative or beginning with ~, into an absolute one.

    Raises:
        InputError: there is no such home folder, or the current folder is gone.
    """
    try:
        return expanded(value, key).absolute()
    except OSError as error:
        raise InputError(f"{key} must be a path that can be found, got {value!r}: {error}") from error


def load_recorded(path: str | Path, study: str = "train") -> DictConfig:
    """Read the config of an earlier run back, trusting nothing in it.

    Args:
        path: the file ``config.yaml`` of a run folder.
        study: what the run was.

    Raises:
        InputError: the file is damaged, names what is no class of the lab's or of those trusted, or holds a
            wrong value.
    """
    config = read_recorded(Path(path))
    if OmegaConf.select(config, "data.copy") is True:  # then its files lie in the run's own folder
        for key in CONTENTS:
            if OmegaConf.select(config, key) is not None:
                OmegaConf.update(config, key, str(Path(path).absolute().parent / OmegaConf.select(config, key)))
    try:
        return check(_completed(config, study), study)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _completed(config: DictConfig, study: str) -> DictConfig:
    """Fill in the keys that came into being after a config was recorded, with what they are by default."""
    root = ROOTS.get(study, {})
    groups = [""] + [key for key, table in root.items() if isinstance(table, dict)]
    missing = [
        f"{group}.{key}".lstrip(".")
        for group in groups
        for key in (root[group] if group else root)
        if OmegaConf.select(config, group) is not None and key not in OmegaConf.select(config, group)
    ]
    if missing and study in ROOTS:
        default = compose(study)
        for key in missing:
            if not isinstance(root.get(key), Object):  # a network or data set is never guessed
                OmegaConf.update(config, key, OmegaConf.select(default, key), force_add=True)
    return config


def override(config: DictConfig, overrides: Sequence[str], study: str = "train") -> DictConfig:
    """Change values of a config that has been composed or read back.

    Args:
        config: as :func:`compose` or :func:`load_recorded` gives it; left as it is.
        overrides: ``KEY=VALUE`` for keys that the config has; ``data=NAME`` takes another file of conf/data.

    Returns:
        A new config, checked.

    Raises:
        InputError: an override is not ``KEY=VALUE``, its key is unknown, or its value is wrong.
    """
    changed = OmegaConf.create(OmegaConf.to_container(config))
    pairs = parse_overrides(overrides)
    keys = [key for key, _ in pairs]
    for key, content in CONTENTS.items():
        if key in keys and content not in keys and content.removeprefix("data.") in changed.get("data", ()):
            OmegaConf.update(changed, content, None)  # of the file before
    for key, value in pairs:
        if key in ("data", "model", "loss", "optimizer", "schedule", "trainer") and isinstance(value, str):
            changed[key] = compose(study, [f"{key}={value}"])[key]
            continue
        known = keys_of(changed)
        if key not in known:
            raise InputError(f"{key} is not an option, got {key}={shown(value)}{near_key(key, known)}")
        OmegaConf.update(changed, key, value, merge=False)
    return check(changed, study)


def parse_overrides(overrides: Sequence[str]) -> list[tuple[str, Any]]:
    """Split ``KEY=VALUE`` texts by Hydra's grammar.

    Raises:
        InputError: one is no plain ``KEY=VALUE``.
    """
    pairs = []
    for text in overrides:
        entry = parsed(readable(text))
        if entry is None:
            raise InputError(not_key_value(text))
        if entry.is_sweep_override() or entry.is_delete() or entry.is_add() or entry.package:
            raise InputError(f"{text!r} must be KEY=VALUE here, without + or ~ and with one value")
        pairs.append((entry.key_or_group, entry.value()))
    return pairs
