"""The figures and the page of a finished run, and the arrays from which each can be drawn again."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlplab.data.bayes import log_posterior
from mlplab.nn.mlp import MLP
from mlplab.pages.page import run_page
from mlplab.population.stacking import plain_weights
from mlplab.runs.checkpoint import save_snapshots
from mlplab.runs.files import finite, write_bytes, write_text
from mlplab.training.callbacks.decision_maps import DecisionMaps, map_of
from mlplab.training.members import network_title
from mlplab.training.plane import by_f_ratio, components_of, decision_grid
from mlplab.training.record import MemberRun, Record
from mlplab.words import plural

FIGURES = ("all", "map", "none")
# Test points in a scatter matrix, and as many others; inputs beyond which it is not drawn.
MOST_SHOWN, MOST_PAIRED = 1_500, 32


def data_title(run: MemberRun) -> str:
    """Name a run's data for a title."""
    if run.data.recorded() is not None:
        return Path(run.data.path).name
    module = getattr(run.data, "module", run.data)
    return f"{type(module).__name__.removesuffix('DataModule').lower()} data"


@dataclass
class Measured:
    """A member whose figures are drawn, at the state that was measured.

    Attributes:
        classifier: the population in training, standing at that state.
        index: of the member in it.
        run: its job.
        result: as in ``result.json``.
        logits: on the test points, (N, C).
        arrays, words: what the figures are drawn from, and drawn again; see :mod:`mlplab.plots.run_figures`.
    """

    classifier: Any
    index: int
    run: MemberRun
    result: dict[str, Any]
    logits: Tensor
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.run.data
        self.labels, self.predicted = self.data.shown.y.numpy(), self.logits.argmax(1).numpy()
        self.probabilities = self.logits.double().softmax(1).numpy()
        network, result, split = (
            network_title(self.classifier.population.member(self.index)),
            self.result,
            self.data.shown_part,
        )
        best, fresh = result["evaluated"] == "best", result["fresh"] or {}
        limit = fresh or result[split]
        limits = {
            "nll": limit.get("bayes_nll"),
            "accuracy": limit.get("bayes_accuracy"),
            "fresh_nll": fresh.get("bayes_nll"),
        }
        self.words = {"network": network, "title": f"{network} on {data_title(self.run)}", "split": split}
        self.words |= {"epoch": int(self.classifier.best.epoch[self.index] if best else result["epochs"])}
        self.words |= {"best_epoch": result["best_epoch"], "subtitles": {}, "limits": limits}
        if self.data.class_names is not None:
            self.arrays["class_names"] = np.array(self.data.class_names)

    @property
    def summary(self) -> str:
        """The metrics on the points that are shown, in a line."""
        from mlplab.plots.run_figures import summary

        part, wrong = self.data.shown_part, int((self.predicted != self.labels).sum())
        metrics = self.result[part]
        return summary(metrics["accuracy"], wrong, len(self.labels), metrics["nll"], split=part)

    def say(self, figure: str, *remarks: str | None) -> None:
        """Put the metrics, and remarks, under a figure's title."""
        self.words["subtitles"][figure] = "  ·  ".join(filter(None, (self.summary, *remarks)))


def draw_figures(trainer: Any, classifier: Any, index: int, result: dict[str, Any], test_logits: Tensor | None) -> None:
    """Draw what ``figures`` asks for into the run folder and TensorBoard; the population stands at the chosen state."""
    run = trainer.runs[index]
    wanted = run.config.get("figures", "all")
    if wanted == "none" or test_logits is None:
        return
    # Imported here: a run without figures does not pay for matplotlib.
    from mlplab.plots.run_figures import FIGURES, Saved
    from mlplab.plots.style import png_bytes, vector_bytes

    maps = next((c for c in trainer.callbacks if isinstance(c, DecisionMaps)), None)
    history = next(c for c in trainer.callbacks if isinstance(c, Record)).history(index)
    member = Measured(classifier, index, run, result, test_logits)
    if maps is not None and maps.plane(run.data) is not None:
        collect_maps(member, maps, history, wanted == "all")
    if wanted == "all":
        collect_curves(member, history)
        collect_tables(member)
    saved = Saved(member.arrays, member.words)
    figures = {name: draw(saved, False) for name, (array, draw, _) in FIGURES.items() if array in member.arrays}
    logger = run.tensorboard()
    for name, figure in figures.items():
        data = png_bytes(figure)
        write_bytes(run.folder.figures / f"{name}.png", data, sync=False)
        for form in set(run.config.get("figure_formats") or ()) - {"png"}:
            write_bytes(run.folder.figures / f"{name}.{form}", vector_bytes(figure, form), sync=False)
        # The map's own tag holds the cards of all epochs.
        if logger is not None:
            logger.log_image(f"final/{name}", data, result["steps"])
    if wanted == "all" and maps is not None:
        animation = animate(run, maps, index)
        if animation:
            write_bytes(run.folder.figures / "learning.gif", animation, sync=False)
            if logger is not None:
                logger.log_image("final/learning", animation, result["steps"])
    if figures:
        buffer = io.BytesIO()
        np.savez(buffer, **saved.packed())
        write_bytes(run.folder.figures / "arrays.npz", buffer.getvalue(), sync=False)


