"""What the spiking study measures: a run's network as neurons, over R and tau_ref, by depth, its rivals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mlplab.config import composition as configs
from mlplab.errors import InputError
from mlplab.nn.mlp import MLP
from mlplab.runs.files import read_json
from mlplab.runs.folder import claim, open_run
from mlplab.studies.lif.conversion import balanced, centred, fitted
from mlplab.studies.lif.neuron import Neuron
from mlplab.studies.lif.spiking import Weights, normalise, relu_logits, run_spiking, settling_time_ms
from mlplab.training.build import load_population
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
    network = load_population(
        folder, OmegaConf.to_container(config), data, read_json(folder.result)["evaluated"]
    ).member(0)
    return of_network(folder.path.name, config, data, network)


def of_network(name: str, config: Any, data: Any, network: Any) -> Trained:
    """Take a network's weights, normalised on the training data."""
    if not isinstance(network, MLP) or {name for name, _ in network.activations} != {"relu"}:
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
    reads = np.unique(np.round(np.geomspace(options["dt_ms"], options["duration_ms"], 120) / options["dt_ms"]))
    times, logits, spikes = run_spiking(trained.weights, x, neuron, **options, read_ms=reads * options["dt_ms"])
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
    return [float(accuracy(run_spiking(trained.weights, x, n, **options, read_ms=end)[1][-1], y)) for n in neurons]


