"""Hydra finds launchers and sweepers in this namespace package; the work is done in mlplab.sweeps, imported when a sweep starts.

In an app that is not the lab's own they do what Hydra's basic ones do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from mlplab.hydra_names import core_plugins

BasicLauncher, BasicSweeper, BasicSweeperConf = core_plugins()


class PopulationLauncher(Launcher):
    """Train the jobs of a sweep as populations; see :mod:`mlplab.sweeps.launcher`."""

    def __init__(self, **unused: Any) -> None:
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from mlplab.sweeps.task import Task, ending

        if not isinstance(self.task_function, Task):  # another app's: nothing is known of its jobs
            basic = BasicLauncher()
            basic.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
            return basic.launch(job_overrides, initial_job_idx)
        from mlplab.sweeps.launcher import launch

        with ending(all_errors=True):
            return launch(self.config, self.hydra_context, self.task_function, job_overrides)


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, which would compose each job only to see whether it can be: 60 ms each."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Leave it to the launcher, which composes all jobs before it runs any."""


@dataclass
class PopulationConf:
    """The node of ``hydra/launcher: population``; its options are the config group ``launcher``."""

    _target_: str = "hydra_plugins.mlplab_population.PopulationLauncher"


ConfigStore.instance().store(group="hydra/launcher", name="population", node=PopulationConf, provider="mlplab")


@dataclass
class GridConf(BasicSweeperConf):
    """The node of ``hydra/sweeper: grid``."""

    _target_: str = "hydra_plugins.mlplab_population.GridSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridConf, provider="mlplab")