def collect_maps(member: Measured, maps: DecisionMaps, history: dict[str, list[float]], all_of_them: bool) -> None:
    """Collect the decision map and, where all are wanted, what is compared with Bayes and the maps of some epochs."""
    plane, data = maps.plane(member.data), member.data
    grid = map_of(member.classifier, member.index, plane, maps.resolution)
    if not np.isfinite(grid).all():  # of a network that is finite at its points, but not everywhere
        return
    member.arrays |= {"map": grid, "extent": np.array(plane.extent), "points": plane.points(data.shown.x)}
    member.arrays |= {"labels": member.labels, "predicted": member.predicted}
    words = {"box": plane.box, "axis_names": plane.names}
    member.arrays |= {name: np.array(value) for name, value in words.items() if value is not None}
    member.say("decision_map", plane.remark)
    if all_of_them and data.density is not None:
        collect_bayes(member, grid, plane.extent)
    drawn = maps.probabilities.get(member.index, {})
    if all_of_them and drawn and history["epoch"]:
        epochs, accuracies = sorted(drawn), maps.accuracies[member.index]
        taken = np.stack([drawn[epoch] for epoch in epochs]).astype(np.float16)
        member.arrays |= {"maps": taken, "map_epochs": np.array(epochs)}
        member.arrays["map_accuracies"] = np.array([accuracies[epoch] for epoch in epochs])


def collect_bayes(member: Measured, grid: np.ndarray, extent: tuple) -> None:
    """Collect the Bayes classifier's map and metrics."""
    from mlplab.plots.run_figures import summary

    data, metrics = member.data, member.result[member.data.shown_part]
    bayes = log_posterior(decision_grid(len(grid), extent), data.density).exp()
    best = data.log_posterior(data.shown_part).argmax(1).numpy()
    member.arrays["bayes_map"] = bayes.reshape(*grid.shape[:2], data.classes).numpy().astype(np.float32)
    member.arrays["bayes_predicted"] = best
    member.say("bayes")
    wrong = int((best != member.labels).sum())
    said = summary(metrics["bayes_accuracy"], wrong, len(best), metrics["bayes_nll"])
    member.words["subtitles"]["bayes_map"] = said


def collect_curves(member: Measured, history: dict[str, list[float]]) -> None:
    """Collect loss and accuracy over epochs, and the probabilities of the points."""
    metrics = member.result[member.data.shown_part]
    member.arrays |= {"test_probabilities": member.probabilities, "labels": member.labels}
    accuracy, error = (100 * metrics[name] for name in ("accuracy", "calibration_error"))
    said = f"accuracy {accuracy:.1f} %  ·  expected calibration error {error:.1f} %"
    member.words["subtitles"]["calibration"] = said
    if history["epoch"]:
        member.arrays |= {f"history/{name}": np.array(column, dtype=float) for name, column in history.items()}


def collect_tables(member: Measured) -> None:
    """Collect what suits data of three inputs or more: principal components, and pairs of features or images."""
    data, plane = member.data, components_of(member.data)
    if plane is None:
        return
    grid, points = map_of(member.classifier, member.index, plane, 128), plane.points(data.shown.x)
    member.arrays |= {"projection/map": grid, "projection/extent": np.array(plane.extent), "projection/points": points}
    member.arrays |= {"projection/box": np.array(plane.box), "projection/axis_names": np.array(plane.names)}
    member.arrays["predicted"] = member.predicted
    member.say("projection", plane.remark)
    if len(data.input_shape) == 2:
        collect_images(member)
    elif len(data.input_shape) == 1 and data.input_shape[0] <= MOST_PAIRED:
        collect_pairs(member)


