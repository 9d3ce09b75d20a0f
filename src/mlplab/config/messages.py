"""Hydra's many errors, each as one line: the key, what is allowed, what was given, a near match."""

import errno
import re
from collections.abc import Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf

from mlplab.config.broken_files import broken_file
from mlplab.config.meanings import meant
from mlplab.config.validation import allows
from mlplab.errors import InputError
from mlplab.hydra_names import (
    AMBIGUOUS,
    CHOSEN_TWICE,
    FULL_KEY,
    GROUP_VALUE,
    IS_THERE,
    NEEDS_MULTIRUN,
    OTHER_VALUE,
    UNKNOWN_KEY,
    parsed,
)
from mlplab.rules import near


def one_line(error: Exception, config_name: str, overrides: Sequence[str]) -> str:
    """Say in one line why a config could not be composed.

    Args:
        error: what ``hydra.compose`` raised.
        config_name: the root config.
        overrides: what was given on the command line.
    """
    message = str(error)

    def says(pattern: str) -> re.Match | None:
        return re.match(pattern, message, re.DOTALL)

    if broken := broken_file(error, overrides):
        return broken
    if isinstance(error, OverrideParseException):
        return not_key_value(error.override if error.override in overrides else _first_unreadable(overrides))
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if found := says(AMBIGUOUS):
        key, _, values = found["text"].partition("=")
        listed = parsed(f"{key}=[{values}]")
        takes = listed is not None and allows(config_name, key, listed.value())
        return f"{key} takes one value here, got {found['text']}; add -m for a sweep" + (
            f", or write {key}=[{values}]" if takes else ""
        )
    if isinstance(error, ConfigCompositionException) and (found := says(UNKNOWN_KEY)):
        return _unknown_key(found["key"], error, config_name, overrides)
    if found := says(IS_THERE):
        return f"{found['key']} is there already; write {found['key']}=VALUE without +"
    if isinstance(error, RecursionError):
        text = max(overrides, key=lambda text: text.count("[") + text.count("{"))
        return f"{brief(text.partition('=')[0])} is nested too deeply, got {brief(text)}"
    if says(GROUP_VALUE) or isinstance(error, TypeError | AttributeError | AssertionError):
        return _group_without_name(overrides)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"the name of an option is too long, got {brief(max(overrides, key=len))}"
    if found := says(NEEDS_MULTIRUN):
        return f"{found['key']} takes one value here, got {found['text']}; add -m for a sweep"
    if found := says(CHOSEN_TWICE):
        return f"{found['key'] or found['other']} has a choice already; write {found['key'] or found['other']}=NAME without +"
    cause = error.__cause__
    details = str(cause).splitlines()[0] if cause is not None and str(cause) else ""
    first = message.splitlines()[0] if message else type(error).__name__
    return " ".join(f"{first.partition(', set env var HYDRA_FULL_ERROR')[0]} {details}".split())


def not_key_value(text: str) -> str:
    """Complain about a word that is no override."""
    if "=" not in text or text.lstrip("+~").startswith("="):
        return f"options must be KEY=VALUE, got {brief(text)!r}{meant(text)}"
    key = text.partition("=")[0]
    return f"{brief(key)} must be a value that Hydra can read (quote special characters), got {brief(text)!r}"


