"""What a run folder holds, as far as two runs of the same must agree: no times, no places."""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from mlplab.runs import checkpoint
from mlplab.runs.identity import tensor_sha256

TIMES = ("seconds", "heartbeat", "heartbeat_utc", "pid", "process", "host", "name", "command", "start_utc", "members")


def contents(folder: Path, root: Path) -> dict[str, Any]:
    """Describe each file of a folder by what must be equal; ``root`` is left out of the texts."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or "tensorboard/" in name or path.suffix == ".log":
            continue
        found[name] = _content(path, root)
    for place in sorted(folder.rglob("tensorboard")):
        found[str(place.relative_to(folder))] = events(place)
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name the files by which two folders differ."""
    return [
        f"{name} {'is left' if name not in one else 'is missing' if name not in other else 'differs'}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def _content(path: Path, root: Path) -> Any:
    if path.suffix == ".ckpt":
        payload = checkpoint.load(path)
        for states in (payload, payload.get("mlplab", {})):
            states.get("callbacks", {}).pop("Timing", None)
        if payload.get("mlplab", {}).get("engine") == "lightning":
            for name in ("loops", "epoch"):
                payload.pop(name)  # Lightning counts on otherwise after going on
        return tensor_sha256(payload)
    data = path.read_bytes()
    if path.suffix == ".json":
        return _without_times(json.loads(data.replace(os.fsencode(root), b"ROOT")))
    if path.suffix in (".html", ".yaml", ".csv"):
        text = data.decode().replace(str(root), "ROOT")
        told = r'( in )?\d+(\.\d+)? s\b|\\"(pid|start_utc)\\": [^,]*,|\\"command\\": \[.*?\]'
        text = re.sub(told, "", text, flags=re.DOTALL)
        return hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(data).hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(part) for key, part in value.items() if key not in TIMES}
    return [_without_times(part) for part in value] if isinstance(value, list) else value


def events(folder: Path) -> dict[str, Any]:
    """Read a folder of event files as TensorBoard does: steps and values by run and tag."""
    from tensorboard.backend.event_processing import event_accumulator

    shown: dict[str, Any] = {}
    for run in sorted({path.parent for path in folder.rglob("events.out.tfevents.*")}):
        reader = event_accumulator.EventAccumulator(
            str(run), size_guidance=dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
        )
        reader.Reload()
        tags = reader.Tags()
        for tag in tags["scalars"]:
            shown[f"{run.name} {tag}"] = [(event.step, event.value) for event in reader.Scalars(tag)]
        for tag in tags["images"]:
            shown[f"{run.name} {tag}"] = [
                (e.step, hashlib.sha256(e.encoded_image_string).hexdigest()) for e in reader.Images(tag)
            ]
        for tag in tags["tensors"]:
            shown[f"{run.name} {tag}"] = [event.step for event in reader.Tensors(tag)]
    return shown