def collect_images(member: Measured) -> None:
    """Collect the images, of which those are drawn that the network gets wrong, and the weights of its first layer."""
    data, network = member.data, member.classifier.population.member(member.index)
    member.arrays["images"] = data.to_units(data.shown.x).numpy().astype(np.float32)
    member.say("errors", "wrong ones, the surest first, then right ones, the least sure first")
    if isinstance(network, MLP) and len(network.hidden):
        weights = next(network.parameters()).detach()
        first = weights[weights.norm(dim=1).argsort(descending=True)][:32].reshape(-1, *data.input_shape)
        member.arrays["first_layer"] = first.cpu().numpy()
        about = f"weights of the first layer: the {len(first)} units with the largest, blue positive, red negative"
        member.words["subtitles"]["first_layer"] = about


def collect_pairs(member: Measured) -> None:
    """Collect every pair of the features that tell most."""
    from mlplab.plots.scatter_matrix import MOST

    data, said = member.data, member.predicted
    others = (part for part in (data.train, data.validation) if part is not None and part is not data.shown)
    parts = [data.shown, *others]
    x, y = (torch.cat([part[k][:MOST_SHOWN] for part in parts])[: 2 * MOST_SHOWN] for k in (0, 1))
    chosen = sorted(by_f_ratio(data.train.x.double(), data.train.y)[:MOST])
    features = data.feature_names or [f"x{j + 1}" for j in range(x.shape[1])]
    judged = np.full(len(y), -1)
    judged[: min(len(said), MOST_SHOWN)] = said[:MOST_SHOWN]
    values, names = data.to_units(x)[:, chosen].numpy(), [features[j] for j in chosen]
    member.arrays |= {"matrix/values": values, "matrix/labels": y.numpy(), "matrix/predicted": judged}
    member.arrays["matrix/names"] = np.array(names)
    few = f"the {len(chosen)} of {plural(x.shape[1], 'input')} that tell most" if len(chosen) < x.shape[1] else None
    member.say("scatter_matrix", few)


def animate(run: MemberRun, maps: DecisionMaps, index: int) -> bytes | None:
    """Join the cards of a member's epochs to an animated GIF; None where there are fewer than two."""
    from mlplab.plots.style import gif_bytes

    # The cards of an earlier session of the run are on disk only.
    drawn = maps.cards.get(index, {})
    cards = [drawn[e] if e in drawn else maps.read_card(run, e) for e in sorted(maps.probabilities.get(index, {}))]
    return gif_bytes(cards) if len(cards) > 1 else None


def write_page(trainer: Any, classifier: Any, index: int, result: dict[str, Any], test_logits: Tensor | None) -> None:
    """Keep the snapshots of a member's network, and write the page of its run; the population stands at the measured state."""
    if test_logits is None:
        return
    run, maps = trainer.runs[index], next((c for c in trainer.callbacks if isinstance(c, DecisionMaps)), DecisionMaps())
    epoch = result["best_epoch"] if result["evaluated"] == "best" else result["epochs"]
    population, weights, plane = classifier.population, maps.weights.get(index, {}), maps.plane(run.data)
    member = population.member(index)
    data, points = run.data, run.data.shown
    is_plain = type(member) is MLP
    shape = points.x.shape[1:]
    count = shape.numel()
    seen = points if data.train is None else data.train
    train = data.to_units(seen.x).reshape(len(seen.x), count).double()
    shift = data.to_units(torch.zeros(1, *shape)).double().reshape(count)
    scale = data.to_units(torch.ones(1, *shape)).double().reshape(count) - shift
    chosen, epochs = plain_weights(population, population.theta[index]), sorted(weights) if is_plain else []
    arrays = {
        "widths": np.array([member.in_features, *member.hidden, member.out_features] if is_plain else [], int),
        "epochs": np.array(epochs, int),
        "epoch": np.array(epoch),
        "chosen": chosen,
        "weights": np.stack([weights[e] for e in epochs]) if epochs else np.zeros((0, len(chosen)), np.float32),
        "x": points.x.reshape(len(points.y), count).numpy(),
        "y": points.y.numpy(),
        "probabilities": test_logits.double().softmax(1).numpy().astype(np.float32),
        "box": torch.stack([train.amin(0), train.amax(0)]).numpy(),
        "shift": shift.numpy(),
        "scale": scale.numpy(),
        "pair": np.array(plane.pair if plane else (), int),
        "extent": np.array(plane.extent if plane else (), float),
        "classes": np.array(list(data.class_names or [f"class {k}" for k in range(test_logits.shape[1])]), str),
        "features": np.array(list(data.feature_names or [f"x{k + 1}" for k in range(count)]), str),
    }
    save_snapshots(run.folder, arrays)
    html = run_page(run.folder, run.config, arrays, finite(result), network_title(member))
    write_text(run.folder.path / "run.html", html, sync=False)
