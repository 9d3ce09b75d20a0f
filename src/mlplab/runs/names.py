"""What a run changed from the defaults in conf/, and the names that say it: of folders, in tables and in pictures."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path, PurePath
from typing import Any

import yaml

from mlplab.errors import InputError
from mlplab.runs.files import Unusual, flatten, read_block, read_bytes, read_flat, read_text, split_blocks
from mlplab.runs.identity import Role, config_digest, name_today, role_of

LONGEST = 80
# Keys that a name shows otherwise: by the shape of the network, or by words of their own.
_SHAPE = ("model.hidden", "model.width", "model.depth")
_SEEDS = ("seed",)
# Keys whose last word is not clear by itself, and the word used instead.
_WORDS = {"max_epochs": "epochs", "max_steps": "steps"}
# Keys whose value is clear without the key: tanh, adamw, cosine.
_GROUPS = ("model", "loss", "optimizer", "schedule", "module", "input", "method", "trainer", "callbacks")


def short_names(keys: Sequence[str]) -> list[str]:
    """Shorten keys to their last word where that stays unique: ``width`` for ``model.width``."""
    last = [key.removesuffix("._target_").rpartition(".")[2].rpartition("/")[2] for key in keys]
    often = Counter(last)
    return [word if often[word] == 1 else key for key, word in zip(keys, last)]


def shown(value: Any) -> str:
    """Write a value as it is typed on the command line, class paths by their last word."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text.rpartition(".")[2] if text.startswith(("mlplab.", "torch.", "lightning.")) else text


def label(changed: Mapping[str, Any]) -> str:
    """Say in one line what a run changed, such as ``moons width=64 noise=0.3 tanh seed=1``; ``defaults`` for nothing.

    Args:
        changed: keys and values, as :meth:`mlplab.runs.names.Defaults.changes` lists them.
    """
    words = []
    for key, value in _by_name_of_file(changed).items():
        if _speaks_for_itself(key, value):
            words.append(shown(value))
        else:
            words.append(f"{short_key(key)}={shown(value).replace(' ', '')}")
    seeds = [word for word in words if word.startswith("seed=")]
    return " ".join([word for word in words if word not in seeds] + seeds) or "defaults"


def _by_name_of_file(changed: Mapping[str, Any]) -> dict[str, Any]:
    """Say a data file by its name alone, without folder, ending and fingerprint, as the value of ``data``."""
    path = changed.get("data.path")
    kept = {key: value for key, value in changed.items() if key not in ("data.path", "data.file_sha256")}
    return {"data": PurePath(str(path)).stem} | {k: v for k, v in kept.items() if k != "data"} if path else kept


def short_key(key: str) -> str:
    """Shorten one key by itself: its last word, but the whole key where many groups have the word."""
    last = key.rpartition(".")[2]
    if last in ("seed", "name", "weight", "path", "epochs", "patience", "steps") and "." in key:
        return key
    return _WORDS.get(last, last)


def name_of(config: Mapping[str, Any], choices: Mapping[str, str | None], conf: Path) -> str:
    """Name a run by its content: the data, the network, what differs from the defaults, the seed, digits of the digest.

    Args:
        config: resolved, as plain values; its ``name``, where it has one, is the name.
        choices: the option taken of each group.
        conf: where the defaults stand.
    """
    if config["name"] is not None:
        return config["name"]
    leads = [str(choices[group]) for group in ("data", "target", "neuron") if choices.get(group)]
    shape = shape_of(config.get("model", {})) or (str(choices["model"]) if choices.get("model") else None)
    return run_name(leads, Defaults(conf).changes(flatten(config)), shape, config["seed"], config_digest(config))


