"""Hydra's many errors, each as one line: the key, what is allowed, what was given, a near match."""

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig

from mlplab.rules import near


def one_line(error: Exception, config_name: str, overrides: list[str]) -> str:
    """Say in one line why a config could not be composed.

    Args:
        error: what ``hydra.compose`` raised.
        config_name: the root config.
        overrides: what was given on the command line.
    """
    message = str(error)
    if isinstance(error, OverrideParseException):
        return not_key_value(error.override if error.override in overrides else _first_unreadable(overrides))
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    if message.startswith("Ambiguous value for argument"):
        given = message.split("'")[1]
        key, _, values = given.partition("=")
        return f"{key} takes one value here, got {given}; add -m for a sweep, or write {key}=[{values}]"
    unknown = re.match(r"Could not (?:override|delete)[^']*'([^']+)'", message)
    if isinstance(error, ConfigCompositionException) and unknown:
        return _unknown_key(unknown[1], error, config_name, overrides)
    there = re.match(r"Could not append to config\. An item is already at '([^']+)'", message)
    if there:
        return f"{there[1]} is there already; write {there[1]}=VALUE without +"
    if "Config group override must be" in message:
        return _group_without_name(overrides)
    sweep = re.match(r"Sweep parameters '(([^=]*)=.*)' requires --multirun", message)
    if sweep:
        return f"{sweep[2]} takes one value here, got {sweep[1]}; add -m for a sweep"
    twice = re.match(r"(\S+) appears more than once in the final defaults list", message) or re.match(
        r"Multiple values for (\S+?)\.? ", message
    )
    if twice:
        return f"{twice[1]} has a choice already; write {twice[1]}=NAME without +"
    cause = error.__cause__
    details = str(cause).splitlines()[0] if cause is not None and str(cause) else ""
    return " ".join(f"{message.splitlines()[0] if message else type(error).__name__} {details}".split())


def not_key_value(text: str) -> str:
    """Complain about a word that is no override."""
    if "=" not in text or text.startswith("="):
        return f"options must be KEY=VALUE, got {text!r}"
    key = text.partition("=")[0]
    return f"{key} must be a value that Hydra can read (quote special characters), got {text!r}"


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
        if "." not in entry.key_or_group and not isinstance(entry.value(), str | list):
            return f"{entry.key_or_group or 'a group'} must be the name of an option, got {text!r}"
    return f"a group must be given the name of an option, got {' '.join(overrides)!r}"


def _unknown_key(key: str, error: Exception, config_name: str, overrides: list[str]) -> str:
    # A dict given for a known key: the culprit is inside it.
    inner = re.search(r"full_key: (\S+)", str(error.__cause__))
    full = inner[1] if inner and inner[1].startswith(key) else key
    given = next((text for text in overrides if text.lstrip("+~").startswith(key)), key)
    known = _known_keys(config_name, overrides)
    parent = full.rpartition(".")[0]
    siblings = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == parent]
    siblings = [name for name in siblings if not name.startswith("_")]
    takes = f"; {parent or 'the config'} takes {', '.join(siblings)}" if siblings else ""
    return f"{full} is not an option, got {given}{takes}{near_key(full, known)}"


def _known_keys(config_name: str, overrides: list[str]) -> list[str]:
    """Compose again with the choices of groups alone, to see what keys there would have been."""
    import hydra

    groups = [text for text in overrides if re.match(r"[a-z_/]+=[A-Za-z0-9_]+$", text)]
    for kept in (groups, []):
        try:
            return keys_of(hydra.compose(config_name, kept))
        except Exception:  # a second fault among them; the root alone still gives most keys
            continue
    return []


def keys_of(config: Any, prefix: str = "") -> list[str]:
    """List the dotted keys of a config, groups before what they hold."""
    keys = []
    if isinstance(config, DictConfig) and not config._is_none():
        for key in config:
            keys.append(f"{prefix}{key}")
            keys += keys_of(config._get_node(key), f"{prefix}{key}.")
    return keys


def near_key(key: str, known: Sequence[str]) -> str:
    """Give "; did you mean KEY?" for the nearest known key: a sibling first, then the same last name."""
    parent, _, leaf = key.rpartition(".")
    siblings = [name for name in known if name.rpartition(".")[0] == parent]
    found = near(key, siblings) or near(leaf, [name.rpartition(".")[2] for name in siblings], f"{parent}.")
    if found:
        return found
    same = [name for name in known if name.rpartition(".")[2] == leaf]
    if same:
        return f"; did you mean {same[0]}?"
    leaves = {name.rpartition(".")[2]: name for name in known}
    guess = re.search(r"did you mean (\S+)\?", near(leaf, leaves))
    return f"; did you mean {leaves[guess[1]]}?" if guess else near(key, known)
