"""The jobs of a sweep: composed once and for all, named by what is swept and by their config's digest."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from mlplab.errors import InputError
from mlplab.runs.files import read_json
from mlplab.runs.identity import config_digest
from mlplab.runs.sweep_record import Job, read_sweep_record

DIGITS = 4
LONGEST_NAME = 71  # and a digest: 80 letters in all


@dataclass(kw_only=True)
class PlannedJob(Job):
    """A job with what it takes to run it.

    Attributes:
        config: resolved and checked, plain values.
        overrides: its overrides, as Hydra gave them.
        hydra: Hydra's node, which jobs of the same structure share.
        number: its place in this call.
        environment: variables that are set while it runs.
    """

    config: dict[str, Any]
    overrides: list[str]
    hydra: DictConfig
    number: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def hydra_node(self) -> dict[str, Any]:
        """Give Hydra's node as this job's own, plain values with their ``${...}`` left in."""
        own = _container(self.hydra)
        job = own["job"] | {
            "id": str(self.number),
            "num": self.number,
            "override_dirname": ",".join(sorted(self.overrides)),
        }
        return own | {
            "job": job,
            "overrides": own["overrides"] | {"task": self.overrides},
            "runtime": own["runtime"] | {"output_dir": str(self.folder)},
        }

    def whole_config(self) -> DictConfig:
        """Give the config with Hydra's node, as Hydra's callbacks expect it."""
        return OmegaConf.create({**self.config, "hydra": self.hydra_node()})


def environment_of(node: DictConfig | None) -> dict[str, str]:
    """Read from Hydra's node what ``hydra.job.env_set`` and ``env_copy`` say."""
    if node is None:
        return {}
    copied = {name: os.environ[name] for name in node.job.env_copy or () if name in os.environ}
    return copied | {name: str(value) for name, value in (node.job.env_set or {}).items()}


def _container(node: DictConfig) -> dict[str, Any]:
    """Turn Hydra's node into plain values."""
    return OmegaConf.to_container(node, resolve=False, enum_to_str=True)


def swept_values(all_overrides: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Pick from each job's overrides those keys whose text differs between jobs, in the order given."""
    pairs = [dict(text.lstrip("+~").partition("=")[::2] for text in overrides) for overrides in all_overrides]
    keys = list(dict.fromkeys(key for job in pairs for key in job))
    different = [key for key in keys if len({job.get(key) for job in pairs}) > 1]
    return [{key: _typed(job[key]) for key in different if key in job} for job in pairs]


@cache
def _typed(text: str) -> Any:
    """Read a value as Hydra does; a list or a mapping stays as it was typed."""
    try:
        value = OverridesParser.create().parse_override(f"key={text}").value()
    except HydraException:
        return text
    return value if value is None or isinstance(value, bool | int | float | str) else text


def job_name(swept: Mapping[str, Any], digest: str) -> str:
    """Name a job, such as ``depth0002-seed0003-1a2b3c4d``: whole numbers padded, so that names sort.

    Args:
        swept: the keys that differ within the sweep, and the job's values.
        digest: of the config; its first 8 digits make the name the job's own, whatever the grid around it.
    """
    parts = []
    for key, value in swept.items():
        if isinstance(value, int) and not isinstance(value, bool):
            word = f"{value:0{DIGITS}d}"
        else:
            word = re.sub(r"[^A-Za-z0-9.+]+", "x", str(value)).strip("x")
        short = key.rpartition(".")[2].rpartition("/")[2]
        parts.append(f"{short}{word}" if word[:1].isdigit() else f"{short}-{word}")
    text = "-".join(parts)[:LONGEST_NAME]
    return f"{text}-{digest[:8]}" if text else digest[:8]


def place_jobs(
    folder: Path, composed: Sequence[tuple[dict[str, Any], DictConfig]], all_overrides: Sequence[Sequence[str]]
) -> list[PlannedJob]:
    """Give each composed job its folder: the one that holds its digest already, or a new name.

    Args:
        folder: of the sweep.
        composed: configs and Hydra's nodes.
        all_overrides: of each job.
    """
    known, owners = _known(folder)
    environments = {number: environment_of(own) for number, own in {id(own): own for _, own in composed}.items()}
    jobs = []
    for number, ((config, own), overrides, swept) in enumerate(
        zip(composed, all_overrides, swept_values(all_overrides))
    ):
        digest = config_digest(config)
        name = known.get(digest)
        if name is None:
            name = job_name(swept, digest)
            if owners.get(name, digest) != digest:
                # Of 10,000 jobs two may well share 8 digits.
                name = f"{name}{digest[8:24]}"
            known[digest], owners[name] = name, digest
        jobs.append(
            PlannedJob(
                folder=folder / name,
                swept=swept,
                digest=digest,
                config=config,
                overrides=list(overrides),
                hydra=own,
                number=number,
                environment=environments[id(own)],
            )
        )
    return jobs


def _known(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Look up which folders a sweep has: names by digest, and digests by name."""
    known = {entry["config_digest"]: entry["name"] for entry in entries_of(folder)}
    recorded = set(known.values())
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name in recorded or not (path / "manifest.json").is_file():
            continue
        try:
            known.setdefault(read_json(path / "manifest.json")["config_digest"], path.name)
        except (InputError, KeyError, TypeError):
            continue
    return known, {name: digest for digest, name in known.items()}


def entries_of(folder: Path) -> list[dict[str, Any]]:
    """Give the entries of a sweep's record; none of one that is missing or damaged: the folders speak for themselves."""
    try:
        return read_sweep_record(folder / "sweep.json").entries
    except InputError:
        return []
