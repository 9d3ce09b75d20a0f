"""The values of a sweep, looked at one by one before anything runs."""

import math
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from mlplab.config.composition import Composition, compose_all, group_options, override
from mlplab.config.grammar import parsed
from mlplab.config.messages import keys_of, not_key_value
from mlplab.errors import InputError
from mlplab.runs.identity import Role, role_of
from mlplab.runs.memory import BYTES_A_JOB, expect_room
from mlplab.search.space import read_dimension

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
    discrete = [
        read_dimension(text, entry, group_options=options_of) for text, entry in sweeps if not entry.is_interval_sweep()
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
    if searched:
        together = base.search.batch or (base.search.trials if base.search.sampler in ("random", "grid") else 1)
        count = min(base.search.trials, together)
    expect_room({f"{count:,} jobs": BYTES_A_JOB * count})
    known_dimensions = {dimension.text: dimension for dimension in discrete}
    for text, entry in sweeps:
        default = OmegaConf.select(base, entry.key_or_group)
        dimension = known_dimensions.get(text) or read_dimension(text, entry, default)
        if entry.is_interval_sweep() and not searched:
            raise InputError(f"{dimension.key}: an interval needs hydra/sweeper=search, got {text}")
        no_group = dimension.key in keys_of(base) and ("." in dimension.key or not OmegaConf.is_config(default))
        others = single + [end for key, end in firsts.items() if key != dimension.key]
        for end in dimension.ends():
            if end in firsts.values():
                continue
            if no_group:  # there is no need to compose again
                override(base, [end], config_name)
                continue
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
    for text in sweeps:
        key, values = _key(text), text.partition("=")[2]
        if Role.OF_SWEEP in role_of(key):
            several = f"; for several write {key}=[{values}]" if key == "search.objective" else ""
            raise InputError(f"{key} takes one value for a whole sweep, got {text}{several}")
        given = [other for other, name in zip(overrides, keys) if name == key]
        if given[-1] != text or given.count(text) > 1:  # of two values the later counts, which would drop the sweep
            raise InputError(f"{key} is swept and must be given once, got {' and '.join(given)}")
