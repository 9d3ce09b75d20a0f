"""What the lab uses of Hydra's that is not public, and the words of its errors: all of it stands here.

Written for Hydra 1.3; tests/test_hydra_names.py says what changed under another version.
"""

from typing import Any


def core_plugins() -> tuple[Any, Any, Any]:
    """Import Hydra's basic launcher, its basic sweeper, and the node of the latter.

    Not to be imported before Hydra itself has looked for its plugins: it runs their modules again, and a class of
    the first run is then no longer the one that its own methods know.
    """
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper, BasicSweeperConf

    return BasicLauncher, BasicSweeper, BasicSweeperConf


# Beginnings of messages of hydra.errors.HydraException, as regular expressions.
AMBIGUOUS = r"Ambiguous value for argument '(?P<text>[^']*)'"
UNKNOWN_KEY = r"Could not (?:override|delete)[^']*'(?P<key>[^']+)'"
IS_THERE = r"Could not append to config\. An item is already at '(?P<key>[^']+)'"
GROUP_VALUE = r"Config group override must be"
NEEDS_MULTIRUN = r"Sweep parameters '(?P<text>(?P<key>[^=]*)=.*)' requires --multirun"
CHOSEN_TWICE = r"(?P<key>\S+) appears more than once in the final defaults list|Multiple values for (?P<other>\S+?)\.? "
# In the words of the OmegaConf error that is their cause.
FULL_KEY = r"full_key: (?P<key>\S+)"