def run_name(
    leads: Sequence[str], changed: Mapping[str, Any], shape: str | None, seed: Any, digest: str, longest: int = LONGEST
) -> str:
    """Name a run folder, such as ``spiral-128-noise0.3-tanh-seed0-1a2b3c4d``.

    Args:
        leads: what the run is about: the data, the target, the neuron.
        changed: what differs from the defaults.
        shape: of the network, such as ``64x64``; None where there is none.
        seed: of the run.
        digest: what tells it from every other run; its first 8 digits end the name.
        longest: letters at most; changes that do not fit are counted, as in ``...-and3more-seed0-1a2b3c4d``.
    """
    begin = [*leads, *([shape] if shape else [])]
    end = [f"seed{seed}", digest[:8]]
    words = [
        _word(key, value)
        for key, value in changed.items()
        if key not in (*_SEEDS, *_SHAPE, "data", "target", "neuron")
        and not (key == "model" and shape)
        and not key.endswith("_sha256")  # the digest at the end says it
    ]
    for kept in range(len(words), -1, -1):
        rest = [f"and{len(words) - kept}more"] if kept < len(words) else []
        name = "-".join([*begin, *words[:kept], *rest, *end])
        if len(name) <= longest:
            return name
    return "-".join([*begin, *end])[-longest:].lstrip("-.")


def shape_of(model: Mapping[str, Any]) -> str | None:
    """Write the hidden widths of a model's config: ``128``, ``64x64``, ``64-depth8``; None where it has none."""
    if "hidden" not in model:
        return None
    hidden = model["hidden"]
    widths = hidden if hidden is not None else [model.get("width", 128)] * model.get("depth", 1)
    text = "x".join(map(str, widths)) or "linear"
    if len(set(widths)) == 1 and len(widths) > 3:
        return f"{widths[0]}-depth{len(widths)}"
    return text if len(text) <= 30 else f"depth{len(widths)}"


def _speaks_for_itself(key: str, value: Any) -> bool:
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w-]*", value)
    return bool(plain) and (key in _GROUPS or key in ("data", "target", "neuron", "model.activation"))


def _word(key: str, value: Any) -> str:
    is_path = key.rpartition(".")[2].endswith("path") and isinstance(value, str)
    text = re.sub(r"[^A-Za-z0-9.+-]+", "_", PurePath(value).stem if is_path else shown(value))
    text = "-" * bool(re.match(r"-\.?\d", text)) + text.strip("_.-")
    if is_path and short_key(key) == key:
        return text
    if _speaks_for_itself(key, value):
        return text
    last = key.rpartition(".")[2]
    name = f"{key.split('.')[0]}_{last}" if short_key(key) == key and "." in key else _WORDS.get(last, last)
    return f"{name}_{text}" if text[:1].isalpha() else f"{name}{text}"


