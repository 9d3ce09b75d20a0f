"""The values of a sweep, looked at one by one before anything runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mlplab.config.composition import Composition, compose_all, group_options, override
from mlplab.config.messages import keys_of, not_key_value
from mlplab.errors import InputError
from mlplab.hydra_names import parsed
from mlplab.runs.identity import Role, role_of
from mlplab.runs.memory import BYTES_A_JOB, expect_room
from mlplab.search.space import Dimension, read_dimension
from mlplab.words import plural

ONE_EXPERIMENT = "an experiment that lists what to sweep must be run by itself, got {}"
# Composing so many takes an hour and some GB; more are probably a mistake.
MOST_JOBS = 1_000_000


def check_sweep(config_name: str, overrides: Sequence[str], config_dir: str | Path | None = None) -> Composition:
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

    def options_of(group: str) -> list[str]:
        return group_options(group, config_name, config_dir)

    single, sweeps = _parted(overrides)
    discrete = [
        read_dimension(text, entry, group_options=options_of) for text, entry in sweeps if not entry.is_interval_sweep()
    ]
    firsts = {dimension.key: dimension.ends()[0] for dimension in discrete}
    first = compose_all(config_name, [*single, *firsts.values()], config_dir)
    listed = _listed(first, overrides, [text for text, _ in sweeps])
    if listed:  # by an experiment: they come first, as Hydra has it
        return check_sweep(config_name, [*listed, *overrides], config_dir)
    searched = _is_search(first)
    _expect_few(first.config, discrete, searched)
    known_dimensions = {dimension.text: dimension for dimension in discrete}
    for text, entry in sweeps:
        default = OmegaConf.select(first.config, entry.key_or_group)
        dimension = known_dimensions.get(text) or read_dimension(text, entry, default)
        if entry.is_interval_sweep() and not searched:
            raise InputError(f"{dimension.key}: an interval needs hydra/sweeper=search, got {text}")
        no_group = dimension.key in keys_of(first.config) and ("." in dimension.key or not OmegaConf.is_config(default))
        others = single + [end for key, end in firsts.items() if key != dimension.key]
        for end in dimension.ends():
            if end in firsts.values():
                continue
            if no_group:  # there is no need to compose again
                override(first.config, [end], config_name)
                continue
            composed = compose_all(config_name, [*others, end], config_dir)
            if dimension.key == "experiment" and composed.hydra.sweeper.get("params"):
                raise InputError(ONE_EXPERIMENT.format(text))
    return first


def _parted(overrides: Sequence[str]) -> tuple[list[str], list[tuple[str, Any]]]:
    """Part the overrides into those of one value and those of several, the latter each with what Hydra makes of it."""
    single, sweeps = [], []
    for text in overrides:
        entry = parsed(text)
        if entry is None:
            raise InputError(not_key_value(text))
        if not entry.is_sweep_override():
            single.append(text)
        elif entry.is_choice_sweep() or entry.is_range_sweep() or entry.is_interval_sweep():
            sweeps.append((text, entry))
    _expect_once(overrides, [text for text, _ in sweeps])
    return single, sweeps


def _is_search(composed: Composition) -> bool:
    return composed.choices.get("hydra/sweeper") == "search"


def _listed(first: Composition, overrides: Sequence[str], sweeps: Sequence[str]) -> list[str]:
    """List what an experiment sweeps besides the command line."""
    sweeper = first.hydra.sweeper
    size = sweeper.get("max_batch_size")
    if size is not None and size < 1:
        raise InputError(f"hydra.sweeper.max_batch_size must be null, or an integer >= 1, got {size}")
    params = sweeper.get("params") or {}
    if params and _is_search(first):
        where = next((text for text in overrides if _key(text) == "experiment"), "hydra.sweeper.params")
        raise InputError(
            f"{where} lists what to sweep, and a search takes what to search from the command line alone; leave it out"
        )
    several = next((text for text in sweeps if _key(text) == "experiment"), None)
    if params and several:
        raise InputError(ONE_EXPERIMENT.format(several))
    keys = {_key(text) for text in overrides}
    return [f"{key}={value}" for key, value in params.items() if _key(key) not in keys]


def _expect_few(config: DictConfig, discrete: Sequence[Dimension], searched: bool) -> None:
    """Refuse more jobs than a sweep may have, or than fit into memory."""
    count = math.prod(dimension.count for dimension in discrete)
    if count > MOST_JOBS and not searched:
        raise InputError(
            f"a sweep must have at most {MOST_JOBS:,} jobs, got {count:,} "
            f"({' x '.join(f'{dimension.count:,} of {dimension.key}' for dimension in discrete)})"
        )
    if searched:
        search = config.search
        together = search.batch or (search.trials if search.sampler in ("random", "grid") else 1)
        count = min(search.trials, together)
    expect_room({plural(count, "job"): BYTES_A_JOB * count})


def _key(text: str) -> str:
    """The key of an override, without what says that it is added or removed."""
    return text.partition("=")[0].lstrip("+~")


def _expect_once(overrides: Sequence[str], sweeps: Sequence[str]) -> None:
    """Refuse a sweep over what belongs to the sweep itself, and a key that is given again after it was swept."""
    keys = [_key(text) for text in overrides]
    for text in sweeps:
        key, values = _key(text), text.partition("=")[2]
        if Role.OF_SWEEP in role_of(key):
            several = f"; for several write {key}=[{values}]" if key == "search.objective" else ""
            raise InputError(f"{key} takes one value for a whole sweep, got {text}{several}")
        given = [other for other, name in zip(overrides, keys) if name == key]
        if given[-1] != text or given.count(text) > 1:  # of two values the later counts, which would drop the sweep
            raise InputError(f"{key} is swept and must be given once, got {' and '.join(given)}")