def at_few_steps(networks: Sequence[Trained], neuron: Neuron, few: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Measure what spiking networks lose at T time steps of about one spike each for activation 1.

    Args:
        networks: one or more.
        neuron: the kind of their spiking neurons.
        few: `try`, the T, and `quantile`, the part of the training inputs on which a neuron keeps to one spike a step.
        seed: of the fit.

    Returns:
        Lists over T of the mean loss in accuracy (ReLU network minus spiking, on the same points), with its standard
        error over networks, or over points of a single one: by layer scaling, balanced (a threshold a neuron), centred
        (and a start a neuron) and fitted (and an output layer for the counts).
    """
    measured = [_losses(trained, neuron, few, seed) for trained in networks]
    found: dict[str, Any] = {
        "steps": list(few["try"]),
        "points": len(measured[-1][1]["layers"][0]),
        "networks": len(networks),
        "relu_accuracy": float(np.mean([accuracy for accuracy, _ in measured])),
    }
    for name in ("layers", "balanced", "centred", "fitted"):
        rows = [own[name] for _, own in measured]
        means = np.array([[values.mean() for values in row] for row in rows])  # (networks, T)
        found[name] = means.mean(0).tolist()
        one = np.array([values.std() / np.sqrt(len(values)) for values in rows[0]])
        found[f"{name}_error"] = (means.std(0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else one).tolist()
    return found


def _losses(
    trained: Trained, neuron: Neuron, few: Mapping[str, Any], seed: int
) -> tuple[float, dict[str, list[np.ndarray]]]:
    """Give a network's accuracy, and by kind for each T which points it has right more than its spiking copy (-1, 0, 1)."""
    points = trained.data.fresh if len(trained.data.fresh.x) else trained.data.test
    x, y = points.x.numpy().reshape(len(points.x), -1).astype(np.float64), points.y.numpy()
    train = trained.data.train.x.numpy().reshape(len(trained.data.train.x), -1).astype(np.float64)
    right = (relu_logits(trained.weights, x).argmax(-1) == y).astype(float)
    even, by_layer = balanced(trained.weights, train, few["quantile"]), normalise(trained.weights, train, 0.99)
    halves = [np.full(len(bias), 0.5) for bias in even.biases[:-1]]
    found: dict[str, list[np.ndarray]] = {"layers": [], "balanced": [], "centred": [], "fitted": []}
    for steps in few["try"]:
        moved, starts = centred(even, steps, np.zeros(x.shape[1]))
        last = fitted(moved, even, train, steps, starts, seed=seed)
        kinds = {
            "layers": (by_layer, halves),
            "balanced": (even, halves),
            "centred": (moved, starts),
            "fitted": (last, starts),
        }
        options = {"duration_ms": steps, "dt_ms": 1.0, "max_rate_hz": 1000.0, "read_ms": [steps]}
        for name, (weights, start) in kinds.items():
            logits = run_spiking(weights, x, neuron, **options, start_fraction=start)[1][-1]
            found[name].append(right - (logits.argmax(-1) == y))
    return right.mean(), found


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
    training: Mapping[str, Any],
    neuron: Neuron,
    options: Mapping[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """Train ReLU networks of some depths on draws of the run's data; measure how long their twins need to agree.

    Networks that are trained too little have other latencies: each depth has the best of the first learning rates in
    `training`, by validation loss over all draws, along a cosine. Network k has seed k and its own draw of the data, number k
    from the run's own on, so that errors hold weights, training points and test points. The networks stay in run folders
    of their own under `folder`.
    """
    well = ["schedule=cosine", f"trainer.max_epochs={training['epochs']}", "data.fresh_points=0"]
    rates = training["lr"] if isinstance(training["lr"], list) else [training["lr"]]
    draw = int(trained.config.data.get("seed", 0))
    reads = np.unique(np.round(np.geomspace(1, options["duration_ms"] / options["dt_ms"], 90)))
    found: dict[str, Any] = {
        name: []
        for name in ("disagreements", "lr", "agreed_90_ms", "agreed_99_ms", "within_one_point_ms", "relu_accuracies")
    }
    for depth in depths:
        shape = ["model.hidden=null", f"model.width={width}", f"model.depth={depth}", *well]
        grid = [(rate, seed) for rate in rates for seed in range(seeds)]
        configs_of = [
            job(trained, *shape, f"optimizer.lr={rate}", f"seed={seed}", f"data.seed={draw + seed}")
            for rate, seed in grid
        ]
        folders = [claim(folder, f"depth{depth}-lr{rate:g}-draw{draw + seed}") for rate, seed in grid]
        results = [result["validation"] for result in fit_members(configs_of, folders)]
        judge = "nll" if results[0]["nll_regret"] is None else "nll_regret"
        losses = [result[judge] for result in results]
        best = min(range(len(rates)), key=lambda place: np.mean(losses[place * seeds : (place + 1) * seeds]))
        disagreements, own = [], {name: [] for name in found if name.endswith(("_ms", "accuracies"))}
        for path in folders[best * seeds : (best + 1) * seeds]:
            twin = load_run(path)
            x, y = twin.test
            relu = relu_logits(twin.weights, x)
            times, logits, _ = run_spiking(twin.weights, x, neuron, **options, read_ms=reads * options["dt_ms"])
            agreement = (logits.argmax(-1) == relu.argmax(-1)).mean(-1)
            disagreements.append(1 - agreement)
            own["relu_accuracies"].append(float(accuracy(relu, y)))
            own["agreed_90_ms"].append(settling_time_ms(times, agreement, 0.9))
            own["agreed_99_ms"].append(settling_time_ms(times, agreement, 0.99))
            own["within_one_point_ms"].append(
                settling_time_ms(times, accuracy(logits, y), own["relu_accuracies"][-1] - 0.01)
            )
        for name, values in (own | {"disagreements": np.mean(disagreements, axis=0), "lr": float(rates[best])}).items():
            found[name].append(values)
    return found | {"times_ms": times, "depths": list(depths), "disagreements": np.array(found["disagreements"])}


def mean_and_error(times_ms: Sequence[float]) -> tuple[float, float]:
    """Return the mean over networks and its standard error; infinite where one of them never came that far."""
    times = np.asarray(times_ms, dtype=np.float64)
    if not np.isfinite(times).all():
        return float("inf"), float("nan")
    return float(times.mean()), float(times.std(ddof=1) / np.sqrt(len(times))) if len(times) > 1 else float("nan")


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
