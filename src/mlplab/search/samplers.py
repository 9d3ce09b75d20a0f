"""How a search chooses: Optuna's samplers by name, each draw a function of seed, trial and what is known."""

from collections.abc import Callable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from mlplab.errors import InputError
from mlplab.search.space import Dimension
from mlplab.seeds import derive


class Grid(BaseSampler):
    """Walk over all combinations, the last key fastest: the trial's number is its place.

    Args:
        space: dimensions of which each has a number of values.
    """

    def __init__(self, space: Sequence[Dimension]) -> None:
        self.space = space

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        place = trial.number
        for dimension in reversed(self.space):
            place, index = divmod(place, dimension.count)
            if dimension.key == param_name:
                return dimension.value(index)
        raise AssertionError(f"{param_name} is no dimension of the grid")


def grid_size(space: Sequence[Dimension]) -> int:
    """Count the combinations.

    Raises:
        InputError: a dimension is an interval.
    """
    size = 1
    for dimension in space:
        if dimension.count is None:
            raise InputError(f"search.sampler=grid takes choices and ranges, no interval, got {dimension.text}")
        size *= dimension.count
    return size


# Name -> a sampler for a seed, the dimensions and the batch. With nsga2 a batch is a generation.
SAMPLERS: dict[str, Callable[[int, Sequence[Dimension], int], BaseSampler]] = {
    "tpe": lambda seed, space, batch: TPESampler(seed=seed),
    "random": lambda seed, space, batch: RandomSampler(seed=seed),
    "grid": lambda seed, space, batch: Grid(space),
    "nsga2": lambda seed, space, batch: NSGAIISampler(seed=seed, population_size=max(2, batch)),
}


def is_joint(name: str, objectives: int) -> bool:
    """Say whether a sampler draws all keys of a trial together; Optuna's TPE does for one objective only."""
    return name == "nsga2" or (name == "tpe" and objectives == 1)


class Reseeded(BaseSampler):
    """Answer each question by a fresh sampler with a seed of its own.

    Optuna's samplers draw from one stream, whose place is lost with the process; so made, a trial depends
    only on the seed, its number and the trials known, and a search goes on as if it had never stopped.

    Args:
        make: gives a sampler for a seed below 2**32.
        seed: of the search.
        joint: the dimensions that are drawn together. Left to itself Optuna takes those that all trials have
            in common, and would miss some where a call was killed between two values of a trial.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, joint: Sequence[Dimension] = ()) -> None:
        self.make, self.seed = make, seed
        found = {dimension.key: dimension.distribution() for dimension in sorted(joint, key=lambda one: one.key)}
        self.joint = {key: distribution for key, distribution in found.items() if not distribution.single()}

    def _fresh(self, trial: FrozenTrial, *question: str) -> BaseSampler:
        return self.make(derive(self.seed, "search", trial.number, *question) % 2**32)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return dict(self.joint)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict) -> dict[str, Any]:
        return self._fresh(trial, "relative").sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._fresh(trial, param_name).sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._fresh(trial, "before").before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._fresh(trial, "after").after_trial(study, trial, state, values)
