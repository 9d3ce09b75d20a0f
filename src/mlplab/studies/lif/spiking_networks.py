"""What the spiking study measures: a run's network as neurons, over R and tau_ref, by depth, its rivals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mlplab.cli.finished_run import load_network
from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.runs.files import read_json
from mlplab.runs.folder import claim, open_run
from mlplab.studies.lif.neuron import Neuron
from mlplab.studies.lif.spiking import Weights, normalise, relu_logits, run_spiking, settling_time_ms
from mlplab.training.fit import fit, fit_members


@dataclass
class Trained:
    """Hold a trained ReLU network with its data and config; `weights` are normalised on training data."""

    name: str
    config: Any
    data: Any
    weights: Weights
    hidden: list[int]

    @property
    def test(self) -> tuple[np.ndarray, np.ndarray]:
        """Return test inputs (N, D), float64, and labels (N,)."""
        points = self.data.test
        return points.x.numpy().reshape(len(points.x), -1).astype(np.float64), points.y.numpy()


def load_run(path: str | Path, data: Any = None) -> Trained:
    """Read a run's ReLU network; `data` spares making the run's data again.

    Raises:
        InputError: no finished run, or a network that is not a ReLU perceptron.
    """
    folder = open_run(path)
    config = configs.load_recorded(folder.config)
    if not folder.result.is_file():
        raise InputError(f"runs: {path} has no result.json: the run has not finished")
    if data is None:
        data = instantiate(config.data)
        data.setup()
    network = load_network(folder, config, data, read_json(folder.result)["evaluated"]).member(0)
    return of_network(folder.path.name, config, data, network)


def of_network(name: str, config: Any, data: Any, network: Any) -> Trained:
    """Take a network's weights, normalised on the training data."""
    if not isinstance(network, MLP) or network.activation != "relu":
        kind = f"the activation {network.activation}" if isinstance(network, MLP) else type(network).__name__
        raise InputError(f"runs: {name} must be a ReLU network (model=mlp model.activation=relu), got {kind}")
    layers = network.linear_layers()
    weights = Weights(
        [layer.weight.detach().numpy() for layer in layers], [layer.bias.detach().numpy() for layer in layers]
    )
    x = data.train.x.numpy().reshape(len(data.train.x), -1).astype(np.float64)
    return Trained(name, config, data, normalise(weights, x), list(network.hidden))


def accuracy(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the share of points whose largest logit is their label; leading axes stay."""
    return (logits.argmax(axis=-1) == y).mean(axis=-1)


def nll(logits: np.ndarray, y: np.ndarray) -> float:
    """Return the mean cross entropy of logits (N, C)."""
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(y)))


def over_time(trained: Trained, neuron: Neuron, options: Mapping[str, Any]) -> dict[str, Any]:
    """Run the test points and measure accuracy over time beside the ReLU network's."""
    x, y = trained.test
    relu = relu_logits(trained.weights, x)
    reads = np.unique(
        np.round(np.geomspace(options["dt_ms"], options["duration_ms"], 120) / options["dt_ms"])
    )
    times, logits, spikes = run_spiking(
        trained.weights, x, neuron, **options, read_ms=reads * options["dt_ms"]
    )
    accuracies, reference = accuracy(logits, y), float(accuracy(relu, y))
    return {
        "times_ms": times,
        "accuracies": accuracies,
        "agreements": (logits.argmax(-1) == relu.argmax(-1)).mean(-1),
        "relu_accuracy": reference,
        "relu_nll": nll(relu, y),
        "final_accuracy": float(accuracies[-1]),
        "final_nll": nll(logits[-1], y),
        "settled_ms": settling_time_ms(times, accuracies, reference - 0.01),
        "spikes": spikes,
    }


def final_accuracies(trained: Trained, neurons: Sequence[Neuron], options: Mapping[str, Any]) -> list[float]:
    """Return the accuracy at the end of the run for each kind of neuron."""
    x, y = trained.test
    end = [options["duration_ms"]]
    return [
        float(accuracy(run_spiking(trained.weights, x, n, **options, read_ms=end)[1][-1], y)) for n in neurons
    ]


def job(trained: Trained, *overrides: str) -> dict[str, Any]:
    """Return the run's config with overrides and without pictures, loggers and progress."""
    config = OmegaConf.to_container(configs.override(trained.config, overrides))
    kept = ("checkpoints", "divergence_guard")
    config["callbacks"] = {name: config["callbacks"].get(name) for name in kept}
    config["logger"] = {}
    return config


def by_depth(
    trained: Trained,
    depths: Sequence[int],
    width: int,
    seeds: int,
    neuron: Neuron,
    options: Mapping[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Train ReLU networks of some depths on the run's data; measure how long their twins need to agree.

    The networks stay in run folders of their own under `folder`.
    """
    x, y = trained.test
    reads = np.unique(np.round(np.geomspace(1, options["duration_ms"] / options["dt_ms"], 90)))
    rows, first, settled, within = [], [], [], []
    for depth in depths:
        configs_of = [
            job(trained, "model.hidden=null", f"model.width={width}", f"model.depth={depth}", f"seed={seed}")
            for seed in range(seeds)
        ]
        folders = [claim(folder, f"depth{depth}-seed{seed}") for seed in range(seeds)]
        fit_members(configs_of, folders)
        disagreements, begun, ready, points = [], [], [], []
        for path in folders:
            twin = load_run(path, trained.data)
            relu = relu_logits(twin.weights, x)
            times, logits, _ = run_spiking(
                twin.weights, x, neuron, **options, read_ms=reads * options["dt_ms"]
            )
            agreement = (logits.argmax(-1) == relu.argmax(-1)).mean(-1)
            disagreements.append(1 - agreement)
            begun.append(settling_time_ms(times, agreement, 0.9))
            ready.append(settling_time_ms(times, agreement, 0.99))
            points.append(settling_time_ms(times, accuracy(logits, y), float(accuracy(relu, y)) - 0.01))
        rows.append(np.mean(disagreements, axis=0))
        first.append(begun)
        settled.append(ready)
        within.append(points)
    return {
        "times_ms": times,
        "disagreements": np.array(rows),
        "depths": list(depths),
        "agreed_90_ms": first,
        "agreed_99_ms": settled,
        "within_one_point_ms": within,
    }


def trained_through_spikes(trained: Trained, options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Train a spiking network of the same shape on the same data by a surrogate; return its result."""
    hidden = ",".join(map(str, trained.hidden))
    config = job(
        trained,
        "model=spiking_mlp",
        f"model.hidden=[{hidden}]",
        f"model.steps={options['steps']}",
        f"optimizer.lr={options['lr']}",
        f"trainer.max_epochs={options['epochs']}",
    )
    return fit(config, claim(folder, "surrogate"))
