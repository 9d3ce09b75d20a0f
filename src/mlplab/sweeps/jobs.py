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
from mlplab.runs.fingerprint import config_digest

DIGITS = 4
LONGEST_NAME = 71  # and a digest: 80 letters in all


@dataclass
class Job:
    """One point of a sweep.

    Attributes:
        config: resolved and checked, plain values.
        overrides: its overrides, as Hydra gave them.
        swept: the values of the keys that differ within the sweep.
        digest: of the config.
        folder: its run folder.
        hydra: Hydra's node, which jobs of the same structure share.
        number: its place in this call.
        environment: variables that are set while it runs.
    """

    config: dict[str, Any]
    overrides: list[str]
    swept: dict[str, Any]
    digest: str
    folder: Path
    hydra: DictConfig
    number: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name

    def hydra_node(self) -> dict[str, Any]:
        """Give Hydra's node as this job's own, plain values with their ``${...}`` left in."""
        own = _container(self.hydra)
        job = own["job"] | {"id": str(self.number), "num": self.number, "override_dirname": ",".join(sorted(self.overrides))}
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
    folder: Path,
    composed: Sequence[tuple[dict[str, Any], DictConfig]],
    all_overrides: Sequence[Sequence[str]],
) -> list[Job]:
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
        jobs.append(Job(config, list(overrides), swept, digest, folder / name, own, number, environments[id(own)]))
    return jobs


def _known(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Look up which folders a sweep has: names by digest, and digests by name."""
    known = {entry["config_digest"]: entry["name"] for entry in read_entries(folder / "sweep.json")}
    recorded = set(known.values())
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name in recorded or not (path / "manifest.json").is_file():
            continue
        try:
            known.setdefault(read_json(path / "manifest.json")["config_digest"], path.name)
        except (InputError, KeyError, TypeError):
            continue
    return known, {name: digest for digest, name in known.items()}


def read_entries(path: Path) -> list[dict[str, Any]]:
    """Read the jobs that a ``sweep.json`` lists.

    Nothing comes of a record that is missing or damaged, nor of an entry in it: the folders speak for themselves.
    """
    try:
        entries = read_json(path)["jobs"]
    except (InputError, KeyError, TypeError):
        return []
    return [entry for entry in entries if _is_sound(entry)] if isinstance(entries, list) else []


def _is_sound(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("overrides"), list):
        return False
    texts = [entry.get("name"), entry.get("config_digest"), entry.get("status"), *entry["overrides"]]
    if not all(isinstance(text, str) for text in texts):
        return False
    # A job's folder is cleared before it runs: it must be one in the sweep's.
    return entry["name"] not in ("", ".", "..") and Path(entry["name"]).name == entry["name"]