def brief(text: str, most: int = 200) -> str:
    """Shorten what was typed for an error: the key and the beginning of its value say enough."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _first_unreadable(overrides: list[str]) -> str:
    for text in overrides:
        try:
            OverridesParser.create().parse_override(text)
        except OverrideParseException:
            return text
    return " ".join(overrides)


def _missing_option(error: MissingConfigException) -> str:
    group, _, option = (error.missing_cfg_file or "").rpartition("/")
    if not group or not error.options:
        return f"{str(error).splitlines()[0]}"
    return f"{group} must be one of {', '.join(error.options)}, got {option!r}{near(option, error.options)}"


def _group_without_name(overrides: list[str]) -> str:
    for text in overrides:
        entry = OverridesParser.create().parse_override(text)
        value = entry.value()
        names = value if isinstance(value, list) else [value]
        if _may_be_group(entry.key_or_group) and not all(isinstance(name, str) for name in names):
            return f"{entry.key_or_group or 'a group'} must be the name of an option, got {text!r}"
    listed = next((text for text in overrides if text.lstrip("+").startswith("hydra.sweeper.params")), None)
    if listed:
        return f"hydra.sweeper.params is for files; sweep the keys themselves, as in -m seed=0,1, got {brief(listed)!r}"
    return f"a group must be given the name of an option, got {' '.join(overrides)!r}"


def _may_be_group(key: str) -> bool:
    """Say whether a key is a config group, as far as Hydra can tell now."""
    running = GlobalHydra.instance().hydra
    return "." not in key and (running is None or bool(running.config_loader.get_group_options(key)))


def _unknown_key(key: str, error: Exception, config_name: str, overrides: list[str]) -> str:
    # A dict given for a known key: the unknown key is inside it.
    inner = re.search(FULL_KEY, str(error.__cause__))
    full = inner["key"] if inner and inner["key"].startswith(key) else key
    given = next((text for text in overrides if text.lstrip("+~").startswith(key)), key)
    known = _known_keys(config_name, overrides)
    if full in known and given.startswith("~"):
        if re.match(OTHER_VALUE, str(error)):
            return f"{full} has another value, got {given}; write ~{full}, which takes it out whatever it is"
        return f"{full} is null, and Hydra takes out only what has a value, got {given}; leave that out"
    parent = full.rpartition(".")[0]
    siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == parent]
    siblings = [name for name in siblings if not name.startswith("_")]
    takes = f"; {parent or 'the config'} takes {', '.join(siblings)}" if siblings else ""
    return f"{full} is not an option, got {given}{takes}{near_key(full, known)}"


def _known_keys(config_name: str, overrides: list[str]) -> list[str]:
    """Compose again with the choices of groups alone, to see what keys there would have been."""
    import hydra

    groups = [text for text in overrides if re.match(r"[a-z_/]+=[A-Za-z0-9_]+$|hydra\.searchpath=", text)]
    for kept in (groups, []):
        try:
            return keys_of(hydra.compose(config_name, kept))
        except Exception:  # a second fault among them; the root alone still gives most keys
            continue
    return []


def keys_of(config: Any, prefix: str = "") -> list[str]:
    """List the dotted keys of a config, groups before what they hold."""
    plain = OmegaConf.to_container(config) if OmegaConf.is_config(config) else config
    keys = []
    for key, value in plain.items() if isinstance(plain, dict) else ():
        keys += [f"{prefix}{key}", *keys_of(value, f"{prefix}{key}.")]
    return keys


def near_key(key: str, known: Sequence[str]) -> str:
    """Give "; did you mean KEY?" for the nearest known key: a sibling first, then by its meaning or last name."""
    parent, _, leaf = key.rpartition(".")
    siblings = [name for name in known if name.rpartition(".")[0] == parent]
    found = near(leaf, [name.rpartition(".")[2] for name in siblings], f"{parent}." if parent else "")
    if found and parent:
        return found
    by_meaning = meant(key, known=known)
    if found or by_meaning:
        return by_meaning or found
    same = [name for name in known if name.rpartition(".")[2] == leaf]
    if same:
        return f"; did you mean {same[0]}?"
    leaves = {name.rpartition(".")[2]: name for name in known}
    guess = re.search(r"did you mean (\S+)\?", near(leaf, leaves))
    return f"; did you mean {leaves[guess[1]]}?" if guess else near(key, known)


def with_decode(error: InputError, unresolved: Any) -> InputError:
    """Add to what is wrong with a value from the environment that such a one is text, and how it is read as a number."""
    node = unresolved
    for name in str(error).partition(" must ")[0].split("."):
        node = node.get(name) if isinstance(node, dict) else None
    if not (isinstance(node, str) and node.startswith("${oc.env:")):
        return error
    return InputError(f"{error}; {node} is text: ${{oc.decode:{node}}} reads a number or a list from it")
