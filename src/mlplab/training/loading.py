"""Networks read back from checkpoints of a run folder, of this version or of 0.1, or from a file that a page saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from torch import Tensor, nn

from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.runs import checkpoint
from mlplab.runs.files import read_record
from mlplab.runs.folder import RunFolder, open_run
from mlplab.runs.identity import config_digest
from mlplab.training.members import network_of

# In a checkpoint: where what the engine needs stands, and what the names of a classifier's network begin with.
KEY = "mlplab"
PREFIX = "model."


def network_state(payload: Mapping[str, Any], path: Path | str) -> dict[str, Tensor]:
    """Give the network's arrays by name, parameters and buffers, from a checkpoint of this version or of 0.1.

    Raises:
        InputError: the file holds no network.
    """
    if "state_dict" in payload:
        named = payload["state_dict"]
        if not isinstance(named, Mapping) or not all(isinstance(value, Tensor) for value in named.values()):
            raise InputError(f"the checkpoint {path} holds no network: its state_dict must hold arrays by name")
        own = {name.removeprefix(PREFIX): value for name, value in named.items() if name.startswith(PREFIX)}
        return own or dict(named)
    if isinstance(payload.get("model"), Mapping):
        return {**payload["model"], **payload.get("buffers", {})}
    raise InputError(f"the checkpoint {path} holds no network")


def pruned_state(state: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Multiply out what torch's pruning left as ``NAME_orig`` and ``NAME_mask``, where the network itself has NAME."""
    own, found = network.state_dict(), dict(state)
    for name in own:
        if name not in found and f"{name}_orig" in found and f"{name}_mask" in found:
            values, mask = found.pop(f"{name}_orig"), found.pop(f"{name}_mask")
            found[name] = mask.to(values.dtype) * values
    return found


def digest_of(payload: Mapping[str, Any]) -> Any:
    """Give the digest of the config that a checkpoint belongs to."""
    own = payload.get(KEY, payload)
    return own.get("config_digest") if isinstance(own, Mapping) else None


def load_network(module: L.LightningModule, folder: RunFolder, config: Mapping[str, Any], which: str) -> None:
    """Put the network of a run's checkpoint into a module.

    Raises:
        InputError: the file is missing, damaged, or of another run.
    """
    path = folder.checkpoints / f"{which}.ckpt"
    payload = checkpoint.load(path)
    if digest_of(payload) != config_digest(config):
        raise InputError(f"{path} is of another config than {folder.config}: one of the two was changed")
    network = network_of(module)
    try:
        network.load_state_dict(pruned_state(network_state(payload, path), network))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} does not fit the network of {folder.config}: {reason}") from error


def start_from(module: L.LightningModule, path: str) -> None:
    """Give a module the weights that a finished run was measured with, or those of a file that a page saved.

    Raises:
        InputError: there is no such run or file, or its network is another.
    """
    network = network_of(module)
    if path.endswith(".json"):
        state = read_weights(path)[0].state_dict()
    else:
        folder = open_run(path)
        result = read_record(folder.result) if folder.result.is_file() else {}
        file = folder.checkpoints / f"{result.get('evaluated', 'last')}.ckpt"
        content = checkpoint.load(file)
        if isinstance(result.get("config_digest"), str) and digest_of(content) != result["config_digest"]:
            raise InputError(f"{file} is of another config than {folder.config}: one of the two was changed")
        state = pruned_state(network_state(content, file), network)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"init_from={path} is of another network: {' '.join(str(error).split())[:160]}") from error


def read_weights(path: str | Path) -> tuple[MLP, dict[str, Any]]:
    """Build the network of a JSON file that a page saved.

    Args:
        path: of the file: under ``model`` the arguments of :class:`mlplab.nn.mlp.MLP`, under ``state_dict`` its
            weights as lists.

    Returns:
        The network, and what else the file says (``command``, ``epoch``, ...).

    Raises:
        InputError: the file is damaged, or its weights are not those of its network.
    """
    record = read_record(path)
    model, state = record.pop("model", None), record.pop("state_dict", None)
    if not isinstance(model, dict) or not isinstance(state, dict):
        raise InputError(f"{path} holds no weights: it must have model and state_dict, as the pages save them")
    try:
        network = MLP(**model, seed=0)
        network.load_state_dict({name: torch.tensor(value, dtype=torch.float32) for name, value in state.items()})
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{path} does not hold the weights of its network: {' '.join(str(error).split())[:160]}"
        ) from error
    if not all(value.isfinite().all() for value in network.state_dict().values()):
        raise InputError(f"{path} holds weights that are no numbers")
    return network, record
