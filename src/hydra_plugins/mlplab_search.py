"""Hydra finds sweepers in this namespace package; mlplab.sweeps does the work, imported when it starts."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import ConfigCompositionException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Ask Optuna for jobs, batch by batch; see :mod:`mlplab.search.search`."""

    def __init__(self, **unused: Any) -> None:
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        from hydra.core.plugins import Plugins

        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        from mlplab.sweeps.task import Task, ending

        if not isinstance(self.task_function, Task):
            raise ConfigCompositionException(
                "hydra/sweeper=search searches the settings of mlplab's own commands; this app needs another sweeper"
            )
        from mlplab.search.search import search

        with ending(all_errors=True):
            return search(self.config, self.hydra_context.config_loader, self.launcher, self.task_function, arguments)


@dataclass
class SearchConf:
    """The node of ``hydra/sweeper: search``; its options are the root key ``search``."""

    _target_: str = "hydra_plugins.mlplab_search.SearchSweeper"
    params: dict[str, Any] | None = None  # what an experiment sweeps; a search refuses it


ConfigStore.instance().store(group="hydra/sweeper", name="search", node=SearchConf, provider="mlplab")
