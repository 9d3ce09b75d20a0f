"""Networks read back from the checkpoints of a run folder."""

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as L

from mlplab.errors import InputError
from mlplab.population.stacking import stack
from mlplab.runs import checkpoint
from mlplab.runs.files import read_record
from mlplab.runs.folder import RunFolder
from mlplab.runs.identity import config_digest
from mlplab.training.build import build_module
from mlplab.training.callbacks.checkpoints import digest_of, network_state, pruned_state
from mlplab.training.classifier import Classifier
from mlplab.training.members import SingleNetwork, network_of


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


def load_population(folder: RunFolder, config: Mapping[str, Any], data: Any, which: str) -> Any:
    """Build a run's network as a population of one, which computes to the bits of the engine that trained it.

    Args:
        folder: the run.
        config: its config, plain values.
        data: its data, set up.
        which: "best" or "last".
    """
    module = build_module(config, data)
    load_network(module, folder, config, which)
    manifest = read_record(folder.manifest) if folder.manifest.is_file() else {}
    if manifest.get("engine", "population") == "population" and isinstance(module, Classifier):
        return stack([module.model], [config["seed"]])
    return SingleNetwork(network_of(module))
