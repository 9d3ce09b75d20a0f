"""Groups of work: jobs whose networks stack, cut so that all cores are busy to the end."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlplab.runs.identity import config_digest, may_differ
from mlplab.runs.memory import parameters, points_of
from mlplab.sweeps.jobs import PlannedJob

# More groups than workers, so that the last to finish are short; but not fewer members than make stacking pay.
GROUPS_A_WORKER = 4
FEWEST_MEMBERS = 8
# What a group may hold: on a CPU few members, so that a failure costs little; on a GPU enough to fill the device.
MOST_MEMBERS = {"cpu": 256, "gpu": 16384}
MOST_BYTES = {"cpu": 1 << 30, "gpu": 1 << 34}


@dataclass
class Group:
    """Jobs that one process trains as one population, or runs one by one.

    Attributes:
        jobs: at least one.
        resume: go on from the jobs' checkpoints, which are all of one place in the training.
        attempts: how often it has been tried.
    """

    jobs: list[PlannedJob]
    resume: bool = False
    attempts: int = 0
    cost: float = field(init=False)

    def __post_init__(self) -> None:
        self.cost = sum(cost(job.config) for job in self.jobs)

    def halves(self) -> list["Group"]:
        """Split a group that failed, to find the job at fault; the halves start afresh."""
        middle = (len(self.jobs) + 1) // 2
        return [Group(self.jobs[:middle]), Group(self.jobs[middle:])]


def stack_key(config: dict[str, Any]) -> str:
    """Fingerprint what the members of one population must have in common."""
    return config_digest(config, may_differ(config))


def on_gpu(config: dict[str, Any]) -> bool:
    """Say whether a job will train on a GPU, without asking torch: importing it takes seconds."""
    name = config.get("trainer", {}).get("accelerator", "cpu")
    driver = any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/kfd"))
    return name in ("gpu", "cuda", "mps") or (name == "auto" and driver)


def cost(config: dict[str, Any]) -> float:
    """Estimate the seconds of a job on one core, for the order and the size of groups only."""
    trainer, batch = config.get("trainer", {}), config.get("data", {}).get("batch_size", 128)
    steps = trainer.get("max_epochs", 1) * max(1, train_points(config) // batch)
    return steps * (4e-5 + 6 * batch * parameters(config) / 5e10) + 0.1


def train_points(config: dict[str, Any]) -> int:
    """Guess the number of train points of a job from its config."""
    return int(points_of(config) * (1 - config.get("data", {}).get("test_fraction", 0.2)))


def member_bytes(config: dict[str, Any]) -> int:
    """Estimate what one more member of a population takes beside data that they share: parameters, copies, orders."""
    return 4 * (10 * parameters(config) + 8 * train_points(config))


def make_groups(
    jobs: Sequence[PlannedJob],
    places: Sequence[Any],
    *,
    workers: int,
    max_members: int | None = None,
    stackable: bool = True,
) -> list[Group]:
    """Group jobs into groups, the most expensive first.

    Args:
        jobs: to be run.
        places: for each where its checkpoint stands, or None to start afresh; jobs of one place go together.
        workers: processes that will share the groups.
        max_members: members of a group at most, >= 1; None for as many as the device is good for.
        stackable: False for studies that train no population: groups of one.
    """
    alike: dict[Any, list[PlannedJob]] = {}
    for number, (job, place) in enumerate(zip(jobs, places)):
        key = (stack_key(job.config), place, tuple(job.environment.items())) if stackable else number
        alike.setdefault(key, []).append(job)
    fair = sum(cost(job.config) for job in jobs) / max(1, workers * GROUPS_A_WORKER)
    groups = []
    for key, members in alike.items():
        # Members with the same settings side by side share one call of the optimiser.
        members.sort(key=lambda job: str(job.config.get("optimizer")))
        device = "gpu" if on_gpu(members[0].config) else "cpu"
        most = min(max_members or MOST_MEMBERS[device], max(1, MOST_BYTES[device] // member_bytes(members[0].config)))
        if device == "cpu":
            most = min(most, max(FEWEST_MEMBERS, int(fair / cost(members[0].config))))
        count = math.ceil(len(members) / most)
        if count > workers:
            # As many to each worker, so that none waits for the last.
            count = min(len(members), math.ceil(count / workers) * workers)
        place = key[1] if stackable else None
        bounds = [round(i * len(members) / count) for i in range(count + 1)]
        groups += [Group(members[a:b], resume=place is not None) for a, b in zip(bounds, bounds[1:])]
    return sorted(groups, key=lambda group: -group.cost)
