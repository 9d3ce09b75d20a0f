"""Other classifiers on a run's training points: the Bayes learner, neighbours, densities, infinite and tuned networks."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from mlplab.config.composition import compose
from mlplab.data.datasets import polar_features
from mlplab.data.learner import fit_spirals, kernel_densities, nearest_neighbours
from mlplab.data.modules import SpiralDataModule
from mlplab.nn.infinite_width import kernels, regression
from mlplab.training.fit import fit_members
from mlplab.training.results import measure

NEIGHBOURS = (5, 10, 20, 40, 80)
BANDWIDTHS = tuple(np.geomspace(0.05, 0.6, 9).round(3).tolist())
# Points that are added to a place's own, evenly over the classes: of neighbours, and of a kernel density, where without
# them the nearest of all points alone decides far outside, at any distance, and a few fresh points cost more than all others.
PRIORS, OUTSIDE = (1.0, 0.1, 0.01), 1e-5
# Of the infinitely wide networks: variance of the biases (of the weights: 2 over the fan-in), ridge, and what the
# regression on the labels is multiplied by to be logits.
BIASES = (0.01, 0.1, 1.0)
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
SCALES = tuple(np.geomspace(1, 100, 41).round(3).tolist())
# Factors on the network's own learning rate and epochs: six trainings with a cosine schedule.
RATES, LENGTHS = (1 / 3, 1, 3), (1, 3)
BEST = ("near_bayes", "near_bayes_polar")
LABELS = {
    "bayes_learner": "Bayes learner",
    "kernel_density": "kernel density, log-polar",
    "neighbours": "nearest neighbours",
    "nngp": "infinitely wide, random (NNGP)",
    "ntk": "infinitely wide, trained (NTK)",
    "best_network": "best network known",
    "best_of_architecture": "best of this architecture",
    "run": "this run",
}
# Of a run's regret: the parts, and whose regret each ends at.
PARTS = ("data", "bias", "architecture", "optimisation")
LEVELS = ("bayes_learner", "best_network", "best_of_architecture", "run")
Metrics = dict[str, Any]


def without_training(data: SpiralDataModule, depth: int) -> dict[str, Metrics]:
    """Measure the Bayes learner and the classifiers that need no training on fresh points, by name.

    The settings of each are chosen on validation points, by KL from the posterior.

    Args:
        data: with a known density, validation and fresh points.
        depth: hidden layers of the infinitely wide networks, which see the network's inputs.
    """
    x, y = data.posterior_inputs("train"), data.train.y
    learner = fit_spirals(x, y, arms=data.classes, t_min=data.t_min, t_max=data.t_max)
    found = {"bayes_learner": judged(data, "fresh", learner.log_posterior(data.posterior_inputs("fresh")))}
    found["bayes_learner"] |= {
        "noise": float(torch.tensor(learner.mode[0]).exp()),
        "turn_degrees": float(learner.mode[1]),
        "winding": float(learner.mode[2]),
    }

    def neighbours(part: str, setting: tuple) -> Tensor:
        k, prior = setting
        return nearest_neighbours(x, y, data.posterior_inputs(part), neighbours=k, classes=data.classes, prior=prior)

    def densities(part: str, width: float) -> Tensor:
        own, other = (polar_features(points)[:, :3] for points in (x, data.posterior_inputs(part)))
        return kernel_densities(own, y, other, bandwidth=width, classes=data.classes, prior=OUTSIDE)

    found["kernel_density"] = chosen(data, densities, BANDWIDTHS)
    found["neighbours"] = chosen(data, neighbours, list(product([k for k in NEIGHBOURS if k <= len(y)] or [1], PRIORS)))
    return found | infinitely_wide(data, depth)


def chosen(data: SpiralDataModule, predict: Callable[[str, Any], Tensor], settings: Sequence[Any]) -> Metrics:
    """Measure log probabilities on fresh points in the setting of lowest KL on validation points."""
    best = min(settings, key=lambda one: judged(data, "validation", predict("validation", one))["nll_regret"])
    return judged(data, "fresh", predict("fresh", best)) | {"setting": best}


def judged(data: SpiralDataModule, part: str, log_probabilities: Tensor) -> Metrics:
    """Measure log probabilities on a part beside Bayes."""
    return measure(log_probabilities, getattr(data, part).y, data.log_posterior(part))


def infinitely_wide(data: SpiralDataModule, depth: int) -> dict[str, Metrics]:
    """Measure ReLU networks of infinite width and some depth: ``nngp`` (random) and ``ntk`` (trained by small steps).

    Both regress the labels, as +1 less the mean, on the kernel; the prediction times a scale serves as logits.
    """
    x = data.train.x.flatten(1).double()
    targets = torch.nn.functional.one_hot(data.train.y, data.classes).double() - 1 / data.classes
    solved = {}
    for bias in BIASES:
        for name, kernel in zip(("nngp", "ntk"), kernels(x, x, depth=depth, bias_variance=bias)):
            solved |= {(name, bias, ridge): a for ridge, a in zip(RIDGES, regression(kernel, targets, RIDGES))}

    def outputs(part: str, bias: float) -> dict[tuple, Tensor]:
        """Predict on a part by all solutions of one bias variance."""
        keys = [key for key in solved if key[1] == bias]
        rows: dict[tuple, list[Tensor]] = {key: [] for key in keys}
        for some in getattr(data, part).x.flatten(1).split(2000):
            pair = dict(zip(("nngp", "ntk"), kernels(some, x, depth=depth, bias_variance=bias)))
            for key in keys:
                rows[key].append(pair[key[0]] @ solved[key])
        return {key: torch.cat(parts) for key, parts in rows.items()}

    seen = {key: values for bias in BIASES for key, values in outputs("validation", bias).items()}
    found = {}
    for name in ("nngp", "ntk"):

        def regret(setting: tuple, name: str = name) -> float:
            bias, ridge, scale = setting
            return judged(data, "validation", (scale * seen[name, bias, ridge]).log_softmax(1))["nll_regret"]

        bias, ridge, scale = min(product(BIASES, RIDGES, SCALES), key=regret)
        logits = scale * outputs("fresh", bias)[name, bias, ridge]
        found[name] = judged(data, "fresh", logits.log_softmax(1)) | {
            "setting": {"depth": depth, "bias_variance": bias, "ridge": ridge, "scale": scale}
        }
    return found


def trained(configs: Sequence[dict[str, Any]]) -> list[Metrics]:
    """Train networks as one population, without folders; give metrics on fresh points, and the KL on validation points."""
    quiet = {"figures": "none", "logger": {}}
    kept = ("checkpoints", "divergence_guard")
    plain = [config | quiet | {"callbacks": {key: config["callbacks"].get(key) for key in kept}} for config in configs]
    results = fit_members(plain, [None] * len(plain))
    return [result["fresh"] | {"validation": result["validation"]["nll_regret"]} for result in results]


def points_of(config: dict[str, Any]) -> dict[str, Any]:
    """Take of a config what its points are, without the order in which they are trained on."""
    return {key: value for key, value in config["data"].items() if key not in ("order_seed", "batch_size", "drop_last")}


def architecture(config: dict[str, Any]) -> dict[str, Any]:
    """Take of a config what its points and its network are, and how it is regularised, without rate, length and seed."""
    optimizer = {key: value for key, value in config["optimizer"].items() if key not in ("lr", "betas", "eps")}
    model = {key: value for key, value in config["model"].items() if key != "init_seed"}
    return {"data": points_of(config), "model": model, "loss": config["loss"], "optimizer": optimizer}


def own_tuned(config: dict[str, Any], lengths: Sequence[float] = LENGTHS) -> list[Metrics]:
    """Train a config's own architecture along a cosine at three rates, for its epochs times each of ``lengths``."""
    schedule = plain_config("schedule=cosine")["schedule"]
    found = []
    for length in lengths:
        rates = [config["optimizer"]["lr"] * factor for factor in RATES]
        longer = {"schedule": schedule, "trainer": lengthened(config["trainer"], length)}
        metrics = trained([config | longer | {"optimizer": config["optimizer"] | {"lr": rate}} for rate in rates])
        found += [one | {"setting": {"lr": rate, "length": length}} for one, rate in zip(metrics, rates)]
    return found


