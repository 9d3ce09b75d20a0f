"""Names that say what was changed from the defaults: of run folders, in tables and in pictures."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

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
        changed: keys and values, as :meth:`mlplab.runs.defaults.Defaults.changes` lists them.
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
    text = re.sub(r"[^A-Za-z0-9.+-]+", "_", PurePath(value).stem if is_path else shown(value)).strip("_.-")
    if is_path and short_key(key) == key:
        return text
    if _speaks_for_itself(key, value):
        return text
    last = key.rpartition(".")[2]
    name = f"{key.split('.')[0]}_{last}" if short_key(key) == key and "." in key else _WORDS.get(last, last)
    return f"{name}{text}" if text[:1].isdigit() or not text else f"{name}_{text}"
