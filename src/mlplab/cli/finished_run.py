"""A finished run read back: its result and its network."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from mlplab.errors import InputError
from mlplab.population.stacking import Population, stack
from mlplab.runs import checkpoint
from mlplab.runs.files import read_record
from mlplab.runs.fingerprint import config_digest
from mlplab.runs.folder import RunFolder
from mlplab.training.fit import build_model
from mlplab.training.results import PARTS
from mlplab.training.trainer import PRECISIONS

FIGURES = ("accuracy", "nll", "calibration_error")
BAYES = ("bayes_accuracy", "bayes_nll")


def read_result(folder: RunFolder) -> dict[str, Any]:
    """Read ``result.json`` as far as an evaluation looks at it.

    Raises:
        InputError: the run has not finished, or the file is damaged.
    """
    path = folder.result
    if not path.is_file():
        raise InputError(f"{folder.path} has no result.json: the run has not finished; go on with resume={folder.path}")
    result = read_record(path)
    if result.get("evaluated") not in ("best", "last"):
        raise InputError(f"{path} is damaged: evaluated must be best or last, got {result.get('evaluated')!r:.40}")
    for name in PARTS:
        part = result.get(name)
        if part is not None and not (isinstance(part, dict) and {*FIGURES, *BAYES} <= part.keys()):
            raise InputError(f"{path} is damaged: {name} must have {', '.join(FIGURES)}, got {part!r:.40}")
    return result


def load_network(folder: RunFolder, config: DictConfig, data: Any, which: str) -> Population:
    """Build a run's network as a population of one, at its best or last state.

    Args:
        folder: the run.
        config: its config.
        data: its data module, set up.
        which: "best" or "last".
    """
    path = folder.checkpoints / f"{which}.ckpt"
    payload = checkpoint.load(path)
    plain = OmegaConf.to_container(config)
    if payload.get("config_digest") != config_digest(plain):
        raise InputError(f"{path} is of another config than {folder.config}: one of the two was changed")
    module = build_model(plain, data).to(PRECISIONS[plain["trainer"]["precision"]])
    network = stack([module], [plain["seed"]])
    network.join(payload["model"], network.theta[0])
    network.load_buffers(0, payload["buffers"])
    return network
