"""Weights that a page saved as JSON, read back as a network."""

from pathlib import Path
from typing import Any

import torch

from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.runs.files import read_record


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
