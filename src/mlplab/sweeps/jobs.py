"""The jobs of a sweep: composed once and for all, named by what is swept and by their config's digest."""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from mlplab.runs.fingerprint import config_digest

DIGITS = 4
LONGEST_NAME = 100


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
        hydra_files: names and texts of the files in ``.hydra/``.
    """

    config: dict[str, Any]
    overrides: list[str]
    swept: dict[str, Any]
    digest: str
    folder: Path
    hydra: DictConfig
    hydra_files: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name


class Composer:
    """Compose jobs that differ in values only from one composition: Hydra's own takes 60 ms a job.

    Args:
        loader: Hydra's config loader.
        master: the sweep's config, with its ``hydra`` node.
        check: resolves and checks a config, as ``mlplab.config.check`` does.
    """

    def __init__(self, loader: Any, master: DictConfig, check: Callable[[DictConfig], DictConfig]) -> None:
        self.loader, self.master, self.check = loader, master, check
        self.parser = OverridesParser.create()
        self._bases: dict[tuple, tuple[DictConfig, DictConfig]] = {}

    def compose(self, overrides: Sequence[str]) -> tuple[dict[str, Any], DictConfig]:
        """Compose one job.

        Args:
            overrides: of the job, each with one value.

        Returns:
            The config, resolved and checked, as plain values; and Hydra's node.

        Raises:
            InputError: a value is wrong.
        """
        values, structure = {}, []
        for text in overrides:
            parsed = self.parser.parse_override(text)
            # A name without a dot may be a config group, which decides what else is there.
            name = parsed.key_or_group
            changes = not (parsed.is_add() or parsed.is_force_add() or parsed.is_delete() or parsed.package)
            if changes and "/" not in name and ("." in name or self._is_value(name)):
                values[parsed.key_or_group] = parsed.value()
            else:
                structure.append(text)
        key = (tuple(structure), tuple(values))
        if key not in self._bases:
            whole = self.loader.load_sweep_config(self.master, list(overrides))
            with open_dict(whole):
                own = whole.pop("hydra")
            self._bases[key] = whole, own
        base, own = self._bases[key]
        config = copy.deepcopy(base)
        for name, value in values.items():
            OmegaConf.update(config, name, value, merge=False)
        return OmegaConf.to_container(self.check(config)), own

    def _is_value(self, name: str) -> bool:
        """Say whether a key without a dot is a plain value, such as ``seed``, and no config group."""
        if name not in self.master:
            return False
        return not OmegaConf.is_config(self.master[name]) and name not in self.master.hydra.runtime.choices


def swept_values(all_overrides: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """Pick from each job's overrides those keys whose text differs between jobs, in the order given."""
    pairs = [dict(text.lstrip("+~").partition("=")[::2] for text in overrides) for overrides in all_overrides]
    keys = list(dict.fromkeys(key for job in pairs for key in job))
    different = [key for key in keys if len({job.get(key) for job in pairs}) > 1]
    return [{key: _typed(job[key]) for key in different if key in job} for job in pairs]


def _typed(text: str) -> Any:
    value = OmegaConf.create(f"value: {text}").value if not text.startswith("[") else text
    return text if OmegaConf.is_config(value) else value


def job_name(swept: Mapping[str, Any], digest: str) -> str:
    """Name a job, such as ``depth0002-width0016-seed0003-1a2b3c4d``: whole numbers padded, so that names sort.

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
) -> list[Job]:
    """Give each composed job its folder: the one that holds its digest already, or a new name.

    Args:
        folder: of the sweep.
        composed: configs and Hydra's nodes.
        all_overrides: of each job.
    """
    known = {path.name.rpartition("-")[2]: path for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else {}
    jobs = []
    for (config, own), overrides, swept in zip(composed, all_overrides, swept_values(all_overrides)):
        digest = config_digest(config)
        path = known.get(digest[:8]) or folder / job_name(swept, digest)
        known[digest[:8]] = path
        jobs.append(Job(config, list(overrides), swept, digest, path, own))
    return jobs