def best_known(config: dict[str, Any], stretch: float = 1.0) -> list[Metrics]:
    """Train the best networks known on a config's points, their epochs times ``stretch``."""
    found = []
    for name in BEST:
        whole = plain_config(f"experiment={name}", f"seed={config['seed']}")
        data = config["data"] | {"inputs": whole["data"]["inputs"]}
        metrics = trained([whole | {"data": data, "trainer": lengthened(whole["trainer"], stretch)}])[0]
        found.append(metrics | {"setting": f"experiment={name}"})
    return found


def best_of(run: Metrics, own: Sequence[Metrics], others: Sequence[Metrics]) -> dict[str, Any]:
    """Choose on validation points the best of a run's architecture, and the best of all.

    Args:
        run: metrics of the run, with ``validation``.
        own: of networks of its architecture, the run among them.
        others: of further ones on the same points.
    """
    best_own = min(own, key=lambda metrics: metrics["validation"])
    best = min([best_own, *others], key=lambda metrics: metrics["validation"])
    return {"best_network": best, "best_of_architecture": best_own, "run_metrics": run}


def plain_config(*words: str) -> dict[str, Any]:
    """Compose a config of ``train`` as plain values."""
    return OmegaConf.to_container(compose("train", words), resolve=True)


def lengthened(trainer: dict[str, Any], factor: float) -> dict[str, Any]:
    """Multiply the epochs and steps of a trainer's settings, where they are limited."""
    limits = {key: trainer.get(key) for key in ("max_epochs", "max_steps")}
    return trainer | {
        key: max(round(value * factor), 1) for key, value in limits.items() if value is not None and value > 0
    }


