"""Compose the jobs of a sweep: those that differ in values only come from one composition of Hydra's."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException


class Composition:
    """One structure of config, into which the values of one job after the other are put.

    Args:
        config: as Hydra composed it, not resolved.
        hydra: Hydra's node.
        names: keys whose values differ from job to job.
        plain: the config, resolved.
    """

    def __init__(self, config: DictConfig, hydra: DictConfig, names: Sequence[str], plain: dict[str, Any]) -> None:
        self.config, self.hydra, self.plain = config, hydra, plain
        raw = OmegaConf.to_container(config, resolve=False)
        # A value with a reference may change with what it refers to.
        self.pointing = sorted({".".join(path[: _first_index(path)]) for path, text in _leaves(raw) if "${" in text})
        self.names = list(names)

    def fill(self, pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Put a job's values in and give the resolved config, plain values of its own."""
        for name, value in pairs:
            OmegaConf.update(self.config, name, value, merge=True)
        plain = _copy(self.plain)
        for name in dict.fromkeys([*self.names, *self.pointing]):
            value = OmegaConf.select(self.config, name)
            if OmegaConf.is_config(value):
                value = OmegaConf.to_container(value, resolve=True)
            *path, last = name.split(".")
            place = plain
            for key in path:
                place = place[key]
            place[last] = value
        return plain


class Composer:
    """Compose jobs; Hydra's own composition takes 60 ms a job.

    Args:
        loader: Hydra's config loader.
        master: the sweep's config, with its ``hydra`` node.
        resolve: gives the plain values of a config, as ``mlplab.config.composition.resolved`` does.
        check: checks plain values, as ``mlplab.config.composition.check_plain`` does, and gives them back.
    """

    def __init__(
        self,
        loader: Any,
        master: DictConfig,
        resolve: Callable[[DictConfig], dict[str, Any]],
        check: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        self.loader, self.master, self.resolve, self.check = loader, master, resolve, check
        self.parse = cache(OverridesParser.create(config_loader=loader).parse_override)
        self._bases: dict[tuple, Composition | None] = {}

    def compose(self, overrides: Sequence[str], number: int = 0) -> tuple[dict[str, Any], DictConfig]:
        """Compose one job.

        Args:
            overrides: of the job, each with one value.
            number: of the job in its sweep, for ``${hydra:job.num}``.

        Returns:
            The config, resolved and checked, as plain values; and Hydra's node, which jobs may share.

        Raises:
            InputError: a value is wrong.
            HydraException: an override is.
        """
        pairs, structure, changed = [], [], []
        known = [self.parse(text) for text in overrides]
        names = [parsed.key_or_group for parsed in known if self._is_value(parsed)]
        # Of two values of which one is within the other the later counts, as Hydra sees to: they are part of the structure.
        within = {a for k, a in enumerate(names) if any(_overlap(f"{a}.", f"{b}.") for b in names[:k] + names[k + 1 :])}
        for text, parsed in zip(overrides, known):
            if self._is_value(parsed) and parsed.key_or_group not in within:
                pairs.append((parsed.key_or_group, parsed.value()))
            else:
                structure.append(text)
                changed.append(f"{parsed.key_or_group}." if not self._is_group(parsed) else "")
        if not pairs or any(_overlap(f"{name}.", other) for name, _ in pairs for other in changed if other):
            return self._singly(overrides, number)
        key = (tuple(structure), tuple(name for name, _ in pairs))
        if key not in self._bases:
            self._bases[key] = self._base(overrides, number, key[1])
        base = self._bases[key]
        if base is not None:
            try:
                plain = base.fill(pairs)
            except OmegaConfBaseException:
                pass  # composed alone, its message is better
            else:
                return self.check(plain), base.hydra
        return self._singly(overrides, number)

    def _base(self, overrides: Sequence[str], number: int, names: Sequence[str]) -> Composition | None:
        """Compose what jobs may share; None where a config asks Hydra's node for something."""
        whole = self._whole(overrides, number)
        with open_dict(whole):
            own = whole.pop("hydra")
        if any("${hydra:" in text for _, text in _leaves(OmegaConf.to_container(whole, resolve=False))):
            return None
        return Composition(whole, own, names, self.resolve(whole))

    def _is_value(self, override: Override) -> bool:
        """Say whether an override puts a plain value in the place of another, and changes nothing else."""
        if override.is_add() or override.is_force_add() or override.is_delete() or override.package:
            return False
        name, value = override.key_or_group, override.value()
        # A mapping is merged into what is there; "???" and ${hydra:} need Hydra's own way.
        if "/" in name or isinstance(value, dict) or "???" in str(value) or "${hydra:" in str(value):
            return False
        path = name.split(".")
        if path[0] == "hydra" or "[" in name or any(key.isdigit() for key in path):
            return False
        # A name that is a config group decides what else is there.
        return len(path) > 1 or name not in self.master.hydra.runtime.choices

    def _is_group(self, override: Override) -> bool:
        """Say whether an override takes an option of a config group: those come first, wherever they are."""
        return not override.is_add() and override.key_or_group in self.master.hydra.runtime.choices

    def _whole(self, overrides: Sequence[str], number: int) -> DictConfig:
        whole = self.loader.load_sweep_config(self.master, list(overrides))
        with open_dict(whole):
            whole.hydra.job.num, whole.hydra.job.id = number, str(number)
        return whole

    def _singly(self, overrides: Sequence[str], number: int) -> tuple[dict[str, Any], DictConfig]:
        """Compose a job by itself; what it asks Hydra's node for is that job's own."""
        whole = self._whole(overrides, number)
        before = HydraConfig.instance().cfg
        try:
            HydraConfig.instance().set_config(whole)
            with open_dict(whole):
                own = whole.pop("hydra")
            return self.check(self.resolve(whole)), own
        finally:
            HydraConfig.instance().cfg = before


def _overlap(a: str, b: str) -> bool:
    """Say whether one of two keys, each with a dot behind it, holds the other: then their order counts."""
    return a.startswith(b) or b.startswith(a)


def _leaves(value: Any, path: tuple = ()) -> Iterator[tuple[tuple, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _leaves(part, (*path, index))
    elif isinstance(value, str):
        yield path, value


def _first_index(path: tuple) -> int:
    """Count the keys before the first index: a list is renewed as a whole."""
    return next((i for i, key in enumerate(path) if isinstance(key, int)), len(path))


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(part) for key, part in value.items()}
    return [_copy(part) for part in value] if isinstance(value, list) else value