class Defaults:
    """The defaults of every study, and the options of every group.

    Args:
        conf: the folder of configs, with a file for each study and a folder for each group.
    """

    def __init__(self, conf: str | Path) -> None:
        self.conf = Path(conf)
        self._options: dict[str, dict[str, dict[str, Any]]] = {}
        self._study: dict[Iterable[str], str | None] = {}
        self._seen: dict[tuple, dict[str, Any]] = {}

    @cached_property
    def signature(self) -> str:
        """Say in one text which files there are and when each was last changed."""
        files = sorted(self.conf.rglob("*.yaml"))
        return ";".join(f"{file.relative_to(self.conf)}:{file.stat().st_mtime_ns}" for file in files)

    @cached_property
    def studies(self) -> dict[str, dict[str, Any]]:
        """Give each study's defaults as dotted keys, groups left out, and what they are made of as ``groups``."""
        found = {}
        for file in sorted(self.conf.glob("*.yaml")):
            own = _read(file)
            entries = own.pop("defaults", [])
            groups: dict[str, str | None] = {}
            flat: dict[str, Any] = {}
            for entry in entries:
                if isinstance(entry, str) and entry != "_self_":
                    flat |= _flat(_read(self.conf / f"{entry}.yaml"))
                elif isinstance(entry, dict):
                    groups |= {key: value for key, value in entry.items() if " " not in key}
            if not groups:
                continue  # a part of other studies
            flat |= _flat(own)
            found[file.stem] = {"keys": flat, "groups": groups}
        return found

    def study_of(self, flat: Iterable[str]) -> str | None:
        """Tell the study from the keys of a config: the one that has most of its top-level keys."""
        keys = flat if isinstance(flat, tuple) else frozenset(key.partition(".")[0] for key in flat)
        if keys not in self._study:
            heads = frozenset(keys)

            def fit(study: str) -> int:
                known = {key.partition(".")[0] for key in self.studies[study]["keys"]} | {
                    *self.studies[study]["groups"]
                }
                return len(heads & known) - len(heads ^ known)

            self._study[keys] = max(self.studies, key=fit, default=None)
        return self._study[keys]

    def options(self, group: str) -> dict[str, dict[str, Any]]:
        """Give the options of a group by name, each as dotted keys within the group."""
        if group not in self._options:
            files = sorted((self.conf / group).glob("*.yaml"))
            self._options[group] = {file.stem: self._option(file) for file in files}
        return self._options[group]

    @cached_property
    def _linked(self) -> set[str]:
        """The groups in which a key follows one elsewhere, as ``order_seed: ${seed}``."""
        groups = {group for study in self.studies.values() for group in study["groups"]}
        return {
            group
            for group in groups
            if any(str(value).startswith("${") for option in self.options(group).values() for value in option.values())
        }

    def _option(self, file: Path) -> dict[str, Any]:
        own, flat = _read(file), {}
        for entry in own.pop("defaults", []):
            if isinstance(entry, str) and entry != "_self_":
                flat |= self._option(file.with_name(f"{entry}.yaml"))
        new = _flat(own)
        return {key: value for key, value in flat.items() if not any(key.startswith(f"{k}.") for k in new)} | new

    def changes(self, flat: Mapping[str, Any], study: str | None = None) -> dict[str, Any]:
        """List what a config changed.

        Args:
            flat: the resolved config as dotted keys.
            study: its root config; None to tell it from the keys.

        Returns:
            The changed keys and their values, in the order of the config. Where another option of a group was
            taken, ``group`` and its name stand first, and what follows differs from that option's file; of a
            class that no option names, every key counts as changed.
        """
        study = study or self.study_of(flat)
        if study not in self.studies:
            return {}
        groups: dict[str, dict[str, Any]] = {}
        for key, value in flat.items():
            head, _, rest = key.partition(".")
            groups.setdefault(head, {})[rest] = value
        changed = {}
        for head, own in groups.items():
            changed |= self._changes_below(study, head, own, flat)
        return changed

    def read(self, path: str | Path) -> tuple[str | None, dict[str, Any], Any]:
        """Read from a ``config.yaml`` its study, what it changed, and its seed.

        Raises:
            InputError: the file is missing, or is no mapping in YAML.
        """
        try:
            blocks = split_blocks(read_text(path))
            parts = [read_block(block) for block in blocks]
        except (OSError, UnicodeDecodeError, Unusual):
            flat = read_flat(path)
            return self.study_of(flat), self.changes(flat), flat.get("seed")
        # The runs of a sweep share most blocks of text.
        heads = tuple([next(iter(part)).partition(".")[0] for part in parts])
        study = self.study_of(heads)
        seed = next((part["seed"] for part in parts if "seed" in part), None)
        changed: dict[str, Any] = {}
        for head, block, part in zip(heads, blocks, parts):
            seen = (study, block, seed if head in self._linked else None)
            if seen not in self._seen:
                own = {key.partition(".")[2]: value for key, value in part.items()}
                self._seen[seen] = self._changes_below(study, head, own, {"seed": seed}) if study else {}
            changed |= self._seen[seen]
        return study, changed, seed

    def _changes_below(self, study: str, head: str, own: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
        known = self.studies[study]
        if head in known["groups"] and head not in ("experiment", "launcher", "logger"):
            return self._group_changes(head, own, known["groups"][head], flat)
        if Role.SHOWN not in role_of(head):
            return {}
        keys = {f"{head}.{rest}" if rest else head: value for rest, value in own.items()}
        return {key: value for key, value in keys.items() if not _same(value, known["keys"].get(key), flat)}

    def _group_changes(
        self, group: str, own: Mapping[str, Any], usual: str | None, flat: Mapping[str, Any]
    ) -> dict[str, Any]:
        own = {key: name_today(value) if key.endswith("_target_") else value for key, value in own.items()}
        options = self.options(group)
        fits = [name for name, option in options.items() if option.get("_target_") == own.get("_target_")]
        if not fits:
            name = str(own.get("_target_", "")).rpartition(".")[2] or "other"
            plain = {f"{group}.{key}": value for key, value in own.items() if key[:1] != "_"}
            return {group: name} | {key: value for key, value in plain.items() if not key.endswith("order_seed")}
        found = {name: _differences(own, options[name], flat) for name in fits}
        name = min(fits, key=lambda name: (len(found[name]), name != usual))
        if usual in found and len(found[usual]) <= len(found[name]) + (group != "trainer"):
            name = usual  # of one class: a key that was changed says more than the name of another file
        changed = {} if name == usual else {group: name}
        changed |= {f"{group}.{key}": value for key, value in found[name].items()}
        return {key: value for key, value in changed.items() if Role.SHOWN in role_of(key)}

    def value(self, key: str, changed: Mapping[str, Any], study: str | None) -> Any:
        """Give a key's value in a config of which only the changes are known; None where it has no such key."""
        if key in changed:
            return changed[key]
        if study not in self.studies:
            return None
        known = self.studies[study]
        head, _, rest = key.partition(".")
        if head in known["groups"]:
            name = changed.get(head, known["groups"][head])
            value = self.options(head).get(name, {}).get(rest) if rest else name
        else:
            value = known["keys"].get(key)
        if isinstance(value, str) and value.startswith("${") and value[2:-1] != key:
            return self.value(value[2:-1], changed, study)
        return value

    def keys(self, study: str, changed: Mapping[str, Any]) -> list[str]:
        """List every key that a config of some changes has."""
        known = self.studies.get(study, {"keys": {}, "groups": {}})
        found = [*known["keys"], *changed]
        for group, usual in known["groups"].items():
            option = self.options(group).get(changed.get(group, usual), {})
            found += [group, *(f"{group}.{key}" for key in option)]
        return list(dict.fromkeys(found))


def _differences(own: Mapping[str, Any], option: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: value for key, value in own.items() if not _same(value, option.get(key), flat)}
    named = {key.removesuffix("._target_"): value for key, value in found.items()}  # of a part of its own: its class
    return {key: value for key, value in named.items() if not key.endswith(("_target_", "_partial_"))}


def _same(value: Any, usual: Any, flat: Mapping[str, Any]) -> bool:
    if isinstance(usual, str) and usual.startswith("${"):
        return value == flat.get(usual[2:-1]) or usual.startswith("${logs_folder")
    if value != usual and isinstance(usual, str) and isinstance(value, int | float):
        try:
            return float(usual) == value  # YAML takes 5e-3 for a text
        except ValueError:
            return False
    return value == usual


@lru_cache(maxsize=4)
def defaults_in(conf: Path) -> Defaults:
    """Give the defaults of a folder of configs, read once for all runs of a process."""
    return Defaults(conf)


def _flat(value: dict[str, Any]) -> dict[str, Any]:
    return flatten({key: part for key, part in value.items() if key not in ("hydra", "defaults")})


def _read(file: Path) -> dict[str, Any]:
    try:
        value = yaml.load(read_bytes(file), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read: {' '.join(str(error).split())[:120]}") from error
    return value if isinstance(value, dict) else {}