def resized(config: dict[str, Any], points_per_arm: int, draw: int) -> tuple[dict[str, Any], float]:
    """Give a config of fewer points, validation points in proportion, and as many steps of training as before.

    Args:
        config: resolved, of spirals.
        points_per_arm: before the split.
        draw: added to the seeds of data and weights.

    Returns:
        The config, and how many times more epochs it has.
    """
    data = config["data"]
    share = points_per_arm / data["points_per_arm"]
    before, now = (
        round((1 - data["test_fraction"]) * data["arms"] * count) for count in (data["points_per_arm"], points_per_arm)
    )
    batch = max(min(data["batch_size"], now // 8), 1)
    stretch = (before // data["batch_size"] or 1) / (now // batch)
    changed = data | {
        "points_per_arm": points_per_arm,
        "batch_size": batch,
        "seed": data["seed"] + draw,
        "order_seed": data["order_seed"] + draw,
        "validation_points": max(round(data["validation_points"] * share), data["arms"]),
    }
    seed = config["seed"] + draw
    return config | {"data": changed, "seed": seed, "trainer": lengthened(config["trainer"], stretch)}, stretch


def split(found: dict[str, Metrics]) -> dict[str, dict[str, float]]:
    """Split a run's regret into four parts that add up to it, for NLL and for accuracy.

    ``data`` is the Bayes learner's; ``bias`` what the best network known has beyond it; ``architecture`` what the best
    training of the run's own network has beyond that; ``optimisation`` the rest. A part may be a little below 0: the
    best are chosen on validation points.
    """
    result = {}
    for kind in ("nll_regret", "accuracy_regret"):
        levels = [0.0, *(found["run_metrics" if name == "run" else name][kind] for name in LEVELS)]
        result[kind] = {part: after - before for part, before, after in zip(PARTS, levels, levels[1:])}
    return result
