"""Hydra's composing with a memory, for the tests, which compose conf/ some thousand times.

What Hydra makes of the defaults lists is kept, by the files that they were read from and the overrides that choose among
them; what a test overrides besides is applied by Hydra itself each time. ``test_composing.py`` compares it with Hydra alone.
"""

import os
import pickle
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import Overrides
from hydra.core.config_store import ConfigStore


def state_of(folder):
    """Everything under a folder that tells whether one of its files has changed."""
    found, inside = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir():
                    inside.append(entry.path)
                elif entry.name.endswith((".yaml", ".yml")):
                    now = entry.stat()
                    found.append((entry.path, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns))
    except OSError:
        return [(folder, None)]
    return [*sorted(found), *(one for place in sorted(inside) for one in state_of(place))]


def stored(node):
    """The names in Hydra's store of configs."""
    return sorted((name, stored(value)) for name, value in node.items()) if isinstance(node, dict) else id(node)


def state(repo):
    """What a repository of configs reads, and from where."""
    sources = [(source.provider, source.scheme(), source.path) for source in repo.get_sources()]
    files = [one for _, scheme, path in sources if scheme == "file" for one in state_of(path)]
    return repr((sources, files, stored(ConfigStore.instance().repo)))


def create_defaults_list(repo, config_name, overrides_list, prepend_hydra, skip_missing):
    """Hydra's, which reads the tree of the defaults lists, but for what the overrides leave as it was before."""
    overrides = Overrides(repo=repo, overrides_list=overrides_list)
    repo.state = state(repo)
    choosing = [one.input_line for one in overrides_list if one not in overrides.config_overrides]
    key = (repo.state, config_name, tuple(choosing), prepend_hydra, skip_missing)
    if key not in LISTS:
        LISTS[key] = HYDRAS[0](repo, config_name, overrides_list, prepend_hydra, skip_missing)
    known = LISTS[key]
    overrides.known_choices = dict(known.overrides.known_choices)
    overrides.known_choices_per_group = known.overrides.known_choices_per_group
    return replace(known, config_overrides=overrides.config_overrides, overrides=overrides)


def compose_from_defaults_list(self, defaults, repo):
    """Hydra's, which merges the files, but for lists that were merged before."""
    key = (repo.state, repr(defaults))
    if key not in MERGED:
        MERGED[key] = pickle.dumps(HYDRAS[1](self, defaults, repo))
    return pickle.loads(MERGED[key])


@contextmanager
def composing_by(create, compose):
    """Let Hydra use these two functions for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config_loader_impl, "create_defaults_list", create)
        patch.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", compose)
        if (
            create is create_defaults_list
        ):  # Hydra copies its sources for each composition, and with them its whole store
            patch.setattr(ConfigStore, "__deepcopy__", lambda store, _: store, raising=False)
        yield


HYDRAS = config_loader_impl.create_defaults_list, ConfigLoaderImpl._compose_config_from_defaults_list
MEMORYS = create_defaults_list, compose_from_defaults_list
LISTS, MERGED = {}, {}
